"""The planner from tables: hosts of groups and the guests in them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fourfold.plan import model as m
from fourfold.plan.planner import plan
from tests.plan.simulator import Simulator
from tests.plan.situations import DEPLOYING, FAILED, NOW, goal, inst


def test_guests_follow_their_hosts() -> None:
    simulator = Simulator(goal("a.host", count=2), goal("a.guest", host="a.host"))
    simulator.settle()
    guests = [i for i in simulator.instances.values() if i.key == "a.guest"]
    assert len({g.host for g in guests}) == 2 and all(g.state == "ready" for g in guests)
    simulator.end(str(guests[0].host))
    simulator.settle()
    guests = [i for i in simulator.instances.values() if i.key == "a.guest"]
    assert len({g.host for g in guests}) == 2 and all(g.state == "ready" for g in guests)


HOST = inst("h1", key="a.host")
GUEST = inst("g1", key="a.guest", host="h1")
GUESTS: dict[str, tuple[list[m.Goal], list[m.Instance], list[m.Action]]] = {
    "a removed one goes": ([goal("a.host"), goal("a.guest", host="a.host", count=0)], [HOST, GUEST], [m.Drain("g1")]),
    "a host waits for those that go": (
        [goal("a.host", count=0), goal("a.guest", host="a.host", count=0)],
        [HOST, GUEST],
        [m.Drain("g1")],
    ),
    "where no host is wanted, what needs them does not wait": (
        [goal("a.host", count=0), goal("a.guest", host="a.host"), goal("a.web", depends_on=("a.guest",))],
        [],
        [m.Start("a.web")],
    ),
    "what they need does not wait for those that stay": (
        [goal("a.db", count=0), goal("a.host"), goal("a.guest", host="a.host", depends_on=("a.db",))],
        [HOST, GUEST, inst("d1", key="a.db")],
        [m.Drain("d1")],
    ),
    "an unready host keeps its own, and others theirs": (
        [goal("a.host", count=2), goal("a.guest", host="a.host")],
        [replace(HOST, state="unready"), inst("h2", key="a.host"), GUEST, inst("g2", key="a.guest", host="h2")],
        [],
    ),
    "not deployed while no host is ready": (
        [goal("a.host"), goal("a.guest", host="a.host", deploying=DEPLOYING)],
        [replace(HOST, state="unready")],
        [],
    ),
    "one that died waits for its host": (
        [goal("a.host"), goal("a.guest", host="a.host")],
        [replace(HOST, state="unready"), replace(GUEST, state="exited", failures=1, ended=FAILED)],
        [],
    ),
    "they stay on an old host until the new one has theirs": (
        [goal("a.host"), goal("a.guest", host="a.host")],
        [inst("h0", "draining", revision="1", key="a.host", since=NOW - 1), HOST, replace(GUEST, host="h0")],
        [m.Start("a.guest", "h1")],
    ),
    "a deployment that takes a host along has failed": (
        [goal("a.host"), goal("a.guest", host="a.host", deploying=DEPLOYING)],
        [
            replace(HOST, state="exited", since=NOW, failures=1, ended=FAILED),
            replace(GUEST, state="starting", since=NOW - 1),
            replace(GUEST, id="g0", revision="1"),
        ],
        [
            m.Restart("h1"),
            m.Lose("g1"),
            m.Forget("g1"),
            m.Lose("g0"),
            m.Forget("g0"),
            m.Fail("a.guest", "h1 ended while g1 started in it: exit code 3"),
        ],
    ),
    "but not where the host was told to, nor when nothing is deployed": (
        [goal("a.host"), goal("a.guest", host="a.host")],
        [
            replace(HOST, state="exited", since=NOW, failures=1, ended=FAILED),
            replace(GUEST, state="starting", since=NOW - 1),
        ],
        [m.Restart("h1"), m.Lose("g1"), m.Forget("g1")],
    ),
    "a host that leaves does not wait for those that cannot be killed": (
        [goal("a.host", count=0), goal("a.guest", host="a.host", count=0)],
        [
            replace(HOST, state="draining", since=NOW - 9),
            replace(GUEST, state="killing", since=NOW - 5),
        ],
        [m.Stop("h1", "drained"), m.Kill("g1")],
    ),
    "nor before it begins to": (
        [goal("a.host", count=0), goal("a.guest", host="a.host", count=0)],
        [HOST, replace(GUEST, state="killing", since=NOW - 5)],
        [m.Drain("h1"), m.Kill("g1")],
    ),
    "but for a moment it does": (
        [goal("a.host", count=0), goal("a.guest", host="a.host", count=0)],
        [replace(HOST, state="draining", since=NOW - 9), replace(GUEST, state="killing", since=NOW - 4)],
        [],
    ),
    "while hosts are replaced, new ones start on new hosts": (
        [goal("a.host", deploying=DEPLOYING), goal("a.guest", host="a.host", deploying=DEPLOYING)],
        [inst("h0", revision="1", key="a.host"), inst("g0", revision="1", key="a.guest", host="h0")],
        [m.Start("a.host")],
    ),
    "where hosts stay as they are, on any": (
        [goal("a.host", frozen=True), goal("a.guest", host="a.host", deploying=DEPLOYING)],
        [inst("h0", revision="1", key="a.host"), inst("g0", revision="1", key="a.guest", host="h0")],
        [m.Start("a.guest", "h0")],
    ),
}


def test_guests_of_a_new_release_take_over_on_every_host() -> None:
    simulator = Simulator(goal("a.host", count=3), goal("a.guest", host="a.host"))
    simulator.settle()
    simulator.deploy("a.guest", revision="3")
    assert simulator.settle()
    assert simulator.done == ["a.guest"] and not simulator.failed
    guests = [i for i in simulator.instances.values() if i.key == "a.guest"]
    assert len({g.host for g in guests}) == 3 and {(g.revision, g.state) for g in guests} == {("3", "ready")}


@pytest.mark.parametrize("name", GUESTS)
def test_guests(name: str) -> None:
    wanted, instances, actions = GUESTS[name]
    assert list(plan({each.key: each for each in wanted}, instances, NOW).actions) == actions


@pytest.mark.parametrize("rollout", [m.Rollout(), m.Rollout(max_surge=0, max_unavailable=1), m.Rollout("recreate")])
@pytest.mark.parametrize("frozen", [True, False])
def test_hosts_move_on_with_their_guests(rollout: m.Rollout, frozen: bool) -> None:
    guest = goal("a.guest", host="a.host", rollout=rollout)
    simulator = Simulator(goal("a.host", count=2, rollout=rollout), guest)
    simulator.settle()
    simulator.change_goal("a.guest", frozen=frozen)
    simulator.deploy("a.host", revision="3")
    assert simulator.settle()
    assert simulator.done == ["a.host"] and not simulator.failed
    hosts = [i.id for i in simulator.instances.values() if i.key == "a.host" and i.revision == "3"]
    guests = [i.host for i in simulator.instances.values() if i.key == "a.guest"]
    assert len(hosts) == 2 and guests == ([] if frozen else hosts)
