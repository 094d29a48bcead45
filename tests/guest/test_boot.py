"""What a guest makes of its configuration, and what it reports."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from tests.guest.machine import Pairs, machine, needs_guests, shell

pytestmark = needs_guests
STARTED = ["booted", "started"]


@dataclass(frozen=True)
class Life:
    report: list[str]
    output: str
    console: str


def life(pairs: Pairs, *extra: str) -> Life:
    with machine(pairs, *extra) as it:
        return Life(it.ended(), it.output, it.console)


def test_who_the_program_is() -> None:
    script = 'id; hostname; echo "$WHAT $PATH"; cat /run/secrets/token /etc/hosts; exit 7'
    lived = life(
        shell(
            script,
            ("groups", "4,24"),
            ("hostname", "catalog-3"),
            ("env", "WHAT=a=b c"),
            ("env", "PATH=/bin"),
            ("cwd", "/run/secrets"),
            ("file", "/run/secrets/token:400:1000:1000:top:secret\n"),
            ("file", "/etc/hosts:644:0:0:127.0.0.1 localhost\n"),
            ("unheard", "of"),
        )
    )
    assert lived.output.splitlines() == [
        "uid=1000(service) gid=1000 groups=1000,4,24",
        "catalog-3",
        "a=b c /bin",
        "top:secret",
        "127.0.0.1 localhost",
    ]
    assert lived.report == [*STARTED, "ended exit 7"]
    assert "unheard" in lived.console


def test_a_signal_ends_it() -> None:
    assert life(shell("kill -ABRT $$")).report == [*STARTED, "ended signal 6"]


def test_out_of_memory() -> None:
    lived = life(
        shell("head -c 60000000 /dev/zero | tail -c 60000000 >/dev/null & exec tail /dev/zero", ("memory", "30000000"))
    )
    assert lived.report == [*STARTED, "ended signal 9 oom"]


def test_limited_processes() -> None:
    lived = life(shell("for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; echo unlimited", ("pids", "5")))
    assert "unlimited" not in lived.output
    assert lived.report[-1].startswith("ended exit")


@pytest.mark.parametrize(
    ("pairs", "what"),
    [
        ([("argv", "/bin/nothing")], "cannot run /bin/nothing: No such file or directory"),
        ([("argv", "/etc/passwd")], "cannot run /etc/passwd: Permission denied"),
        ([("argv", "/bin/sh"), ("cwd", "/nowhere")], "cannot enter /nowhere: No such file or directory"),
        ([("argv", "/bin/sh"), ("address", "10.0.0.1.5/8")], "configuration: address=10.0.0.1.5/8 is none"),
        ([("argv", "/bin/sh"), ("memory", "lots")], "cannot limit memory to lots: Invalid argument"),
        ([], "cannot run a program: no argv"),
    ],
)
def test_what_cannot_be_started(pairs: Pairs, what: str) -> None:
    assert life(pairs).report == ["booted", f"failed {what}"]


def test_network_clock_and_tmp() -> None:
    now = time.time() + 86400
    script = (
        "ip -o addr; ip route; date +%s; mount | while read line; do case $line in *' /tmp '*) echo $line;; esac; done"
    )
    lived = life(
        shell(
            script,
            ("mac", "02:42:0a:b1:00:05"),
            ("address", "10.177.0.5/16"),
            ("gateway", "10.177.0.1"),
            ("mtu", "1400"),
            ("time", f"{now:.3f}"),
            ("seed", "ab" * 64),
            ("tmp", "1048576"),
        )
    )
    print(lived)
    assert "inet 10.177.0.5/16" in lived.output
    assert "default via 10.177.0.1 dev eth0" in lived.output
    assert "size=1024k" in lived.output
    clock = next(int(line) for line in lived.output.splitlines() if line.isdigit())
    assert now - 1 <= clock < now + 60


def test_dhcp() -> None:
    lived = life(shell("ip -o addr; ip route; cat /etc/resolv.conf", ("dhcp", "1"), ("hostname", "catalog-3")))
    assert "inet 10.0.2.15/24" in lived.output
    assert lived.report == [*STARTED, "ended exit 0"]


def test_a_flood_is_whole() -> None:
    lived = life(shell("head -c 5000000 /dev/zero; echo end >/dev/stderr"))
    assert len(lived.output) == 5000004
    assert lived.output.endswith("end\n")


def test_it_opens_its_streams_again() -> None:
    assert life(shell("echo one >/dev/stdout; echo two >/proc/self/fd/2")).output == "one\ntwo\n"
