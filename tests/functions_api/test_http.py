"""What may come over a connection: all at once, in pieces, too much, or no HTTP at all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from fourfold.api.aws.http import Listener, Request, Response

LARGE = ("/large", "me")


class Echo:
    """Answers with what it was asked; `hold` keeps answers back."""

    def __init__(self) -> None:
        self.hold = asyncio.Event()
        self.hold.set()
        self.asked: list[Request] = []

    async def handle(self, request: Request) -> Response:
        self.asked.append(request)
        await self.hold.wait()
        return Response(204 if request.target == "/none" else 200, request.target.encode() + request.body)


def served(test: Callable[[Echo, int], Any]) -> None:
    async def run() -> None:
        echo = Echo()
        listener = Listener(
            echo.handle, lambda target, authorization: 2000 if (target, authorization) == LARGE else 1000
        )
        port = await listener.open("127.0.0.1", 0)
        try:
            await asyncio.wait_for(test(echo, port), 20)
        finally:
            await listener.close(0.1)

    asyncio.run(run())


async def exchanged(port: int, *pieces: bytes, ends: bool = True) -> bytes:
    """All that comes back until the other side ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    if ends:
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


GET = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"


def test_one_after_the_other_on_one_connection() -> None:
    async def run(echo: Echo, port: int) -> None:
        together = b"".join(GET % target for target in (b"/1", b"/2", b"/none"))
        head = b"POST /4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await exchanged(port, together + head + b"3\r\nabc\r\n0\r\n\r\n", ends=False)
        bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert bodies == [b"/1", b"/2", b"", b"/4abc"]
        assert b"204 No Content" in answer

    served(run)


def test_more_than_may_wait_waits() -> None:
    async def run(echo: Echo, port: int) -> None:
        echo.hold.clear()
        task = asyncio.create_task(exchanged(port, *[GET % b"/%d" % number for number in range(200)]))
        while not echo.asked:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        echo.hold.set()
        assert (await task).count(b"200 OK") == 200
        assert [each.target for each in echo.asked] == [f"/{number}" for number in range(200)]

    served(run)


def test_in_single_bytes() -> None:
    async def run(echo: Echo, port: int) -> None:
        request = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
        answer = await exchanged(port, *[bytes([each]) for each in request], ends=False)
        assert answer.endswith(b"\r\n\r\n/ahi")

    served(run)


def test_a_client_that_asks_before_it_sends() -> None:
    async def run(echo: Echo, port: int) -> None:
        head = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await reader.read()).endswith(b"/ahi")
        writer.close()

    served(run)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01 hello", b"400"),
        (b"GET / HTTP/9\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            b"200",
        ),
        (b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n", b"413"),
    ],
)
def test_what_is_refused_ends_the_connection(sent: bytes, status: bytes) -> None:
    async def run(echo: Echo, port: int) -> None:
        answer = await exchanged(port, sent, ends=False)
        assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
        assert b"Connection: close" in answer
        assert await exchanged(port, GET % b"/1")  # the next one is served

    served(run)


def test_bodies_are_as_large_as_they_may_be_there() -> None:
    async def run(echo: Echo, port: int) -> None:
        head = b"POST /large HTTP/1.1\r\nHost: x\r\nAuthorization: me\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = b"3e9\r\n" + b"z" * 1001 + b"\r\n0\r\n\r\n"
        answer = await exchanged(port, head.replace(b"me", b"you") + body, head + body)
        assert answer.count(b"HTTP/1.1 ") == 2
        assert answer.startswith(b"HTTP/1.1 413") and b"x-amzn-ErrorType: RequestTooLargeException\r\n" in answer
        assert b'{"Type":"User","message":"Request must be smaller than 1000 bytes"}HTTP/1.1 200' in answer
        assert answer.endswith(b"/large" + b"z" * 1001)

    served(run)


def test_a_client_that_sends_no_more_has_its_answer() -> None:
    async def run(echo: Echo, port: int) -> None:
        echo.hold.clear()
        task = asyncio.create_task(exchanged(port, GET % b"/1", GET % b"/2"))
        while not echo.asked:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        echo.hold.set()
        answer = await task  # all that comes until the connection is ended
        assert answer.count(b"200 OK") == 2 and b"\r\nDate: " in answer
        assert {each.peer for each in echo.asked} == {"127.0.0.1"}

    served(run)


def test_what_was_asked_goes_on_when_the_client_has_gone() -> None:
    async def run(echo: Echo, port: int) -> None:
        echo.hold.clear()
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(GET % b"/1")
        while not echo.asked:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        sock.close()
        echo.hold.set()
        assert (await exchanged(port, GET % b"/2")).endswith(b"/2")

    served(run)
