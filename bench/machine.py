"""What benches need from the machine: free ports, answers, processes, folders that services can enter."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from tests.support.wait import until

ROOT = Path(__file__).resolve().parent.parent
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENV = {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/")}
"""The environment that every contender starts from: the system's own interpreters."""
_GET = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"


def need_root_and_parts() -> None:
    """Install what the benches need (see bin/prepare.py), or end with what to do."""
    if subprocess.run([ROOT / "bin" / "prepare.py", "bench"]).returncode != 0:
        sys.exit(1)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder that other users can pass through."""
    path = Path(tempfile.mkdtemp(prefix="fourfold-bench-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def free_ports(count: int, start: int = 30000) -> list[int]:
    """`count` ports in a row that nobody listens on, between those of Fourfold and those that the kernel gives out."""
    for first in range(start, 32700 - count, count):
        if all(_is_free(port) for port in range(first, first + count)):
            return list(range(first, first + count))
    raise RuntimeError(f"no {count} free ports in a row from {start} on")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def get(port: int, request: bytes = _GET) -> bytes:
    """The whole answer of 127.0.0.1:port. Raises OSError."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def answers(port: int) -> bool:
    try:
        return get(port).split(b" ", 2)[1:2] == [b"200"]
    except OSError:
        return False


def seconds_until_all_answer(ports: Sequence[int], began: float, limit: float = 180) -> float:
    """From `began` (time.monotonic) until each has answered 200 once. All are asked side by side, every 50 ms.

    It must take next to nothing, for it shares the cores with what it measures: a refused connection is two calls.
    """
    waiting = set(ports)
    with selectors.DefaultSelector() as asked:
        while waiting:
            for port in waiting - {key.data for key in asked.get_map().values()}:
                if connection := _asked(port):
                    asked.register(connection, selectors.EVENT_READ, port)
            for key, _ in asked.select(timeout=0.05):
                connection = cast(socket.socket, key.fileobj)
                asked.unregister(connection)
                if _is_good(connection):
                    waiting.discard(key.data)
            if time.monotonic() - began > limit:
                raise TimeoutError(f"{len(waiting)} of {len(ports)} ports do not answer after {limit:g} s")
    return time.monotonic() - began


def _asked(port: int) -> socket.socket | None:
    """A connection on which the question is; None while nobody listens."""
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex(("127.0.0.1", port))  # on loopback it is connected, or refused, at once
    try:
        connection.send(_GET)
    except OSError:
        connection.close()
        return None
    return connection


def _is_good(connection: socket.socket) -> bool:
    with connection:
        try:
            return connection.recv(64).split(b" ", 2)[1:2] == [b"200"]
        except OSError:
            return False


def processes_of(home: Path) -> list[int]:
    """The daemon, the spawner and all below them of the Fourfold whose FOURFOLD_HOME is `home`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            variables = (entry / "environ").read_bytes().split(b"\0")
            if f"{home}/run/spawner.sock".encode() in words or f"FOURFOLD_HOME={home}".encode() in variables:
                found.append(int(entry.name))
    return with_descendants(found)


def with_descendants(pids: Sequence[int]) -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def end(pids: Sequence[int]) -> None:
    """SIGTERM, then SIGKILL, for processes that this bench has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        with contextlib.suppress(AssertionError):
            until(lambda: not any(_alive(pid) for pid in pids), timeout=10)
            return


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def cpu_seconds(pid: int) -> float:
    """User and system time (proc(5), /proc/PID/stat, fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
