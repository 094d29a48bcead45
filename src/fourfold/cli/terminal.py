"""The client's end of exec and run: this terminal's bytes to a program in the daemon's hands, and back.

The protocol is described by the API (`fourfold schema --api`, section WebSockets). One event loop does all of it, and
never waits for one side only: while our output is full or the program does not read, signals still get through.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import signal
import struct
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from fourfold.cli.link.client import LostError, error_from
from fourfold.cli.link.endpoint import Endpoint
from fourfold.cli.session import Session
from fourfold.errors import WorldError

INPUT, END_OF_INPUT, RESIZE, SIGNAL = (bytes([number]) for number in range(4))
STDOUT, STDERR, EXIT, ERROR, ROOM = range(1, 6)
WINDOW = 256 * 1024
"""Bytes of input that may be on their way to the program; as the API says."""
PIECE = 64 * 1024
WRITTEN = 4096
"""Bytes that a pipe which is writable takes without waiting (pipe(7): PIPE_BUF)."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
INTERRUPTED = 130


def attach(session: Session, service: str, what: str, argv: list[str], instance: str | None) -> int:
    """Start `argv` by `what` (`exec` or `run`), be its terminal, return its exit code."""
    client, app = session.client, session.app
    raw = os.isatty(0) and os.isatty(1)
    start: dict[str, Any] = {"argv": argv, "tty": raw, "instance": instance, "actor": session.actor}
    if raw:
        start["rows"], start["columns"] = _window()
    server = client.endpoint.url.replace("http", "ws", 1)
    uri = f"{server}/v1/apps/{quote(app, safe='')}/services/{quote(service, safe='')}/{what}"
    sys.stdout.flush()
    try:
        # select(2), because epoll refuses files, and standard input may be one.
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
            return runner.run(_session(client.endpoint, uri, start, raw))
    except ConnectionClosed as error:
        raise LostError(
            f"cannot go on: the daemon went away ({error})", "the program has been ended; see `fourfold status`"
        ) from error
    except (FileNotFoundError, ConnectionRefusedError, PermissionError) as error:
        raise client.unreachable(error) from error
    except InvalidStatus as error:
        raise error_from((error.response.body or b"").decode(errors="replace")) from error
    except BrokenPipeError:
        raise  # whoever read our output has gone
    except (OSError, InvalidHandshake) as error:
        raise WorldError(f"cannot {what}: {error}", "see `fourfold daemon status`") from error


async def _session(endpoint: Endpoint, uri: str, start: dict[str, Any], raw: bool) -> int:
    """The exit code."""
    # Pings would say nothing of a local socket, and end a session whose output is not read (`| less`).
    how: dict[str, Any] = {"max_size": None, "compression": None, "ping_interval": None, "close_timeout": 1}
    if endpoint.socket is not None:
        connecting = unix_connect(str(endpoint.socket), uri, **how)
    else:
        connecting = connect(uri, ssl=endpoint.tls, additional_headers=endpoint.headers, proxy=None, **how)
    async with connecting as connection:
        room = _Room()
        receiving = asyncio.create_task(_receive(connection, room))
        with _raw_mode(raw), _signals(connection, raw, give_up=receiving.cancel):
            await connection.send(json.dumps(start))
            feeding = asyncio.create_task(_feed(connection, room))
            await asyncio.wait({receiving})
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        return INTERRUPTED if receiving.cancelled() else receiving.result()


class _Room:
    """How much input the daemon takes now."""

    def __init__(self) -> None:
        self._bytes = WINDOW
        self._some = asyncio.Event()

    def add(self, count: int) -> None:
        self._bytes += count
        self._some.set()

    def take(self, count: int) -> None:
        self._bytes -= count

    async def some(self) -> int:
        while not self._bytes:
            self._some.clear()
            await self._some.wait()
        return self._bytes


async def _receive(connection: ClientConnection, room: _Room) -> int:
    while True:
        frame = await connection.recv(decode=False)
        kind, rest = frame[0], bytes(frame[1:])
        if kind == EXIT:
            return int(struct.unpack(">i", rest)[0])
        if kind == ERROR:
            raise error_from(rest.decode())
        if kind == ROOM:
            room.add(struct.unpack(">I", rest)[0])
        else:
            await _write(STDOUT if kind == STDOUT else STDERR, rest)


async def _feed(connection: ClientConnection, room: _Room) -> None:
    """Standard input to its end, never more than there is room for."""
    loop = asyncio.get_running_loop()
    while True:
        count = min(PIECE, await room.some())
        await _ready(0, loop.add_reader, loop.remove_reader)
        try:
            piece = os.read(0, count)
        except OSError:  # a closed standard input is an empty one
            piece = b""
        if not piece:
            await connection.send(END_OF_INPUT)
            return
        room.take(len(piece))
        await connection.send(INPUT + piece)


async def _write(descriptor: int, content: bytes) -> None:
    loop = asyncio.get_running_loop()
    while content:
        await _ready(descriptor, loop.add_writer, loop.remove_writer)
        content = content[os.write(descriptor, content[:WRITTEN]) :]


async def _ready(fd: int, add: Callable[[int, Callable[[], None]], None], remove: Callable[[int], bool]) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    add(fd, lambda: None if future.done() else future.set_result(None))
    try:
        await future
    finally:
        remove(fd)


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


@contextmanager
def _signals(connection: ClientConnection, raw: bool, give_up: Callable[[], object]) -> Iterator[None]:
    """Signals go to the program. A second one that asks for an end ends the session, and with it the program."""
    loop = asyncio.get_running_loop()
    sending: set[asyncio.Task[None]] = set()
    asked = False

    def send(frame: bytes) -> None:
        task = asyncio.create_task(_send_quietly(connection, frame))
        sending.add(task)
        task.add_done_callback(sending.discard)

    def ask(number: signal.Signals) -> None:
        nonlocal asked
        if asked:
            give_up()
        asked = True
        send(SIGNAL + number.name.removeprefix("SIG").encode())

    for number in ENDING:
        loop.add_signal_handler(number, ask, number)
    if raw:
        loop.add_signal_handler(signal.SIGWINCH, lambda: send(RESIZE + struct.pack(">HH", *_window())))
    try:
        yield
    finally:
        for number in (*ENDING, signal.SIGWINCH):
            loop.remove_signal_handler(number)


async def _send_quietly(connection: ClientConnection, frame: bytes) -> None:
    with suppress(ConnectionClosed):  # the receiving side says what happened
        await connection.send(frame)
