"""A program in a running instance (exec) or beside the service (run), over a WebSocket."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

from fastapi import WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from fourfold.api.deps import TheFacade
from fourfold.api.errors import as_line
from fourfold.api.resource import resource
from fourfold.api.shapes import Start
from fourfold.errors import UserError
from fourfold.supervise.attach import Attached

router = resource("exec")

PROTOCOL = """\
`/v1/apps/{app}/services/{service}/exec` enters a running instance; `…/run` starts a program like the service's own,
beside it. The client first sends one text message, JSON:
`{"argv": ["ls", "-l"], "tty": false, "rows": null, "columns": null, "instance": null, "actor": ""}`.
After that all messages are binary, and the first byte says what the rest is.

| from the client | rest of the message |
|---|---|
| 0 | bytes for its standard input |
| 1 | nothing: its standard input ends |
| 2 | window size: rows and columns, two unsigned 16-bit integers, big-endian |
| 3 | name of a signal to send it, such as `INT` |

| from the server | rest of the message |
|---|---|
| 1 | bytes of its standard output (with a tty: everything) |
| 2 | bytes of its standard error |
| 3 | its exit code, signed 32-bit integer, big-endian (128 + number for a signal); the last message |
| 4 | an ErrorBody as JSON: it could not be started or was lost; the last message |
| 5 | room: so many more bytes of standard input may be sent, unsigned 32-bit integer, big-endian |

A client may send 262,144 bytes of standard input at first, and more as it is given room for, which is when the program
takes what was sent. So its other messages always get through, however full the program's input is.

A client that goes away ends the program.
"""

INPUT, END_OF_INPUT, RESIZE, SIGNAL = range(4)
STDOUT, STDERR, EXIT, ERROR, ROOM = range(1, 6)
WINDOW = 256 * 1024


@router.websocket("/v1/apps/{app}/services/{service}/exec")
async def exec_(socket: WebSocket, facade: TheFacade, app: str, service: str) -> None:
    await _attach(socket, lambda start: facade.exec(app, service, start.instance, start.argv, start.tty, start.actor))


@router.websocket("/v1/apps/{app}/services/{service}/run")
async def run(socket: WebSocket, facade: TheFacade, app: str, service: str) -> None:
    await _attach(socket, lambda start: facade.run(app, service, start.argv, start.tty, start.actor))


async def _attach(socket: WebSocket, start_program: Callable[[Start], Awaitable[Attached]]) -> None:
    await socket.accept()
    try:
        await _session(socket, start_program)
        await socket.close()
    except WebSocketDisconnect:
        return
    except Exception as error:  # whatever it is, the client is told in the protocol's own way, if it is still there
        with suppress(WebSocketDisconnect, RuntimeError):
            await socket.send_bytes(bytes([ERROR]) + as_line(error).encode())
            await socket.close()


async def _session(socket: WebSocket, start_program: Callable[[Start], Awaitable[Attached]]) -> None:
    start = await _first(socket)
    program = await start_program(start)
    try:
        if start.rows and start.columns:
            program.resize(start.rows, start.columns)
        input = _Input(socket, program)
        incoming = asyncio.create_task(_incoming(socket, program, input))
        outgoing = asyncio.create_task(_outgoing(socket, program))
        tasks = (incoming, outgoing, asyncio.create_task(input.run()))
        try:
            await asyncio.wait({incoming, outgoing}, return_when=asyncio.FIRST_COMPLETED)
            # Whichever ended first says how the session ends: the program with its code, or the client by going away.
            await (outgoing if outgoing.done() else incoming)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await program.close()


async def _first(socket: WebSocket) -> Start:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    try:
        return Start.model_validate_json(message.get("text") or "")
    except ValidationError as error:
        raise UserError(f"cannot start: the first message is not as documented: {error.errors()[0]['msg']}") from None


class _Input:
    """Standard input on its way to the program: what waits is bounded, and nothing waits for it."""

    def __init__(self, socket: WebSocket, program: Attached) -> None:
        self._socket = socket
        self._program = program
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._waiting = 0

    def put(self, piece: bytes) -> None:
        self._waiting += len(piece)
        if self._waiting > WINDOW:
            raise UserError("cannot go on: more input than there was room for", "see /openapi.json, WebSockets")
        self._pieces.put_nowait(piece)

    def end(self) -> None:
        self._pieces.put_nowait(None)

    async def run(self) -> None:
        while (piece := await self._pieces.get()) is not None:
            await self._program.write(piece)
            self._waiting -= len(piece)
            await self._socket.send_bytes(bytes([ROOM]) + struct.pack(">I", len(piece)))
        await self._program.close_input()


async def _incoming(socket: WebSocket, program: Attached, input: _Input) -> None:
    while True:
        frame = await _frame(socket)
        if frame[:1] == bytes([INPUT]):
            input.put(frame[1:])
        elif frame == bytes([END_OF_INPUT]):
            input.end()
        elif frame[:1] == bytes([RESIZE]) and len(frame) == 5:
            rows, columns = struct.unpack(">HH", frame[1:])
            program.resize(rows, columns)
        elif frame[:1] == bytes([SIGNAL]):
            program.signal(frame[1:].decode("ascii", "replace"))
        else:
            raise UserError("cannot go on: a message is not as documented", "see /openapi.json, WebSockets")


async def _frame(socket: WebSocket) -> bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    content = message.get("bytes")
    return content if isinstance(content, bytes) else b""


async def _outgoing(socket: WebSocket, program: Attached) -> None:
    while (piece := await program.read()) is not None:
        stream, data = piece
        await socket.send_bytes(bytes([stream]) + data)
    await socket.send_bytes(bytes([EXIT]) + struct.pack(">i", await program.wait()))
