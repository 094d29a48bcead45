"""The WebSocket protocol of exec and run, spoken by another implementation of the client side."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.sync.client import ClientConnection, unix_connect

from fourfold.errors import NotFoundError
from tests.api.serving import Serving, eventually


@contextmanager
def opened(server: Serving, what: str, **start: object) -> Iterator[ClientConnection]:
    uri = f"ws://fourfold/v1/apps/shop/services/catalog/{what}"
    with unix_connect(str(server.socket), uri, open_timeout=20) as socket:
        socket.send(json.dumps({"argv": ["cat"]} | start))
        yield socket


def test_bytes_in_bytes_out_and_the_code(server: Serving) -> None:
    with opened(server, "exec", tty=True, rows=24, columns=80, instance="i") as socket:
        socket.send(b"\x00hello")
        assert {socket.recv(20), socket.recv(20)} == {b"\x01hello", room(5)}
        socket.send(b"\x02" + struct.pack(">HH", 50, 132))
        socket.send(b"\x01")
        assert socket.recv(20) == b"\x02bye\n"
        assert socket.recv(20) == b"\x03" + struct.pack(">i", 7)
    assert server.facade.calls == [("exec", ("shop", "catalog", "i", ["cat"], True))]
    assert server.facade.program.sizes == [(24, 80), (50, 132)]
    eventually(lambda: server.facade.program.closed)


def room(count: int) -> bytes:
    return b"\x05" + struct.pack(">I", count)


def test_a_signal(server: Serving) -> None:
    with opened(server, "run") as socket:
        socket.send(b"\x03TERM")
        assert socket.recv(20) == b"\x03" + struct.pack(">i", 143)
    assert server.facade.program.signals == ["TERM"]


def test_a_signal_passes_input_that_is_not_read(server: Serving) -> None:
    server.facade.program.reads = False
    with opened(server, "run") as socket:
        for _ in range(4):
            socket.send(b"\x00" + bytes(64 * 1024))
        socket.send(b"\x03INT")
        assert socket.recv(20) == b"\x03" + struct.pack(">i", 143)


def test_more_input_than_there_is_room_for(server: Serving) -> None:
    server.facade.program.reads = False
    with opened(server, "run") as socket:
        for _ in range(4):
            socket.send(b"\x00" + bytes(64 * 1024))
        socket.send(b"\x00x")
        assert b"more input than there was room for" in socket.recv(20)
    eventually(lambda: server.facade.program.closed)


def test_a_client_that_goes_ends_the_program(server: Serving) -> None:
    with opened(server, "run"):
        eventually(lambda: bool(server.facade.calls))
        assert not server.facade.program.closed
    eventually(lambda: server.facade.program.closed)


def test_why_it_cannot_start(server: Serving) -> None:
    server.facade.fails["exec"] = NotFoundError("cannot find it", "look")
    with opened(server, "exec") as socket:
        message = socket.recv(20)
    assert isinstance(message, bytes)
    assert message[:1] == b"\x04"
    assert json.loads(message[1:]) == {
        "status": 404,
        "error": "cannot find it",
        "hint": "look",
        "problems": [],
        "fields": {},
    }


@pytest.mark.parametrize("start", [{"argv": []}, {"argv": ["a"], "more": 1}, {"argv": "ls"}])
def test_a_first_message_that_is_not_as_documented(server: Serving, start: dict[str, object]) -> None:
    with opened(server, "exec", **start) as socket:
        assert b"the first message is not as documented" in socket.recv(20)
    assert server.facade.calls == []


@pytest.mark.parametrize("frame", [b"", b"\x09x", b"\x02\x00", "text"])
def test_a_later_message_that_is_not_as_documented(server: Serving, frame: bytes | str) -> None:
    with opened(server, "exec") as socket:
        socket.send(frame)
        assert b"a message is not as documented" in socket.recv(20)
    eventually(lambda: server.facade.program.closed)
