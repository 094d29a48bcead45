"""HTTP as daemons and what stands in front of them speak it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourfold.cli.link import endpoint
from fourfold.cli.link.client import Client, LostError, NoDaemonError, QuietError
from fourfold.errors import UserError, WorldError


class Scripted:
    """Answers each connection with the next text, and keeps what was asked."""

    def __init__(self, path: Path, *answers: bytes, silent: bool = False) -> None:
        self.asked: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._ended = threading.Event()
        self._silent = silent
        self._thread = threading.Thread(target=self._serve, args=answers)
        self._thread.start()

    def _serve(self, *answers: bytes) -> None:
        for answer in answers:
            connection, _ = self._listener.accept()
            with connection:
                self.asked.append(connection.recv(65536))
                connection.sendall(answer)
                if self._silent:
                    self._ended.wait()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._listener.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def asked(path: Path, *answers: bytes, **how: bool) -> tuple[Client, Scripted]:
    return Client(endpoint.local(path), patience=0.2 if how else 30), Scripted(path, *answers, **how)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b'content-length: 8\r\n\r\n{"a": 1}',
        HEAD + b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n5;x=y\r\n": 1}\r\n0\r\ntrailer: x\r\n\r\n',
        b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b'Content-Length:8\r\n\r\n{"a": 1}',
        b'HTTP/1.0 200 OK\r\ncontent-length: 8\r\n\r\n{"a": 1}',
    ],
    ids=["length", "chunked", "after a continue", "1.0"],
)
def test_bodies(path: Path, answer: bytes) -> None:
    client, server = asked(path, answer)
    assert client.get("/x").a == 1
    server.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        HEAD + b'\r\n{"a": 1}',
        b"220 mail.example.com ESMTP\r\n",
        HEAD + b'content-length: 9\r\n\r\n{"a": 1}',
        HEAD + b'transfer-encoding: chunked\r\n\r\n8\r\n{"a": 1}\r\n',
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_breaks_off_is_lost(path: Path, answer: bytes) -> None:
    client, server = asked(path, answer)
    with pytest.raises(LostError):
        client.get("/x")
    server.close()


PAGE = b"content-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n" + PAGE, "no daemon, but HTTP status 502$"),
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\n<html>", "no daemon, but HTTP status 503$"),
        (
            b"HTTP/1.1 302 Found\r\nlocation: https://x/login\r\n" + PAGE,
            "no daemon, but HTTP status 302 to 'https://x/login'$",
        ),
        (b"HTTP/1.1 301 Moved\r\ncontent-length: 0\r\n\r\n", "no daemon, but HTTP status 301$"),
        (b'HTTP/1.1 404 X\r\ncontent-length: 16\r\n\r\n{"detail": "no"}', "no daemon, but HTTP status 404$"),
    ],
)
def test_what_is_no_daemon(path: Path, answer: bytes, told: str) -> None:
    """A proxy whose daemon is not there, one that wants a login, another program's port."""
    client, server = asked(path, answer, answer)
    with pytest.raises(WorldError, match=f"cannot use what answers at .*: {told}"):
        client.post("/v1/operations/op1/cancel")
    with pytest.raises(WorldError, match="cannot use what answers"):
        next(client.logs("shop"))
    server.close()


def test_a_page_in_place_of_an_answer(path: Path) -> None:
    """It is asked once more, for its version, and not for ever."""
    page = b"HTTP/1.1 200 OK\r\nconnection: close\r\n" + PAGE
    client, server = asked(path, *[page] * 4)
    with pytest.raises(WorldError, match=r"cannot understand what answers at .*: it does not say that it is a daemon"):
        client.get("/v1/apps")
    with pytest.raises(WorldError, match="it does not say that it is a daemon"):
        next(client.logs("shop"))
    server.close()
    assert [line.split(b" ")[1] for line in server.asked] == [
        b"/v1/apps",
        b"/v1/info",
        b"/v1/apps/shop/logs",
        b"/v1/info",
    ]


def test_a_connection_is_used_again(path: Path) -> None:
    """By a second request on it: nobody takes a second connection."""
    twice = [
        HEAD + b'content-length: 8\r\n\r\n{"a": 1}',
        HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n2\r\n0\r\n\r\n",
    ]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        client = Client(endpoint.local(path))
        answers = iter([*twice, *twice])

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert [client.get("/x") for _ in range(4)] == [{"a": 1}, 2, {"a": 1}, 2]
        thread.join()


def test_a_kept_connection_that_closes_when_it_is_asked(path: Path) -> None:
    """What changes nothing is asked again, on another one; what may have been done is not."""
    answer = HEAD + b"content-length: 1\r\n\r\n1"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        client = Client(endpoint.local(path))
        asked = []

        def serve() -> None:
            for requests in (2, 2, 1):
                connection, _ = listener.accept()
                with connection:
                    asked.append(connection.recv(65536).split(b" ")[0])
                    connection.sendall(answer)
                    if requests == 2:
                        asked.append(connection.recv(65536).split(b" ")[0])

        thread = threading.Thread(target=serve)
        thread.start()
        assert [client.get("/x"), client.get("/x")] == [1, 1]
        with pytest.raises(LostError):
            client.post("/x")
        assert client.get("/x") == 1
        thread.join()
    assert asked == [b"GET", b"GET", b"GET", b"POST", b"GET"]


def test_nobody_there(path: Path) -> None:
    with pytest.raises(NoDaemonError):
        Client(endpoint.local(path)).get("/x")
    assert not Client(endpoint.local(path)).answers()


@pytest.mark.parametrize("answer", [b"", HEAD + b"content-length: 8\r\n\r\n{"])
def test_nothing_comes(path: Path, answer: bytes) -> None:
    client, server = asked(path, answer, silent=True)
    with pytest.raises(QuietError):
        client.get("/x")
    server.close()


def test_what_was_asked(path: Path) -> None:
    done = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
    client, server = asked(path, done, done, done)
    client.get("/v1/apps/a b?#\r\nx/ü/%2F", name=["a", "b&c"], none=None)
    client.ask("DELETE", "/x")
    client.send_blobs(iter([b"abc", b"", b"de"]))
    server.close()
    get, delete, blobs = server.asked
    assert get.startswith(
        b"GET /v1/apps/a%20b%3F%23%0D%0Ax/%C3%BC/%2F?name=a&name=b%26c HTTP/1.1\r\nHost: fourfold\r\n"
    )
    assert delete.startswith(b"DELETE /x HTTP/1.1\r\n")
    assert b"\r\nTransfer-Encoding: chunked\r\n" in blobs


def test_a_refusal_before_all_was_sent(path: Path) -> None:
    """Whoever answers and closes does not read the rest."""
    body = b'{"status": 413, "error": "cannot take it", "hint": null}'
    client, server = asked(path, b"HTTP/1.1 413 X\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    pieces: Iterator[bytes] = iter([b"x" * 100_000] * 100)
    with pytest.raises(UserError, match="cannot take it"):
        client.send_blobs(pieces)
    server.close()
