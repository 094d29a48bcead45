"""One request to a real server, and what its answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from fourfold.control.notifying import posting
from fourfold.control.notifying.notifying import Answer
from fourfold.control.notifying.posting import Poster

Said = Callable[[asyncio.StreamWriter], None]


@asynccontextmanager
async def server(answer: bytes, asked: list[bytes] | None = None, drips: bool = False) -> AsyncIterator[str]:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.append(head + await reader.readexactly(2))
        while drips:  # till nobody is there any more
            writer.write(answer)
            await writer.drain()
            await asyncio.sleep(0.02)
        if answer:
            writer.write(answer)
            await writer.drain()
            writer.close()
        else:  # from Python 3.13 on, a connection that nobody knows any more is closed
            silent.append(writer)

    silent: list[asyncio.StreamWriter] = []
    running = await asyncio.start_server(client, "127.0.0.1", 0)
    async with running:
        yield f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}/hook/secret-token"
        for writer in silent:  # from Python 3.12 on, a server is closed when its connections are
            writer.close()


def posted(answer: bytes, asked: list[bytes] | None = None, drips: bool = False) -> Answer:
    async def run() -> Answer:
        async with server(answer, asked, drips) as url:
            return await Poster().post(url, b"{}", {"webhook-id": "evt_1"})

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("line", "error", "final", "wait"),
    [
        ("200 OK", "", False, 0),
        ("204 No Content", "", False, 0),
        ("301 Moved Permanently\r\nLocation: http://127.0.0.1:9/", "it answers 301 Moved Permanently", True, 0),
        ("400 Bad Request", "it answers 400 Bad Request", True, 0),
        ("410 Gone", "it answers 410 Gone", True, 0),
        ("429 Too Many Requests\r\nRetry-After: 7", "it answers 429 Too Many Requests", False, 7),
        ("503 Whatever\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT", "it answers 503 Service Unavailable", False, 0),
        ("599 Odd", "it answers 599", False, 0),
    ],
)
def test_answers(line: str, error: str, final: bool, wait: float) -> None:
    answer = posted(f"HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n".encode())
    assert (answer.error, answer.final, answer.wait) == (error, final, wait)


def test_what_is_asked() -> None:
    asked: list[bytes] = []
    assert (
        posted(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", asked).error == ""
    )  # its body is not waited for
    (request,) = asked
    assert request.startswith(b"POST /hook/secret-token HTTP/1.1\r\n") and request.endswith(b"\r\n\r\n{}")
    assert b"\r\nwebhook-id: evt_1\r\n" in request.lower()


def test_no_answer_and_none_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "TIMEOUT", 0.1)
    answer = posted(b"")
    assert (answer.error, answer.final) == ("no answer within 0.1 s", False)
    assert posted(b"garbage\r\n\r\n").error
    monkeypatch.setattr(posting, "TIMEOUT", 0.2)
    assert posted(b"X: y\r\n", drips=True).error.startswith(("no answer within 0.2 s", "illegal"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/secret-token", "http://no-such-host.invalid/secret-token"])
def test_nobody_there(url: str) -> None:
    answer = asyncio.run(Poster().post(url, b"{}", {}))
    assert answer.error and not answer.final and "secret-token" not in answer.error
