"""The daemon's end of a host's control socket: requests, answers, events, as `build/hosts/README.md` has them.

Guests run in the host's own process, so it is not trusted: its socket is found without following a link, its lines and
the number of its events are bounded, and no answer is waited for without end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import stat
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fourfold.supervise.spawner.questions import AtOnce, Gone, Questions

log = logging.getLogger(__name__)

OWN, CONTROL = "own", "control.sock"
ANSWER_SECONDS = 10.0
"""A host answers within one; it may be busy, or wait for its turn."""
_LONGEST_LINE = 1 << 20
_MOST_EVENTS = 500
"""In a second; after that the host waits until the second is over."""


class Declined(Exception):
    """The host's `error`, as a sentence."""


class Stranger(Exception):
    """Something else listens there than the host."""


class Link:
    """One connection. `on_event` is called for each event, `on_end` once when the connection is gone.

    `on_nonsense` hears, in words, of what is no line of the protocol: it may come as often as the host likes.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_event: Callable[[Mapping[str, Any]], None],
        on_nonsense: Callable[[str], None],
        on_end: Callable[[], None],
    ) -> None:
        self._sock = sock
        self._on_event = on_event
        self._on_nonsense = on_nonsense
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()
        self.questions = Questions()
        self._events, self._since = 0, 0.0
        self.trouble = "it has closed its control socket"
        """Why it has ended, once it has."""
        self._reader = self._loop.create_task(self._read(), name="connection to a host")

    @classmethod
    async def connect(
        cls,
        folder: Path,
        belongs: Callable[[int], bool],
        on_event: Callable[[Mapping[str, Any]], None],
        on_nonsense: Callable[[str], None],
        on_end: Callable[[], None],
    ) -> Link:
        """`folder`: the host's; `belongs`: whether a pid is of it. OSError: nobody listens; Stranger; TimeoutError."""
        loop = asyncio.get_running_loop()
        found = _find(folder)
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            async with asyncio.timeout(ANSWER_SECONDS):  # by its descriptor: a path of any length, of that very inode
                await loop.sock_connect(sock, f"/proc/self/fd/{found}")
            pid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
            if not belongs(pid):
                raise Stranger(f"{folder / OWN / CONTROL} is the socket of process {pid}, which is not of this host")
        except BaseException:
            sock.close()
            raise
        finally:
            os.close(found)
        return cls(sock, on_event, on_nonsense, on_end)

    async def call(self, do: str, at_once: AtOnce | None = None, **arguments: Any) -> Any:
        """The answer's value. `at_once` gets it before any later line is looked at; what it raises is raised.

        Declined; Gone: whether it was done is not known; TimeoutError.
        """
        if self._reader.done():
            raise Gone
        with self.questions.asked(at_once) as (number, answer):
            line = json.dumps({"id": number, "do": do, **arguments}).encode() + b"\n"
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    async with self._sending:
                        await self._send(line)
                    return await answer
            except TimeoutError:
                raise
            except OSError as error:
                raise Gone from error

    def hang_up(self, why: str) -> None:
        """End it as if the host had."""
        self.trouble = why
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _send(self, line: bytes) -> None:
        try:
            await self._loop.sock_sendall(self._sock, line)
        except BaseException:  # half a line may be out: nothing can follow it
            self.hang_up(self.trouble)
            raise

    async def _read(self) -> None:
        unread = b""
        try:
            while data := await self._loop.sock_recv(self._sock, 1 << 16):
                *lines, unread = (unread + data).split(b"\n")
                if len(unread) > _LONGEST_LINE:
                    self._on_nonsense(f"it has sent a line of more than {_LONGEST_LINE} bytes")
                    break
                for line in lines:
                    self._take_safely(line)
                    await self._pace()
        except OSError:
            pass
        finally:
            self._sock.close()
            self.questions.lose()
        self._on_end()  # not when we were cancelled

    async def _pace(self) -> None:
        now = time.monotonic()
        if now - self._since > 1:
            self._events, self._since = 0, now
        elif self._events > _MOST_EVENTS:
            await asyncio.sleep(self._since + 1 - now)

    def _take_safely(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            if not isinstance(message, dict):
                raise TypeError("no object")
            if "id" in message:
                self._answer(message)
                return
        except (ValueError, TypeError, RecursionError) as error:
            self._events += 1
            self._on_nonsense(f"it has said {line[:200]!r}: {error}")
            return
        self._events += 1
        try:
            self._on_event(message)
        except Exception:  # the next one must not be lost over this one
            log.exception("cannot take what a host said: %.200r", line)

    def _answer(self, message: Mapping[str, Any]) -> None:
        number = message["id"]
        if "ok" in message:
            awaited = self.questions.answer(number, message["ok"])
        else:
            awaited = self.questions.refuse(number, Declined(str(message.get("error", "no reason given"))[:2000]))
        if not awaited:
            self._events += 1  # to a question that nobody has asked, or not any more


def _find(folder: Path) -> int:
    """The socket in the host's own folder, as a descriptor (O_PATH): no link that it has laid there is followed."""
    own = os.open(folder / OWN, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.open(CONTROL, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=own)
    finally:
        os.close(own)
    if not stat.S_ISSOCK(os.fstat(found).st_mode):
        os.close(found)
        raise Stranger(f"{folder / OWN / CONTROL} is no socket")
    return found
