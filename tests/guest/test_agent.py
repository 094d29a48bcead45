"""PID 1 left to another's init: the agent that it is to start does what PID 1 does elsewhere."""

from __future__ import annotations

import asyncio

from fourfold.supervise.machines.guest import Guest
from tests.guest.machine import PATIENCE, Guests, shell
from tests.support.wait import until

INIT = """#!/bin/sh
while read -r what place more; do [ "$place" = /run ] && echo "at /run: $what"; done </proc/mounts
trap 'echo "asked to power down"' 38
cat /run/systemd/system/multi-user.target.wants/fourfold-guest.service
mkdir /sys/fs/cgroup/unit
sh -c 'echo $$ >/sys/fs/cgroup/unit/cgroup.procs; exec /run/fourfold-guest/guest agent'
echo "the agent: $?"
cat /run/fourfold-guest/config
echo o >/proc/sysrq-trigger
sleep 1000
"""


def test_the_agent_runs_the_service(guests: Guests) -> None:
    script = (
        "trap 'exit 5' TERM; cat /proc/self/cgroup; id -u; "
        "echo $PPID $(cat /proc/$PPID/oom_score_adj /proc/self/oom_score_adj); while :; do sleep 1000 & wait $!; done"
    )
    more = [("init", "/sbin/init"), ("file", f"/sbin/init:755:0:0:{INIT}"), ("memory", "50000000"), ("grace", "30")]
    with guests.clone(shell(script, *more)) as it:
        it.until("started")
        until(lambda: it.output.count("\n") == 3, PATIENCE)
        group, user, parent = it.output.splitlines()
        assert (group, user) == ("0::/unit/service", "1000")
        number, spared, own = parent.split()
        assert int(number) > 1
        assert (spared, own) == ("-1000", "0")

        async def stop() -> None:
            guest = await Guest.connect(it.control, PATIENCE)
            assert (await guest.usage()).processes >= 1
            session = await guest.execute(["cat", "/proc/self/cgroup"], {"PATH": "/bin"}, "/", None)
            assert await session.read() == (1, b"0::/unit/exec-0\n")
            await guest.signal("TERM")
            await guest.close()

        asyncio.run(stop())
        assert it.ended() == ["started", "ended exit 5"]
        assert "at /run: run" in it.console, "systemd would mount one over all that it is to find there"
        assert "ExecStart=/run/fourfold-guest/guest agent" in it.console
        assert "TimeoutStopSec=40" in it.console
        assert "the agent: 0" in it.console
        assert "asked to power down" in it.console, "systemd's SIGRTMIN+4"
        assert "argv=" not in it.console, "the configuration is left behind"
