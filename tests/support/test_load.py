"""The load generator is what "no request is lost" rests on: it must see every kind of failure."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.load import Load
from tests.support.ports import free_port
from tests.support.wait import until

WEB = Path(__file__).parent / "services" / "web.py"


def slowed(url: str) -> int:
    """How many requests to be slow have reached it."""
    with urlopen(f"{url}/slowed") as answer:
        return int(answer.read())


def listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port)):
        return True


@contextmanager
def web(**env: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(WEB)], env={**os.environ, "PORT": str(port), **env}, stdout=subprocess.DEVNULL
    )
    try:
        until(lambda: listens(port), what="web.py to listen")
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def canned(answer: bytes) -> Iterator[str]:
    """A server that says the same to every first request of a connection and hangs up at once."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-", "short"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "short"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "short"),
        (b"hello\r\n\r\n", "malformed"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "status 503"),
    ],
)
def test_counts_each_kind_of_failure(answer: bytes, kind: str) -> None:
    with canned(answer) as url, Load(url, connections=1, keep_alive=0, max_requests=3) as load:
        report = load.wait()
    assert (report.ok, report.kinds) == (0, {kind: 3})


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 303 See Other\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_counts_good_answers(answer: bytes) -> None:
    with canned(answer) as url, Load(url, connections=1, max_requests=3) as load:
        report = load.wait()
    assert (report.ok, report.failed) == (3, 0)


def test_hanging_up_on_a_kept_connection_has_a_kind_of_its_own() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with canned(answer) as url, Load(url, connections=1, keep_alive=1, max_requests=4) as load:
        report = load.wait()
    assert (report.ok, report.kinds) == (2, {"closed-idle": 2})


def test_refused() -> None:
    with socket.socket() as taken:  # and nobody listens
        taken.bind(("127.0.0.1", 0))
        with Load(f"http://127.0.0.1:{taken.getsockname()[1]}/", connections=1, max_requests=2) as load:
            assert load.wait().kinds == {"refused": 2}


def test_timeout() -> None:
    with web() as (_, url), Load(f"{url}/slow?seconds=5", connections=1, timeout=0.1, max_requests=2) as load:
        assert load.wait().kinds == {"timeout": 2}


def test_keeps_and_closes_connections_and_counts_versions() -> None:
    with web(VERSION="7") as (_, url), Load(f"{url}/", version=r"X-Version: (\S+)", max_requests=200) as load:
        report = load.wait()
    assert (report.ok, report.failed, report.versions) == (200, 0, {"7": 200})


def test_a_killed_server_shows() -> None:
    with web() as (process, url), Load(f"{url}/") as load:
        until(lambda: load.report().ok > 20, what="load to flow")
        process.kill()
        until(lambda: load.report().failed > 0, what="a failure to be counted")
    assert load.report().failed > 0


def test_web_answers_what_is_in_flight_before_it_leaves() -> None:
    with web() as (process, url), Load(f"{url}/slow?seconds=1", connections=8, max_requests=8) as load:
        until(lambda: slowed(url) == 8, what="eight requests in flight")
        process.send_signal(signal.SIGTERM)
        report = load.wait()
        assert process.wait(60) == 0
    assert (report.ok, report.failed) == (8, 0)


@pytest.mark.parametrize("url", ["http://192.0.2.1/", "http://example.com/", "https://127.0.0.1/"])
def test_refuses_anything_but_loopback(url: str) -> None:
    with pytest.raises(ValueError, match="only http on loopback"):
        Load(url)


def test_until_says_what_it_waited_for_and_what_it_saw() -> None:
    places: dict[str, str] = {}
    with pytest.raises(AssertionError, match=r"waited 0.05 s for the moon; last seen: KeyError: 'moon'"):
        until(lambda: places["moon"], timeout=0.05, what="the moon")
