"""The daemon's end of the spawner's socket: requests, answers, pushed events. The protocol is in `spawner.server`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fourfold.supervise.spawner.questions import AtOnce, Gone, Questions

log = logging.getLogger(__name__)


class Refused(Exception):
    """The spawner said no: at which stage, with which errno, about what."""

    def __init__(self, stage: str, errno: int, detail: str) -> None:
        super().__init__(f"{stage}: {detail or os.strerror(errno)}")
        self.stage = stage
        self.errno = errno
        self.detail = detail


class Client:
    """One connection. `on_event` is called for each pushed event, `on_end` once when the connection is gone."""

    def __init__(
        self, sock: socket.socket, on_event: Callable[[dict[str, Any]], None], on_end: Callable[[], None]
    ) -> None:
        self._sock = sock
        self._on_event = on_event
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._unsent: deque[tuple[bytes, list[int]]] = deque()
        """Requests, or the rest of the first one, with the descriptors that go along."""
        self.questions = Questions()
        self._reader = self._loop.create_task(self._read(), name="spawner connection")

    @classmethod
    async def connect(
        cls, path: Path, on_event: Callable[[dict[str, Any]], None], on_end: Callable[[], None]
    ) -> Client:
        """OSError when nobody listens."""
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
        try:  # by way of the folder's descriptor, for a socket's own path may have 107 bytes at most
            await asyncio.get_running_loop().sock_connect(sock, f"/proc/self/fd/{folder}/{path.name}")
        except OSError:
            sock.close()
            raise
        finally:
            os.close(folder)
        return cls(sock, on_event, on_end)

    async def call(self, op: str, fds: Sequence[int] = (), at_once: AtOnce | None = None, **arguments: Any) -> Any:
        """The answer's value. `at_once` gets it before any later event is delivered. Refused, Gone."""
        if self._reader.done():
            raise Gone
        with self.questions.asked(at_once) as (number, answer):
            line = json.dumps({"id": number, "op": op, **arguments}).encode() + b"\n"
            self._unsent.append((line, [os.dup(fd) for fd in fds]))
            if len(self._unsent) == 1:
                self._send()
            return await answer

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    def _send(self) -> None:
        """As much as the spawner takes now. Whoever asked may be gone by then: of a line that was begun all is sent, or
        the next one would be taken for its rest, and get its descriptors."""
        self._loop.remove_writer(self._sock)
        try:
            while self._unsent:
                line, fds = self._unsent[0]
                sent = socket.send_fds(self._sock, [line], fds)  # with the first byte: they are there when the line is
                _close_all(fds)
                self._unsent[0] = line[sent:], []
                if sent == len(line):
                    self._unsent.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._sock, self._send)
        except OSError:
            self._lose()

    def _lose(self) -> None:
        for _, fds in self._unsent:
            _close_all(fds)
        self._unsent.clear()
        self.questions.lose()

    async def _read(self) -> None:
        unread = b""
        try:
            while data := await self._loop.sock_recv(self._sock, 1 << 18):
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    self._take_safely(line)
        except OSError:
            pass
        finally:
            self._loop.remove_writer(self._sock)
            self._sock.close()
            self._lose()
        self._on_end()  # not when we were cancelled: then it is we who have ended

    def _take_safely(self, line: bytes) -> None:
        """One message that cannot be taken must not end the connection, nor hide the next."""
        try:
            self._take(json.loads(line))
        except Exception:
            log.exception("cannot take what the spawner said: %.500r", line)

    def _take(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self._on_event(message)
            return
        if error := message.get("error"):
            self.questions.refuse(message["id"], Refused(error["stage"], error["errno"], error["detail"]))
        else:
            self.questions.answer(message["id"], message["ok"])


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
