"""The server of static services, over real connections."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fourfold.build import static_server
from tests.support.ports import free_port

from .helpers import write

pytestmark = pytest.mark.e2e
BIG = "x" * 3_000_000


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    root = write(
        tmp_path_factory.mktemp("site") / "root",
        {
            "index.html": "home", "docs/index.html": "docs", "a b.txt": "space", "app.js": "1", "big.bin": BIG,
            ".env": "secret", ".well-known/x": "known", "hollow/x": "", "../outside.txt": "outside",
        },
    )  # fmt: skip
    (root / "out").symlink_to("../outside.txt")
    number = free_port()
    server = subprocess.Popen(
        ["/usr/bin/python3", "-I", static_server.__file__, str(root)],
        env={"PORT": str(number), "HOST": "127.0.0.1"},
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None and b"serving" in server.stdout.readline()
    yield number
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=60) == 0


def ask(port: int, *requests: str) -> list[tuple[int, dict[str, str], str]]:
    """Requests sent at once on one connection, and their answers."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall("".join(requests).encode("latin-1"))
        file = connection.makefile("rb")
        answers = []
        for request in requests:
            status = int(file.readline().split()[1])
            headers: dict[str, str] = {}
            while line := file.readline().decode().strip():
                name, _, value = line.partition(": ")
                headers[name.lower()] = value
            size = 0 if request.startswith("HEAD") else int(headers.get("content-length", 0))
            answers.append((status, headers, file.read(size).decode()))
    return answers


def get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return ask(port, f"{method} {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n")[0]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/", 200, "home"),
        ("/index.html?x=1", 200, "home"),
        ("/docs/", 200, "docs"),
        ("/docs", 301, ""),
        ("/a%20b.txt", 200, "space"),
        ("http://host/app.js", 200, "1"),
        ("/.well-known/x", 200, "known"),
        ("/.env", 404, None),
        ("/out", 404, None),
        ("/../outside.txt", 404, None),
        ("/%2e%2e/outside.txt", 404, None),
        ("/docs/..%2f..%2foutside.txt", 404, None),
        ("/%00", 404, None),
        ("/%ff", 400, None),
        ("/hollow/", 404, None),
        ("/app.js/", 404, None),
        ("/" + "x" * 5000, 404, None),
        ("/big.bin", 200, BIG),
    ],
)
def test_what_a_path_gives(port: int, path: str, status: int, body: str | None) -> None:
    answer = get(port, path)
    assert answer[0] == status
    assert body is None or answer[2] == body


def test_head_types_and_etags(port: int) -> None:
    status, headers, _ = get(port, "/app.js")
    assert headers["content-type"] == "text/javascript; charset=utf-8"
    assert get(port, "/app.js", if_none_match=f'"x", W/{headers["etag"]}')[0] == 304
    assert get(port, "/app.js", if_none_match='"x"')[0] == 200
    status, head, _ = get(port, "/big.bin", "HEAD")
    assert (status, head["content-length"]) == (200, str(len(BIG)))
    assert get(port, "/docs")[1]["location"] == "/docs/"
    assert get(port, "//evil.example/docs")[0] == 404


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nX: " + "x" * 40_000, 431),
    ],
)
def test_what_is_refused(port: int, request_: str, status: int) -> None:
    assert ask(port, request_)[0][0] == status


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    one = "GET /{} HTTP/1.1\r\n\r\n"
    paths = ["app.js", "big.bin", "docs/", "big.bin", "app.js"]
    assert [answer[2] for answer in ask(port, *(one.format(path) for path in paths))] == ["1", BIG, "docs", BIG, "1"]


class Client(asyncio.Transport):
    """What it got, and whether it may send."""

    def __init__(self) -> None:
        super().__init__()
        self.got = b""
        self.may_send = True

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.got += data

    def pause_reading(self) -> None:
        self.may_send = False

    def resume_reading(self) -> None:
        self.may_send = True

    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("asked", "answers"),
    [
        (b"GET / HTTP/1.1\r\n\r\n" * 3000, 3000),
        (b"GET / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 50_000, 1),
    ],
)
def test_who_takes_no_answers_is_given_none_and_asked_to_wait(tmp_path: Path, asked: bytes, answers: int) -> None:
    (tmp_path / "index.html").write_text("home")

    async def run() -> None:
        client = Client()
        connection = static_server.Connection(static_server.Site(tmp_path, None), set(), asyncio.Event())
        connection.connection_made(client)
        connection.pause_writing()  # as transports do when much waits to be taken
        connection.data_received(asked)
        assert not client.got and not client.may_send
        connection.resume_writing()
        assert client.got.count(b"200 OK") == answers and client.may_send
        connection.connection_lost(None)

    asyncio.run(run())


def test_hundreds_of_connections_are_kept_alive_together(port: int) -> None:
    async def client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        well = 0
        for _ in range(5):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            well += (await reader.readuntil(b"home")).startswith(b"HTTP/1.1 200")
        writer.close()
        return well

    async def all_of_them() -> int:
        return sum(await asyncio.gather(*(client() for _ in range(300))))

    assert asyncio.run(all_of_them()) == 1500


def test_a_fallback_answers_what_is_not_there(tmp_path: Path) -> None:
    site = static_server.Site(write(tmp_path / "s", {"index.html": "app"}), "index.html")
    assert site.find("/cart/7") is None
    status, file = site.otherwise()
    assert status == 200 and file is not None and file.content == b"app"


def test_term_lets_an_answer_in_flight_end(tmp_path: Path) -> None:
    root = write(tmp_path / "s", {"big.bin": "x" * 30_000_000})
    number = free_port()
    server = subprocess.Popen(
        ["/usr/bin/python3", "-I", static_server.__file__, str(root)],
        env={"PORT": str(number), **{name: os.environ[name] for name in ("LANG",) if name in os.environ}},
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None and b"serving" in server.stdout.readline()
    with (
        socket.create_connection(("127.0.0.1", number), 60) as slow,
        socket.create_connection(("127.0.0.1", number)) as idle,
    ):
        slow.sendall(b"GET /big.bin HTTP/1.1\r\n\r\n")
        got = len(slow.recv(1000))
        server.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b"", "a connection without a request is closed"
        while chunk := slow.recv(1_000_000):
            got += len(chunk)
    assert got > 30_000_000
    assert server.wait(timeout=60) == 0
