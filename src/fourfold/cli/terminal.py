"""The client's end of exec and run: this terminal's bytes to a program in the daemon's hands, and back.

The protocol is described by the API (`fourfold schema --api`, section WebSockets).
"""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any
from urllib.parse import quote

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, unix_connect

from fourfold.cli.client import Client, LostError, error_from
from fourfold.errors import WorldError

INPUT, END_OF_INPUT, RESIZE, SIGNAL = (bytes([number]) for number in range(4))
STDOUT, STDERR, EXIT, ERROR = range(1, 5)
PIECE = 64 * 1024


def attach(client: Client, app: str, service: str, what: str, argv: list[str], instance: str | None) -> int:
    """Start `argv` by `what` (`exec` or `run`), be its terminal, return its exit code."""
    raw = os.isatty(0) and os.isatty(1)
    start: dict[str, Any] = {"argv": argv, "tty": raw, "instance": instance}
    if raw:
        start["rows"], start["columns"] = _window()
    uri = f"ws://fourfold/v1/apps/{quote(app, safe='')}/services/{quote(service, safe='')}/{what}"
    try:
        with unix_connect(str(client.socket), uri, max_size=None, compression=None) as connection:
            connection.send(json.dumps(start))
            with _raw_mode(raw), _Feeder(connection, raw):
                return _receive(connection)
    except ConnectionClosed as error:
        raise LostError(
            f"cannot go on: the daemon went away ({error})", "the program has been ended; see `fourfold status`"
        ) from error
    except (FileNotFoundError, ConnectionRefusedError, PermissionError) as error:
        raise client.unreachable(error) from error
    except (OSError, InvalidHandshake) as error:
        raise WorldError(f"cannot {what}: {error}", "see `fourfold daemon status`") from error


def _receive(connection: ClientConnection) -> int:
    while True:
        frame = connection.recv(decode=False)
        kind, rest = frame[0], bytes(frame[1:])
        if kind == EXIT:
            return int(struct.unpack(">i", rest)[0])
        if kind == ERROR:
            raise error_from(rest.decode())
        _write(STDOUT if kind == STDOUT else STDERR, rest)


def _write(descriptor: int, content: bytes) -> None:
    (sys.stdout if descriptor == STDOUT else sys.stderr).flush()
    while content:
        content = content[os.write(descriptor, content) :]


def _window() -> tuple[int, int]:
    size = os.get_terminal_size(0)
    return max(1, size.lines), max(1, size.columns)


@contextmanager
def _raw_mode(wanted: bool) -> Iterator[None]:
    """Keys go to the program as they are, Ctrl-C included; the terminal is as before afterwards."""
    if not wanted:
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


class _Feeder:
    """A thread that sends standard input, and what the signal handlers put into a pipe: all sending is in one place."""

    def __init__(self, connection: ClientConnection, raw: bool) -> None:
        self._connection = connection
        self._raw = raw
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Feeder:
        numbers = [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT]
        for number in [*numbers, signal.SIGWINCH]:
            self._before[number] = signal.signal(number, self._signalled)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._waker, b"\0")
        self._thread.join()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._wake)
        os.close(self._waker)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        os.write(self._waker, bytes([number]))

    def _run(self) -> None:
        sources = [self._wake, 0]
        try:
            while True:
                ready, _, _ = select.select(sources, [], [])
                if self._wake in ready and self._signals():
                    return
                if 0 in ready and not self._input():
                    sources.remove(0)
        except ConnectionClosed:
            return  # the receiving side says what happened

    def _input(self) -> bool:
        """False at the end of it."""
        try:
            piece = os.read(0, PIECE)
        except OSError:  # a closed standard input is an empty one
            piece = b""
        self._connection.send(INPUT + piece if piece else END_OF_INPUT)
        return bool(piece)

    def _signals(self) -> bool:
        """True when the session has ended."""
        for number in os.read(self._wake, 512):
            if number == 0:
                return True
            if number == signal.SIGWINCH:
                if self._raw:
                    self._connection.send(RESIZE + struct.pack(">HH", *_window()))
            else:
                name = signal.Signals(number).name.removeprefix("SIG")
                self._connection.send(SIGNAL + name.encode())
        return False
