"""The HTTP server under all of it: framing, bounds, and clients that do as they please."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fourfold.functions.exchange import Exchange
from fourfold.functions.http import Site
from tests.functions.rig import eventually, in_loop
from tests.support.http import exchange


def echo(asked: Exchange) -> None:
    status = 413 if asked.too_large else 200
    asked.respond(status, b"X-Method: %b\r\n" % asked.method.encode(), asked.target + b"|" + asked.body)


def site() -> Site:
    return Site(echo, max_head=2000, max_body=1000)


@asynccontextmanager
async def served(what: Site) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    server = await asyncio.get_running_loop().create_server(what.protocol, "127.0.0.1", 0)
    try:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        yield reader, writer
        writer.close()
    finally:
        server.close()
        what.close()
        await what.wait_closed()


LENGTH = b"POST /p HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"
UPGRADE = b"GET /p HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
TWO_LENGTHS = b"GET /p HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
CHUNKED = b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2;x=y\r\ndy\r\n0\r\n\r\n"
CASES = [
    pytest.param(LENGTH, 200, b"/p|body", True, id="length"),
    pytest.param(CHUNKED, 200, b"/p|body", True, id="chunked"),
    pytest.param(b"GET /p?q=1 HTTP/1.1\r\n\r\n", 200, b"/p?q=1|", True, id="no body"),
    pytest.param(b"HEAD /p HTTP/1.1\r\n\r\n", 200, b"", True, id="HEAD"),
    pytest.param(b"GET /p HTTP/1.1\r\nConnection: close\r\n\r\n", 200, b"/p|", False, id="close"),
    pytest.param(b"GET /p HTTP/1.0\r\n\r\n", 200, b"/p|", False, id="HTTP/1.0"),
    pytest.param(b"POST /p HTTP/1.1\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001, 413, b"/p|", True, id="too much"),
    pytest.param(b"POST /p HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413, b"/p|", False, id="far too much"),
    pytest.param(b"GET /p HTTP/1.1\r\nX: " + b"x" * 2000 + b"\r\n\r\n", 431, None, False, id="long header"),
    pytest.param(b"GET /" + b"x" * 3000, 431, None, False, id="no end of the target"),
    pytest.param(UPGRADE, 200, b"/p|", False, id="upgrade"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01", 400, None, False, id="TLS"),
    pytest.param(TWO_LENGTHS, 400, None, False, id="two lengths"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "status", "body", "keeps"), CASES)
def test_one_request(request_: bytes, status: int, body: bytes | None, keeps: bool) -> None:
    async def work() -> None:
        async with served(site()) as (reader, writer):
            answer = await exchange(reader, writer, request_)
            assert answer.status == status and answer.keep is keeps
            assert body is None or answer.body == body
            if keeps:
                assert (await exchange(reader, writer, LENGTH)).body == b"/p|body"
            else:
                assert await reader.read() == b""

    in_loop(work())


@pytest.mark.parametrize("request_", [LENGTH, CHUNKED])
def test_a_request_that_comes_byte_by_byte(request_: bytes) -> None:
    async def work() -> None:
        async with served(site()) as (reader, writer):
            for at in range(len(request_)):
                writer.write(request_[at : at + 1])
                await asyncio.sleep(0.0005)
            answer = await exchange(reader, writer, b"")
            assert (answer.status, answer.body) == (200, b"/p|body")

    in_loop(work())


def test_trailers_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.functions.http.MAX_THROWN_AWAY", 5000)

    async def work() -> None:
        async with served(site()) as (reader, writer):
            writer.write(b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"2\r\nbo\r\n0\r\nX: " + b"x" * 6000)
            assert (await reader.readline()).startswith(b"HTTP/1.1 431")

    in_loop(work())


def test_a_connection_too_many_is_ended() -> None:
    async def work() -> None:
        what = Site(echo, most=1)
        async with served(what) as (reader, writer):
            writer.write(b"GET /1 HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"/1|")
            port = writer.get_extra_info("peername")[1]
            more, other = await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises(ConnectionError):
                other.write(b"GET /2 HTTP/1.1\r\n\r\n")
                if not await more.read():
                    raise ConnectionResetError
            other.close()
            writer.write(b"GET /3 HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"/3|")

    in_loop(work())


def test_what_is_sent_ahead_is_answered_in_order_however_long_each_takes() -> None:
    waiting: list[Exchange] = []

    async def work() -> None:
        async with served(Site(waiting.append)) as (reader, writer):
            writer.write(b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(40)))
            for number in range(40):
                await eventually(lambda: waiting)
                assert len(waiting) == 1
                waiting.pop().respond(200, b"", b"%d" % number)
            read = b""
            while b"39" not in read.split(b"\r\n\r\n")[-1]:
                read += await reader.read(65536)
            assert [part.split(b"HTTP")[0] for part in read.split(b"\r\n\r\n")[1:]] == [b"%d" % n for n in range(40)]

    in_loop(work())


def test_what_one_client_may_hold_is_bounded() -> None:
    async def work() -> None:
        what = Site(echo, most=2)
        async with served(what) as (reader, writer):
            address = writer.get_extra_info("peername")
            other, to_other = await asyncio.open_connection(*address)
            assert (await exchange(other, to_other, LENGTH)).status == 200
            third, to_third = await asyncio.open_connection(*address)
            assert await third.read() == b""
            head = b"POST / HTTP/1.1\r\n" + b"a:\r\n" * 1001
            assert (await exchange(other, to_other, head + b"\r\n")).status == 431
            assert (await exchange(reader, writer, LENGTH)).body == b"/p|body"
            to_other.close()
            to_third.close()

    in_loop(work())


def test_expecting_to_be_told_to_go_on() -> None:
    async def work() -> None:
        head = b"POST /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        async with served(site()) as (reader, writer):
            writer.write(head % 4)
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert (await exchange(reader, writer, b"body")).body == b"/p|body"
            refused = await exchange(reader, writer, head % 1001)
            assert (refused.status, refused.keep) == (413, False)

    in_loop(work())


def test_answers_of_unknown_length() -> None:
    async def pieces(asked: Exchange) -> None:
        asked.start(200)
        for piece in (b"one", b"", b"two"):
            asked.send(piece)
            await asyncio.sleep(0)
        asked.finish(asked.target != b"/broken")

    async def work() -> None:
        tasks = []
        async with served(Site(lambda asked: tasks.append(asyncio.ensure_future(pieces(asked))))) as (reader, writer):
            for request, body in ((b"GET / HTTP/1.1\r\n\r\n", b"onetwo"), (b"HEAD / HTTP/1.1\r\n\r\n", b"")):
                assert (await exchange(reader, writer, request)).body == body
            writer.write(b"GET /broken HTTP/1.1\r\n\r\n")
            assert (await reader.read()).endswith(b"two\r\n")  # without a last chunk
        async with served(Site(lambda asked: tasks.append(asyncio.ensure_future(pieces(asked))))) as (reader, writer):
            assert (await exchange(reader, writer, b"GET / HTTP/1.0\r\n\r\n")).body == b"onetwo"

    in_loop(work())


def test_who_leaves_is_noticed_and_who_closes_answers_first() -> None:
    waiting: list[Exchange] = []
    gone: list[bool] = []

    def keep(asked: Exchange) -> None:
        waiting.append(asked)
        asked.on_gone = lambda: gone.append(True)

    async def work() -> None:
        what = Site(keep)
        async with served(what) as (_, writer):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await eventually(lambda: waiting)
            writer.close()
            await eventually(lambda: gone)
            waiting.pop().respond(200, b"", b"for nobody")
        what = Site(keep)
        async with served(what) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await eventually(lambda: waiting)
            what.close()
            waiting.pop().respond(200, b"", b"last")
            assert (await reader.read()).endswith(b"Connection: close\r\n\r\nlast")

    in_loop(work())
