"""What a virtual machine is handed: descriptors in order, FIFOs without an end, programs that serve it."""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fourfold.spawner import plugs
from fourfold.spawner.request import Bundle, Failed, User


def bundle(folder: Path, **given: Any) -> Bundle:
    fields: dict[str, Any] = {
        "folder": str(folder),
        "files": [],
        "overlays": {},
        "points": [],
        "size": 0,
        "unmounted": [],
        "cgroups": [],
        "leaves": False,
        "as_user": True,
    }
    return Bundle(**{**fields, **given})


def in_child(folder: Path, do: Callable[[], Any]) -> Any:
    """What `do` gives in a child whose current folder this is; a Failed as [stage, errno, detail]."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        os.chdir(folder)
        writer = plugs.move_up(writer)
        os.closerange(3, plugs.ABOVE)
        try:
            answer = do()
        except Failed as failed:
            answer = [failed.stage, failed.errno, failed.detail]
        except BaseException as error:
            answer = repr(error)
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        answer = json.loads(file.read())
    os.waitpid(pid, 0)
    return answer


def test_descriptors_come_in_the_order_asked_for(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("saved")
    wanted = [["listen", "control"], ["append", "guest"], ["read", str(tmp_path / "state")]]

    def open_and_look() -> list[Any]:
        opened = plugs.open_all(bundle(tmp_path, opened=wanted), None, [])
        plugs.hand_over(opened, [])
        os.write(4, b"booted\n")
        inherited = [os.get_inheritable(number) for number in (3, 4, 5)]
        with socket.socket(fileno=3) as listener:
            listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return [listens, os.read(5, 10).decode(), inherited]

    assert in_child(tmp_path, open_and_look) == [1, "saved", [True] * 3]
    assert (tmp_path / "guest").read_text() == "booted\n"
    assert (tmp_path / "control").is_socket() and (tmp_path / "control").stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    got = in_child(tmp_path, lambda: plugs.open_all(bundle(tmp_path, opened=[["read", "/none"]]), None, []))
    assert got == ["read", 2, "/none"]


def test_too_few_descriptors_are_named(tmp_path: Path) -> None:
    def move() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        plugs.move_up(os.open("/dev/null", os.O_RDONLY))

    assert in_child(tmp_path, move) == ["descriptors", errno.EMFILE, ""]


def test_a_fifo_has_no_end(tmp_path: Path) -> None:
    def fill() -> list[Any]:
        kept = plugs.make_fifos(bundle(tmp_path, fifos={"clone.in": "one\n"}), None)
        plugs.hand_over([], kept)
        reader = os.open("clone.in", os.O_RDONLY | os.O_NONBLOCK)
        first = os.read(reader, 10).decode()
        try:
            return [first, os.read(reader, 10).decode()]
        except BlockingIOError:
            return [first, "would wait", os.get_inheritable(kept[0])]

    assert in_child(tmp_path, fill) == ["one\n", "would wait", True]


HELPER = """
import os, socket
listener = socket.socket(fileno=3)
connection, _ = listener.accept()
connection.sendall(f"{os.getppid()} {os.environ['A']}".encode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="it has a mount namespace of its own")
def test_a_helper_listens_and_is_nobodys_child(tmp_path: Path) -> None:
    given = bundle(tmp_path, helpers={"share0": [sys.executable, "-c", HELPER]})

    def start() -> list[Any]:
        plugs.start_helpers(given, None, {"A": "b"})
        with socket.socket(socket.AF_UNIX) as client:
            client.connect("share0")
            parent, given_env = client.recv(100).decode().split()
        return [int(parent) == os.getpid(), given_env]

    assert in_child(tmp_path, start) == [False, "b"]


@pytest.mark.skipif(os.geteuid() != 0, reason="it has a mount namespace of its own")
def test_a_helper_that_is_not_there_is_named(tmp_path: Path) -> None:
    given = bundle(tmp_path, helpers={"share0": ["/no/such/program"]})
    assert in_child(tmp_path, lambda: plugs.start_helpers(given, None, {})) == ["helper", 2, "/no/such/program"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_what_it_opens_anew_belongs_to_its_user(tmp_path: Path) -> None:
    user = User(65533, 65534, "probe", "/tmp")
    given = bundle(tmp_path, opened=[["append", "guest"]])
    assert in_child(tmp_path, lambda: len(plugs.open_all(given, user, []))) == 1
    assert ((tmp_path / "guest").stat().st_uid, (tmp_path / "guest").stat().st_gid) == (65533, 65534)
