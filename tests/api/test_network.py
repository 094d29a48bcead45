"""The listener on the network: what slow, greedy and malformed clients get, and that they keep nobody else waiting."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from fourfold.api.app import create_app
from fourfold.api.network.guard import Guard
from fourfold.api.network.listener import Network
from fourfold.api.network.pair import Pair
from fourfold.api.network.patient import PatientHttp
from fourfold.api.network.refusals import Refusals
from fourfold.clock import SystemClock
from fourfold.control.access import Access, TokenRequest
from fourfold.control.bus import Bus
from fourfold.errors import WorldError
from fourfold.store.db import open_database
from fourfold.store.tables.tokens import Tokens
from tests.api.fake import FakeFacade
from tests.gateway.pem import pair


class _Bus:
    def emit(self, kind: str, message: str, **data: Any) -> None:
        return


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


class World:
    def __init__(self, network: Network, access: Access, refusals: Refusals, secret: str, ca: Path) -> None:
        self.network = network
        self.access = access
        self.refusals = refusals
        self.secret = secret
        self.trusted = ssl.create_default_context(cafile=str(ca))

    async def get(self, secret: str = "") -> int:
        headers = {"Authorization": f"Bearer {secret or self.secret}"}
        async with httpx.AsyncClient(verify=self.trusted, headers=headers, timeout=20) as client:
            return (await client.get(f"https://localhost:{self.network.port}/v1/info")).status_code

    async def served(self) -> None:
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    assert await self.get() == 200
                    return

    async def connect(self, tls: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = {"ssl": self.trusted, "server_hostname": "localhost"} if tls else {}
        return await asyncio.open_connection("127.0.0.1", self.network.port, **cast(Any, context))

    async def raw(self, text: bytes) -> bytes:
        """What comes until it is closed, when just this is sent."""
        reader, writer = await self.connect()
        writer.write(text)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            return await reader.read()
        return b""


@contextlib.asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    certificate, key = pair("localhost")
    (folder / "c.pem").write_bytes(certificate)
    (folder / "k.pem").write_bytes(key)
    with open_database(folder / "store.db") as database:
        access = Access(Tokens(database), cast(Bus, _Bus()), SystemClock())
        secret = access.create(TokenRequest(name="ci", role="read")).secret
        refusals = Refusals(lambda *what: None, asyncio.get_running_loop().time)
        guard = Guard(create_app(FakeFacade()), access, refusals)
        network = Network(guard, ("127.0.0.1", 0), Pair(folder / "c.pem", folder / "k.pem"), refusals)
        running = asyncio.create_task(network.run())
        await until(lambda: network.port is not None)
        try:
            yield World(network, access, refusals, secret, folder / "c.pem")
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


def trial(folder: Path, what: Callable[[World], Awaitable[None]]) -> None:
    async def go() -> None:
        async with world(folder) as made:
            await what(made)
            assert await made.get() == 200, "others are served as before"

    asyncio.run(go())


def test_a_head_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(world: World) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(PatientHttp, "head_seconds", 0.2)
            answers = await asyncio.gather(*(world.raw(text) for text in (b"", b"G", b"GET / HTTP/1.1\r\nA: b\r\n")))
        assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
        assert world.refusals.counts == {"slow": 3}

    trial(tmp_path, slow)


def test_a_body_that_does_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatientHttp, "body_seconds", 0.2)

    async def slow(world: World) -> None:
        head = f"POST /v1/apps/shop/cost HTTP/1.1\r\nAuthorization: Bearer {world.secret}\r\nContent-Length: 9\r\n\r\n"
        assert (await world.raw(head.encode() + b"{")).startswith(b"HTTP/1.1 408 ")

    trial(tmp_path, slow)


def test_without_a_token_no_body_is_read(tmp_path: Path) -> None:
    async def greedy(world: World) -> None:
        head = b"POST /v1/apps/shop/plan HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n"
        answer = await world.raw(head)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"connection: close" in answer.lower()

    trial(tmp_path, greedy)


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000,
        b"GET /" + b"x" * 70_000,
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 300,
        b"GET / HTTP/1.1\r\n\r\n" * 5000,
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: Bearer " + b"\xff" * 300 + b"\r\nConnection: close\r\n\r\n",
        b"GET /v1/apps/x/services/y/exec HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    ],
)
def test_what_is_no_request_of_ours(tmp_path: Path, text: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def nonsense(world: World) -> None:
        answer = await world.raw(text)
        assert answer[:10] in (b"HTTP/1.1 4", b""), answer

    trial(tmp_path, nonsense)
    assert [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"] == []


def test_requests_that_are_sent_at_once_are_few(tmp_path: Path) -> None:
    async def pipelined(world: World) -> None:
        one = f"GET /v1/info HTTP/1.1\r\nAuthorization: Bearer {world.secret}\r\n"
        answers = await world.raw((one + "\r\n").encode() * 4 + (one + "Connection: close\r\n\r\n").encode())
        assert answers.count(b"HTTP/1.1 200 OK") == 5
        answers = await world.raw((one + "\r\n").encode() * 500)
        assert answers.startswith(b"HTTP/1.1 429 ") and b" 200 " not in answers
        assert world.refusals.counts == {"slow": 1}

    trial(tmp_path, pipelined)


def test_what_comes_after_a_body(tmp_path: Path) -> None:
    """Trailers are no headers, and do not go on for ever; nor does what stands behind the size of a piece."""

    async def after(world: World) -> None:
        head = f"POST /v1/apps/shop/cost HTTP/1.1\r\nAuthorization: Bearer {world.secret}\r\nHost: x\r\n"
        head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        whole = head.encode() + b"2\r\n{}\r\n"
        end = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
        answer = await world.raw(whole + b"0\r\nauthorization: Bearer x\r\n\r\n" + end)
        assert answer.startswith(b"HTTP/1.1 200 OK"), answer
        for endless in (b"0\r\n" + b"a: b\r\n" * 30_000, b"0\r\na:" + b"b" * 150_000, b"1;" + b"a" * 150_000):
            assert (await world.raw(whole + endless)).startswith(b"HTTP/1.1 431 ")

    trial(tmp_path, after)


@pytest.mark.parametrize(
    ("first", "frame"),
    [(b"\x01\x80abcd", b"\x00\x80abcd"), (b"", b"\x89\xfdabcd" + bytes(125)), (b"", b"\xc1\x80abcd")],
    ids=["a message of many frames", "pings whose answers nobody reads", "compressed"],
)
def test_websockets_of_a_greedy_client(tmp_path: Path, first: bytes, frame: bytes) -> None:
    """They are closed before they hold much (RFC 6455, section 5.2 says what is written here)."""

    async def greedy(world: World) -> None:
        secret = world.access.create(TokenRequest(name="deployer", role="deploy")).secret
        reader, writer = await world.connect()
        head = f"GET /v1/apps/x/services/y/run HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
        head += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        head += "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        writer.write(head.encode())
        accepted = await reader.readuntil(b"\r\n\r\n")
        assert accepted.startswith(b"HTTP/1.1 101 ") and b"deflate" not in accepted
        writer.write(first)
        async with asyncio.timeout(60):  # it ends
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                for _ in range(100):
                    writer.write(frame * 3000)
                    await writer.drain()
                await reader.read()

    trial(tmp_path, greedy)


def test_what_a_token_holds_open_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def expiring(world: World) -> None:
        row = world.access.find(world.access.create(TokenRequest(name="short", role="read", expires_in=60)).secret)
        assert row is not None and 50 < (world.access.left(row) or 0) <= 60
        head = f"GET /v1/events?follow=true HTTP/1.1\r\nAuthorization: Bearer {world.secret}\r\nHost: x\r\n\r\n"
        with monkeypatch.context() as patch:
            patch.setattr(Access, "left", lambda *_: 0.1)
            answer = await world.raw(head.encode())
            assert answer.startswith(b"HTTP/1.1 401 ") and b"expired or was removed meanwhile" in answer

    trial(tmp_path, expiring)


def test_a_store_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is full keeps nobody out; where none can be read, that is said."""

    def broken(*_: object) -> None:
        raise WorldError("cannot use the store: the disk is full", "make room")

    async def full(world: World) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Tokens, "used", broken)
            assert await world.get() == 200
            patch.setattr(Tokens, "by_digest", broken)
            answer = await world.raw(b"GET /v1/info HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 503 ") and b"the disk is full" in answer

    trial(tmp_path, full)


def test_more_connections_than_one_client_may_begin(tmp_path: Path) -> None:
    async def many(world: World) -> None:
        world.network._most = 10_000  # it is not how many there are
        async with asyncio.timeout(60):
            while not world.refusals.counts["connections"]:
                _, writer = await world.connect(tls=False)
                writer.close()
        await world.served()  # in the next second

    trial(tmp_path, many)


def test_more_connections_than_one_client_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.api.network.listener.PACE", 10_000)

    async def many(world: World) -> None:
        most = world.network._most // 2
        made = [await world.connect(tls=False) for _ in range(most + 5)]
        closed = [reader for reader, _ in made[most:]]
        assert all([await reader.read() == b"" for reader in closed])
        assert world.refusals.counts["connections"] == 5
        for _, writer in made:
            writer.close()
        await until(lambda: all(each.fileno() < 0 for each in world.network._open))

    trial(tmp_path, many)


def test_who_does_not_speak_tls(tmp_path: Path) -> None:
    async def plain(world: World) -> None:
        reader, writer = await world.connect(tls=False)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.read()
        writer.close()
        await until(lambda: world.refusals.counts["handshake"] == 1)

    trial(tmp_path, plain)


def test_a_pair_that_does_not_go_together_changes_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        certificate, key = pair()
        (tmp_path / f"{name}.c").write_bytes(certificate)
        (tmp_path / f"{name}.k").write_bytes(key)
    made = Pair(tmp_path / "c", tmp_path / "k")
    with pytest.raises(WorldError, match="No such file"):
        made.look()
    assert made.context is None
    (tmp_path / "a.c").rename(tmp_path / "c")
    with pytest.raises(WorldError):
        made.look()
    (tmp_path / "a.k").rename(tmp_path / "k")
    assert made.look()
    context = made.context
    assert not made.look()
    (tmp_path / "b.c").rename(tmp_path / "c")
    with pytest.raises(WorldError, match="KEY_VALUES_MISMATCH"):
        made.look()
    assert not made.look(), "told once"
    (tmp_path / "b.k").rename(tmp_path / "k")
    assert made.look()
    assert made.context is context


def test_the_address_is_taken(tmp_path: Path) -> None:
    """It is tried again, and the daemon's other users do not notice."""

    async def go() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            refusals = Refusals(lambda *what: None, asyncio.get_running_loop().time)
            network = Network(create_app(FakeFacade()), other.getsockname(), None, refusals)
            running = asyncio.create_task(network.run())
            await until(lambda: network.problem is not None)
            assert "Address already in use" in str(network.problem)
        await until(lambda: network.port is not None)
        assert network.problem is None
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(go())
