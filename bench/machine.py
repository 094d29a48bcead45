"""What benches need from the machine: free ports, answers, processes, folders that services can enter."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

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
    """From `began` (time.monotonic) until each has answered 200 once. All are asked at the same time, every 100 ms."""

    async def ask(port: int) -> None:
        while not await _answers(port):  # noqa: ASYNC110 - what we wait for is another program
            await asyncio.sleep(0.1)

    async def all_of_them() -> None:
        async with asyncio.timeout(limit), asyncio.TaskGroup() as group:
            for port in ports:
                group.create_task(ask(port))

    asyncio.run(all_of_them())
    return time.monotonic() - began


async def _answers(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(_GET)
        return (await reader.read(64)).split(b" ", 2)[1:2] == [b"200"]
    except OSError:
        return False
    finally:
        writer.close()


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
