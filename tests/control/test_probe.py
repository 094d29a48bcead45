"""Probes against servers that behave in every way they must be told apart by."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest

from fourfold.control.instances import probe
from fourfold.control.instances.probe import http, speaks, tcp

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(text: str) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text.encode("latin-1"))
        writer.close()

    return handle


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await reader.read()
    writer.close()


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


def patience(handler: Handler) -> float:
    """Seconds: who answers is waited for on any machine."""
    return 0.2 if handler is silent else 60


def asked(handler: Handler, ask: Callable[[int], Awaitable[str | None]]) -> str | None:
    async def run() -> str | None:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        async with server:
            return await ask(server.sockets[0].getsockname()[1])

    return asyncio.run(run())


HTTP = {
    "well": (answering("HTTP/1.1 200 OK\r\n\r\n"), None),
    "a redirect is well": (answering("HTTP/1.1 302 Found\r\n\r\n"), None),
    "unwell": (answering("HTTP/1.1 503 Not yet\r\n\r\n"), "GET /h answered 503 Not yet"),
    "not HTTP": (answering("-ERR unknown\r\n"), "GET /h got no HTTP answer: '-ERR unknown'"),
    "a digit that is no number": (answering("HTTP/1.1 20\xb2 OK\r\n\r\n"), "GET /h got no HTTP answer"),
    "a number that is no status": (answering(f"HTTP/1.1 {'9' * 5000}\r\n\r\n"), "GET /h got no HTTP answer"),
    "closed": (closing, "GET /h: connection closed unanswered"),
    "an answer without an end": (endless, None),
    "silent": (silent, "gave no answer within 0.2 s"),
}


@pytest.mark.parametrize("name", HTTP)
def test_http(name: str) -> None:
    handler, wrong = HTTP[name]
    answer = asked(handler, lambda port: http("127.0.0.1", port, "/h", patience(handler)))
    assert answer is None if wrong is None else answer is not None and wrong in answer


SPEAKS = {
    "HTTP, whatever it says": (answering("HTTP/1.1 404 Not Found\r\n\r\n"), True, True),
    "an answer without an end": (endless, True, True),
    "something else": (answering("-ERR unknown\r\n"), True, True),
    "silent, with a route": (silent, False, True),
    "closes": (closing, False, True),
}


@pytest.mark.parametrize("name", SPEAKS)
def test_speaks(name: str) -> None:
    """Whether it is ready with a route, and without one."""
    handler, with_route, without = SPEAKS[name]
    for route, well in ((True, with_route), (False, without)):

        async def ask(port: int, http: bool = route) -> str | None:
            return await speaks("127.0.0.1", port, patience(handler), http)

        answer = asked(handler, ask)
        assert (answer is None) == well, answer


@pytest.mark.parametrize(
    "ask", [lambda port: http("127.0.0.1", port, "/h", 60), lambda port: speaks("127.0.0.1", port, 60, True)]
)
def test_an_answer_is_read_to_its_end(ask: Callable[[int], Awaitable[str | None]]) -> None:
    """Else the connection would be reset under a program that is still writing."""
    reset: list[Exception] = []
    ended = asyncio.Event()

    async def in_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await writer.drain()
            writer.write(bytes(300_000))
            await writer.drain()
            writer.write_eof()
            assert await reader.read() == b""  # raises when it was reset
        except OSError as error:
            reset.append(error)
        writer.close()
        ended.set()

    async def ask_and_wait(port: int) -> str | None:
        answer = await ask(port)
        await ended.wait()
        return answer

    assert (asked(in_pieces, ask_and_wait), reset) == (None, [])


def test_another_connection_is_tried_beside_one_that_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        tried.append(sock)
        if len(tried) == 1:
            await asyncio.Event().wait()

    async def run() -> bool:
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect)
        with ExitStack() as opened:
            first = opened.enter_context(socket.socket())
            found = await probe._first_connected(first, ("192.0.2.1", 1), opened)
            return found is tried[1] and found is not first

    assert asyncio.run(run())


def test_nothing_listens() -> None:
    async def run() -> list[str | None]:
        with socket.socket() as held:  # so that nobody else has it meanwhile
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
            return [await tcp("127.0.0.1", port, 60), await http("127.0.0.1", port, "/", 60)]

    assert all(answer is not None and "nothing listens on" in answer for answer in asyncio.run(run()))
