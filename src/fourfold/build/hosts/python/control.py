"""The control socket: JSON lines, one thread, any number of connections. Which guests there are, others know."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import traceback
from collections import deque
from typing import Any, Protocol

MOST = 1 << 20
"""Bytes of one line."""
TICK = 0.1


class Unfit(Exception):
    """A request that is answered with an error: its text."""


class Guests(Protocol):
    """What a request is carried out by. Each raises Unfit, and answers at once."""

    def start(self, asked: dict[str, Any]) -> dict[str, Any]: ...
    def stop(self, guest: str, run: str, grace: float) -> None: ...
    def kill(self, guest: str, run: str) -> None: ...
    def running(self) -> list[dict[str, Any]]: ...
    def usage(self) -> dict[str, Any]: ...

    @property
    def done(self) -> bool:
        """The host was told to end, and all have."""

    def tick(self) -> None:
        """Called several times a second."""


class Control:
    def __init__(self, path: str) -> None:
        self.ended: dict[tuple[str, str], dict[str, Any]] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        was = os.umask(0o177)
        try:
            self._listener.bind(path)
        finally:
            os.umask(was)
        self._listener.listen(16)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._woken, self.waker = socket.socketpair()
        """A byte written to `waker` has `tick` called soon; of any thread, and of signals."""
        for each in (self._woken, self.waker):
            each.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._wake)
        self._connections: dict[socket.socket, _Connection] = {}
        self._events: deque[dict[str, Any]] = deque()

    def post(self, event: dict[str, Any]) -> None:
        """To all connections. Of any thread."""
        self._events.append(event)
        self.wake()

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # full, and so it wakes anyway
            self.waker.send(b"\0")

    def serve(self, kind: str, guests: Guests) -> None:
        """Until they are done."""
        while not guests.done:
            for key, _ in self._selector.select(TICK):
                if isinstance(key.data, _Connection):
                    for line in key.data.lines():
                        key.data.send(self._answer(line, kind, guests))
                else:
                    key.data()
            try:
                guests.tick()
            except Exception:
                traceback.print_exc()
            while self._events:
                event = self._events.popleft()
                if event["event"] == "ended":
                    self.ended[event["guest"], event["run"]] = event
                for connection in list(self._connections.values()):
                    connection.send(event)
            for connection in list(self._connections.values()):
                connection.flush()
                if connection.closed:
                    self._selector.unregister(connection.socket)
                    connection.socket.close()
                    del self._connections[connection.socket]

    def close(self) -> None:
        """In a forked child: nothing of it stays open."""
        self._selector.close()
        for each in (self._listener, self._woken, self.waker, *self._connections):
            each.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        self._connections[connection] = _Connection(connection)
        self._selector.register(connection, selectors.EVENT_READ, self._connections[connection])

    def _wake(self) -> None:
        try:
            while self._woken.recv(4096):
                pass
        except OSError:
            pass

    def _answer(self, line: bytes, kind: str, guests: Guests) -> dict[str, Any]:
        number = None
        try:
            asked = json.loads(line)
            number = asked["id"]
            return {"id": number, "ok": self._do(asked, kind, guests)}
        except Unfit as error:
            return {"id": number, "error": str(error)}
        except Exception as error:  # a host ends for nothing that it is asked
            return {"id": number, "error": f"cannot do that: {type(error).__name__}: {error}"}

    def _do(self, asked: dict[str, Any], kind: str, guests: Guests) -> dict[str, Any]:
        do = asked["do"]
        if do == "start":
            return guests.start(asked)
        if do == "stop":
            guests.stop(asked["guest"], asked["run"], float(asked["grace"]))
        elif do == "kill":
            guests.kill(asked["guest"], asked["run"])
        elif do == "forget":
            self.ended.pop((asked["guest"], asked["run"]), None)
        elif do == "list":
            ended = list(self.ended.values())
            return {"kind": kind, "pid": os.getpid(), "guests": guests.running(), "ended": ended}
        elif do == "usage":
            return guests.usage()
        else:
            raise Unfit(f"cannot do {do!r}: known are start, stop, kill, list, forget and usage")
        return {}


class _Connection:
    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.closed = False
        self._in = b""
        self._out = b""

    def lines(self) -> list[bytes]:
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        *whole, self._in = (self._in + data).split(b"\n")
        self.closed = self.closed or not data or len(self._in) > MOST
        return [line for line in whole if line.strip()]

    def send(self, message: dict[str, Any]) -> None:
        self._out += json.dumps(message).encode() + b"\n"
        self.closed = self.closed or len(self._out) > 8 * MOST  # it does not read
        self.flush()

    def flush(self) -> None:
        try:
            while self._out and not self.closed:
                self._out = self._out[self.socket.send(self._out) :]
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True
