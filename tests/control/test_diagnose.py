"""Where a program listens, against where it is asked; also one with a network of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess

import pytest

from fourfold.control.instances.diagnose import Diagnose, _address, _judge, is_halted
from fourfold.spawner import kernel

LOOPBACK, BRIDGE = "127.0.0.1", "10.177.0.5"


@pytest.mark.parametrize(
    ("found", "host", "said"),
    [
        ([], LOOPBACK, ""),
        ([("127.0.0.1", 80)], LOOPBACK, ""),
        ([("0.0.0.0", 80)], BRIDGE, ""),
        ([("::", 80)], BRIDGE, ""),
        ([("127.0.0.1", 80), ("10.177.0.5", 80)], BRIDGE, ""),
        ([("127.0.0.1", 80)], BRIDGE, "; it listens on 127.0.0.1:80 only: it must listen on $HOST"),
        ([("::1", 80)], LOOPBACK, "; it listens on [::1]:80 only: it must listen on $HOST"),
        ([("0.0.0.0", 3000)], BRIDGE, "; it listens on 0.0.0.0:3000 instead of $PORT (80)"),
        ([("::", 3000), ("127.0.0.1", 9)], LOOPBACK, "; it listens on [::]:3000, 127.0.0.1:9 instead of $PORT (80)"),
    ],
)
def test_what_is_said(found: list[tuple[str, int]], host: str, said: str) -> None:
    assert _judge(found, host, 80) == said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0100007F:1F90", ("127.0.0.1", 8080)),
        ("00000000000000000000000000000000:0050", ("::", 80)),
        ("00000000000000000000000001000000:0050", ("::1", 80)),
        ("0000000000000000FFFF00000500B10A:0050", ("10.177.0.5", 80)),
    ],
)
def test_addresses_as_the_kernel_writes_them(text: str, expected: tuple[str, int]) -> None:
    assert _address(text) == expected


@pytest.mark.parametrize(
    ("listens", "said"),
    [
        (("00000000:1F90",), None),
        (("0F0012C6:1F90",), None),
        (("00000000:0050",), "nothing listens on 198.18.0.15:8080 in its virtual machine"),
        (("0100007F:1F90",), "nothing listens on 198.18.0.15:8080 in its virtual machine"),
        (None, "its virtual machine does not say where programs listen"),
    ],
)
def test_a_guest_is_asked_who_listens(listens: tuple[str, ...] | None, said: str | None) -> None:
    async def in_guest(name: str) -> tuple[str, ...] | None:
        return listens

    assert asyncio.run(Diagnose(lambda name: None, in_guest).nobody("shop.web-1-a", "198.18.0.15", 8080)) == said


def test_who_was_stopped_from_outside() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert not is_halted(process.pid)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        assert is_halted(process.pid)
        process.kill()
    assert not is_halted(process.pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")
def test_a_program_in_a_network_of_its_own() -> None:
    """The same port of this host's is somebody else's."""
    ready_read, ready = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            kernel.unshare(kernel.CLONE_NEWNET)
            kernel.loopback_up()
            with socket.create_server(("127.0.0.1", 8099)):
                os.write(ready, b"x")
                signal.pause()
        finally:
            os._exit(1)
    try:
        os.read(ready_read, 1)
        said = asyncio.run(Diagnose(lambda name: pid).elsewhere("shop.web-1-a", BRIDGE, 8099))
        assert said == "; it listens on 127.0.0.1:8099 only: it must listen on $HOST"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
