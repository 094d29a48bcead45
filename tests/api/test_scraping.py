"""The address for scrapers: it answers one question, whoever connects and whatever they send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from fourfold.api import scraping
from fourfold.api.scraping import Scraping
from fourfold.errors import WorldError
from tests.support.ports import free_port

TEXT = "# TYPE fourfold_gateway_up gauge\nfourfold_gateway_up 1\n"


async def text() -> str:
    return TEXT


@asynccontextmanager
async def serving(metrics: Callable[[], Awaitable[str]] = text) -> AsyncIterator[int]:
    port = free_port()
    running = asyncio.create_task(Scraping(metrics, f"127.0.0.1:{port}").run())
    try:
        async with asyncio.timeout(60):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.01)
        yield port
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def said(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(60):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def until_served(port: int) -> None:
    answer = b""
    while not answer.startswith(b"HTTP/1.1 200 "):
        with suppress(OSError):
            answer = await said(port, b"GET /metrics HTTP/1.1\r\n\r\n")
        await asyncio.sleep(0.01)


def test_a_scrape() -> None:
    async def run() -> None:
        async with serving() as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            for path in ("/metrics", "/metrics?name[]=x"):
                answer = await client.get(path)
                assert (answer.status_code, answer.text) == (200, TEXT)
                assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
            head = await client.head("/metrics")
            assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(TEXT)), b"")
            assert (await client.post("/metrics", content="x")).status_code == 405
            for path in ("/", "/v1/info", "/metrics/..", "/%2e%2e/metrics"):
                assert (await client.get(path)).status_code == 404, path

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET /metrics HTTP/2.0\r\n\r\n", b"HTTP/1.1 400 "),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\n", b""),
        (b"GET /metrics HTTP/1.1\r\n", b""),
    ],
)
def test_what_is_no_request(sent: bytes, status: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraping, "PATIENCE", 60 if status else 0.1)

    async def run() -> None:
        async with serving() as port:
            answer = await said(port, sent)
            assert answer.startswith(status) and bool(answer) == bool(status)
            monkeypatch.setattr(scraping, "PATIENCE", 60)
            assert (await said(port, b"GET /metrics HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 ")

    asyncio.run(run())


def test_slow_clients_keep_nobody_else_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraping, "PATIENCE", 0.3)

    async def run() -> None:
        async with serving() as port:
            slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(scraping.AT_ONCE * 3)]
            for _, writer in slow:
                writer.write(b"GET /metr")
            async with asyncio.timeout(60):
                await until_served(port)
                for reader, writer in slow:
                    with suppress(ConnectionError):
                        assert await reader.read() == b""
                    writer.close()

    asyncio.run(run())


@pytest.mark.parametrize(("error", "status"), [(WorldError("cannot read"), b"503"), (ValueError("x"), b"500")])
def test_what_cannot_be_told(error: Exception, status: bytes) -> None:
    async def fails() -> str:
        raise error

    async def run() -> None:
        async with serving(fails) as port:
            assert (await said(port, b"GET /metrics HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 " + status)

    asyncio.run(run())


def test_an_address_that_is_taken_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scraping, "AGAIN_SECONDS", 0.01)

    async def run() -> None:
        taken = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        port = taken.sockets[0].getsockname()[1]
        running = asyncio.create_task(Scraping(text, f"127.0.0.1:{port}").run())
        async with asyncio.timeout(60):
            while not caplog.records:  # noqa: ASYNC110 - nobody is told of it
                await asyncio.sleep(0.01)
            taken.close()
            await taken.wait_closed()
            await until_served(port)
        running.cancel()

    asyncio.run(run())
    assert len(caplog.records) == 1 and "cannot listen on 127.0.0.1:" in caplog.text
