"""What a guest makes of its configuration, and what it reports."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from tests.guest.machine import Guests, Pairs, shell


@dataclass(frozen=True)
class Life:
    report: list[str]
    output: str
    console: str


def life(guests: Guests, pairs: Pairs) -> Life:
    with guests.clone(pairs) as it:
        return Life(it.ended(), it.output, it.console)


def test_from_boot_to_its_end(guests: Guests) -> None:
    script = 'id; hostname; echo "$WHAT $PATH"; cat /run/secrets/token /etc/hosts; exit 7'
    pairs = shell(
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
    with guests.booted(pairs) as it:
        assert it.ended() == ["booted", "started", "ended exit 7"]
        assert it.output.splitlines() == [
            "uid=1000(service) gid=1000 groups=1000,4,24",
            "catalog-3",
            "a=b c /bin",
            "top:secret",
            "127.0.0.1 localhost",
        ]
        assert "unheard" in it.console


def test_out_of_memory(guests: Guests) -> None:
    script = "head -c 60000000 /dev/zero | tail -c 60000000 >/dev/null & exec tail /dev/zero"
    assert life(guests, shell(script, ("memory", "30000000"))).report == ["started", "ended signal 9 oom"]


def test_limited_processes(guests: Guests) -> None:
    lived = life(guests, shell("for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; echo unlimited", ("pids", "5")))
    assert "unlimited" not in lived.output
    assert lived.report == ["started", "ended exit 2"]


@pytest.mark.parametrize(
    ("pairs", "what"),
    [
        ([("argv", "/bin/nothing")], "cannot run /bin/nothing: No such file or directory"),
        ([("argv", "/bin/sh"), ("cwd", "/nowhere")], "cannot enter /nowhere: No such file or directory"),
        ([("argv", "/bin/sh"), ("address", "10.0.0.1.5/8")], "configuration: address=10.0.0.1.5/8 is none"),
        ([("argv", "/bin/sh"), ("memory", "lots")], "cannot limit memory to lots: Invalid argument"),
        ([], "cannot run a program: no argv"),
    ],
)
def test_what_cannot_be_started(guests: Guests, pairs: Pairs, what: str) -> None:
    assert life(guests, pairs).report == [f"failed {what}"]


def test_network_clock_tmp_and_streams(guests: Guests) -> None:
    now = time.time() + 86400
    script = (
        "ip -o addr; ip route; date +%s; mount | while read line; do case $line in *' /tmp '*) echo $line;; esac; done;"
        "echo one >/dev/stdout; echo two >/proc/self/fd/2; kill -ABRT $$"
    )
    pairs = shell(
        script,
        ("mac", "02:42:0a:b1:00:05"),
        ("address", "10.177.0.5/16"),
        ("gateway", "10.177.0.1"),
        ("mtu", "1400"),
        ("time", f"{now:.3f}"),
        ("seed", "ab" * 64),
        ("tmp", "1048576"),
    )
    lived = life(guests, pairs)
    assert "inet 10.177.0.5/16" in lived.output
    assert "default via 10.177.0.1 dev eth0" in lived.output
    assert "size=1024k" in lived.output
    clock = next(int(line) for line in lived.output.splitlines() if line.isdigit())
    assert now - 1 <= clock < now + 60
    assert lived.output.endswith("\none\ntwo\n")
    assert lived.report == ["started", "ended signal 6"]


def test_dhcp_and_a_flood(guests: Guests) -> None:
    script = "ip -o addr; ip route; cat /etc/resolv.conf; head -c 5000000 /dev/zero; echo end >/dev/stderr"
    lived = life(guests, shell(script, ("dhcp", "1"), ("hostname", "catalog-3")))
    before, flood, end = lived.output.partition("\0" * 5000000)
    assert "inet 10.0.2.15/24" in before
    assert (bool(flood), end) == (True, "end\n")
    assert lived.report == ["started", "ended exit 0"]
