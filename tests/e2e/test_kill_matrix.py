"""Promise 2, step by step: the daemon is killed before and after every commit of every change, and all converges."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e import flows
from tests.e2e.home import WEB, Home
from tests.e2e.traffic import Traffic
from tests.support.ports import free_port
from tests.support.wait import until

OTHERS = (
    flows.First,
    flows.Before,
    flows.Failing,
    flows.ScaleUp,
    flows.ScaleDown,
    flows.Rollback,
    flows.Recreate,
    flows.Member,
    flows.Down,
)
STRATEGIES = (flows.Canary, flows.BlueGreen, flows.Promote, flows.Abort)
POINTS = 10
"""Every change has more commits than that, those of events and of the daemon's start included."""


def chance() -> random.Random:
    """The same in each run; FOURFOLD_TEST_SEED chooses others."""
    seed = os.environ.get("FOURFOLD_TEST_SEED") or "1"
    print(f"FOURFOLD_TEST_SEED={seed}")
    return random.Random(seed)


@pytest.mark.timeout(1500)
def test_every_step_of_a_rolling_deploy(home: Home) -> None:
    """Before or after it, by chance; both with `full`."""
    last = survive(flows.Flow(home), some_steps(chance(), 1))
    assert last > 2 * POINTS, "a deploy has more steps than that: the fault did not work"


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", OTHERS)
def test_some_steps_of(home: Home, kind: type[flows.Flow]) -> None:
    survive_some(home, kind, chance())


def survive_some(home: Home, kind: type[flows.Flow], by: random.Random) -> None:
    last = survive(kind(home), some_steps(by, kind.stride))
    assert last > POINTS, "it has more steps than that: the fault did not work"


@pytest.mark.timeout(1500)
def test_some_steps_of_a_strategy(home: Home) -> None:
    by = chance()
    survive_some(home, by.choice(STRATEGIES), by)


@pytest.mark.timeout(1500)
@pytest.mark.patterns("container")
@pytest.mark.parametrize("kind", (flows.Flow, flows.Move, flows.ScaleDown))
def test_some_steps_with_containers(home: Home, kind: type[flows.Flow]) -> None:
    test_some_steps_of(home, kind)


@pytest.mark.full
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", STRATEGIES)
def test_some_steps_of_strategies(home: Home, kind: type[flows.Flow]) -> None:
    test_some_steps_of(home, kind)


@pytest.mark.full
@pytest.mark.timeout(1500)
@pytest.mark.patterns("function")
@pytest.mark.parametrize("kind", (flows.Flow, flows.MoveToFunction, flows.Failing, flows.Down))
def test_some_steps_with_functions(home: Home, kind: type[flows.Flow]) -> None:
    test_some_steps_of(home, kind)


def some_steps(by: random.Random, stride: int) -> Iterator[int]:
    step = 0
    while True:
        step += by.randint(1, stride)
        yield by.choice((-1, 1)) * step


@pytest.mark.full
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("sign", [-1, 1], ids=["before", "after"])
@pytest.mark.parametrize("kind", (flows.Flow, *OTHERS))
def test_every_step_of(home: Home, kind: type[flows.Flow], sign: int) -> None:
    survive(kind(home), (sign * step for step in itertools.count(1)))


def survive(flow: flows.Flow, steps: Iterator[int]) -> int:
    """Make the change over and over, with a daemon that dies at these steps, until one does not. -> the last step.

    After each death a new daemon converges: to what was before or to what was asked for, and nothing else. Then the
    change is made again, and must work.
    """
    home = flow.home
    home.start_daemon()
    with ExitStack() as around:
        bystander = around.enter_context(stranger())
        served = flow.begin()
        traffic = around.enter_context(Traffic(home.port, rps=15)) if flow.lossless else None
        for time, step in enumerate(steps, 1):
            served = flow.reset(time) or served
            wanted = flow.outcome(time)
            died = dies_at(flow, time, step)
            if died:
                home.start_daemon()
                if flow.by_hand:
                    until(lambda: home.waits_for_somebody() or home.rests(), 60, f"step {step}: a step, or rest")
                    undecided = home.waits_for_somebody()
                else:
                    served = at_rest(home, step, served, wanted)
                    undecided = served != flows.NOTHING or wanted != flows.NOTHING
                if undecided:
                    home.run(*flow.command(time), code=flow.code)
            served = at_rest(home, step, wanted)
            assert bystander.poll() is None, f"step {step}: somebody else's process was signalled"
            print(f"step {step}: {served}")
            if not died:
                break
    if traffic is not None:
        traffic.unharmed()
    flow.finish()
    return abs(step)


def dies_at(flow: flows.Flow, time: int, step: int) -> bool:
    """Make the change with a daemon that dies at this commit; False if it got to the end."""
    home = flow.home
    home.kill_daemon()
    daemon = home.start_daemon(FOURFOLD_FAULT_COMMIT=str(step))
    if daemon.poll() is None:
        client = home.start(*flow.command(time))
        until(lambda: daemon.poll() is not None or client.poll() is not None, 60, f"step {step}: either to end")
        client.kill()
        client.communicate()
        until(lambda: daemon.poll() is not None or home.rests(), 60, f"step {step}: the daemon to die or to rest")
        with suppress(httpx.HTTPError):
            home.events()  # stores what is still to be stored, which may be what it dies of
            return False
        daemon.wait(60)
    return True


def at_rest(home: Home, step: int, *may: flows.Outcome) -> flows.Outcome:
    """Wait for rest. Then one of these outcomes is served, by instances of one release, with no process beside them."""
    until(home.rests, 60, f"step {step}: the app to be at rest")
    service = home.service() if home.has_app() else {"instances": [], "release": None}
    pids = sorted(instance["pid"] for instance in service["instances"])
    assert not any(instance["restarts"] for instance in service["instances"]), f"step {step}: one was started twice"
    assert {instance["release"] for instance in service["instances"]} <= {service["release"]}
    found = flows.Outcome(version_served(home, step), len(pids)) if pids else flows.NOTHING
    assert found in may, f"step {step}: {found}, not {' or '.join(map(str, may))}"
    until(lambda: sorted(mains(home)) == pids, 60, f"step {step}: exactly the processes {pids}")
    guests = [instance["id"] for instance in service["instances"] if instance["host"] is not None]
    until(lambda: in_hosts(home) == guests, 60, f"step {step}: exactly the guests {guests}")
    for pid in pids if guests else ():
        assert len(listening(pid)) == pids.count(pid), f"step {step}: a guest that nobody knows serves"
    return found


def in_hosts(home: Home) -> list[str]:
    return sorted(path.stem for path in (home.state / "hosts").glob("*/[!.]*.json"))


def listening(pid: int) -> list[Any]:
    return [each for each in psutil.Process(pid).net_connections("tcp") if each.status == psutil.CONN_LISTEN]


def mains(home: Home) -> list[int]:
    """Of the processes of instances those that no other one of them has started: a container's program has an init."""
    processes = home.of_instances()
    known = {process.pid for process in processes}
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.ppid() not in known:
                found.append(process.pid)
    return found


def version_served(home: Home, step: int) -> str:
    """Of the very first deploy the gateway may be behind: no command has said that it is through."""
    return str(until(lambda: home.get().headers["x-version"], 60, f"step {step}: the gateway to serve"))


@contextmanager
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """The same program as the service's, started by somebody else."""
    process = subprocess.Popen(
        [sys.executable, str(WEB)], env={**os.environ, "PORT": str(free_port())}, stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
