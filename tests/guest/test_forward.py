"""What takes a connection of a guest out to this host's loopback: all of it, both ways, and each end."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fourfold.build.disk.guest import find_compiler

MUCH = bytes(range(256)) * 4096
PATIENCE = 60.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("forward") / "init"
    find_compiler().compile(made, "-Werror")
    return made


@contextmanager
def forwarded(program: Path, port: int) -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    """The guest's side of a connection, as QEMU has it; what forwards it ends with both."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen([program, "forward", str(port)], stdin=theirs.fileno())
        try:
            ours.settimeout(PATIENCE)
            yield ours, process
        finally:
            process.kill()
            process.wait()


def received(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_all_of_it_arrives_and_comes_back_after_the_end(program: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(received(connection)[::-1])  # once all of it is there

        threading.Thread(target=answer, daemon=True).start()
        with forwarded(program, server.getsockname()[1]) as (guest, process):
            guest.sendall(MUCH)
            guest.shutdown(socket.SHUT_WR)
            assert received(guest) == MUCH[::-1]
            assert process.wait(PATIENCE) == 0


def test_neither_way_waits_for_the_other(program: Path) -> None:
    """A service that answers while it reads, and more than it has read, reads on only when its answer is taken."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                while piece := connection.recv(65536):
                    connection.sendall(3 * piece)

        threading.Thread(target=answer, daemon=True).start()
        with forwarded(program, server.getsockname()[1]) as (guest, process):

            def ask() -> None:
                for _ in range(32):
                    guest.sendall(MUCH)
                guest.shutdown(socket.SHUT_WR)

            threading.Thread(target=ask, daemon=True).start()
            assert len(received(guest)) == 3 * 32 * len(MUCH)
            assert process.wait(PATIENCE) == 0


def test_where_nobody_listens_it_ends(program: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with forwarded(program, port) as (guest, process):
        assert received(guest) == b"" and process.wait(PATIENCE) == 1


def test_a_guest_that_goes_away_ends_it(program: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, forwarded(program, server.getsockname()[1]) as (guest, it):
        connection, _ = server.accept()
        guest.close()
        with connection:
            connection.settimeout(PATIENCE)
            assert connection.recv(1) == b""
        assert it.wait(PATIENCE) == 0
