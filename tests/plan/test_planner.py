"""The planner from tables: one situation each, and the actions expected."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fourfold.plan import model as m
from fourfold.plan.planner import plan
from tests.plan.simulator import Program, Simulator
from tests.plan.situations import DEPLOYING, FAILED, NOW, goal, inst

CASES: dict[str, tuple[m.Goal, list[m.Instance], list[m.Action]]] = {
    "at rest": (goal(), [inst("i1")], []),
    "nothing there": (goal(count=2), [], [m.Start("a.x"), m.Start("a.x")]),
    "one more": (goal(count=2), [inst("i1")], [m.Start("a.x")]),
    "the youngest of too many leaves": (goal(), [inst("i1"), inst("i2", since=NOW - 5)], [m.Drain("i2")]),
    "one that is not ready leaves first": (
        goal(),
        [inst("i1", since=NOW - 5), inst("i2", "starting", since=NOW - 9)],
        [m.Stop("i2", "not wanted any more")],
    ),
    "rolling: surge first": (goal(deploying=DEPLOYING), [inst("old", revision="1")], [m.Start("a.x")]),
    "rolling: wait for readiness": (
        goal(deploying=DEPLOYING),
        [inst("old", revision="1"), inst("new", "starting", since=NOW - 1)],
        [],
    ),
    "rolling: drain the old one, and that is all": (
        goal(deploying=DEPLOYING),
        [inst("old", revision="1"), inst("new")],
        [m.Drain("old"), m.Done("a.x")],
    ),
    "rolling: one that gets no requests needs no drain": (
        goal(deploying=DEPLOYING, ending=m.Ending(drain=None)),
        [inst("old", revision="1"), inst("new")],
        [m.Stop("old", "not wanted any more"), m.Done("a.x")],
    ),
    "rolling: wait for the gateway": (
        goal(deploying=DEPLOYING),
        [inst("old", revision="1"), inst("new", routed=False)],
        [],
    ),
    "rolling: done while the old one still drains": (
        goal(deploying=DEPLOYING),
        [inst("old", "draining", revision="1", since=NOW - 1, in_flight=1), inst("new")],
        [m.Done("a.x")],
    ),
    "rolling: min_ready holds": (
        goal(deploying=DEPLOYING, rollout=m.Rollout(min_ready=5)),
        [inst("old", revision="1"), inst("new", since=NOW - 4)],
        [],
    ),
    "rolling without surge makes room": (
        goal(count=2, deploying=DEPLOYING, rollout=m.Rollout(max_surge=0, max_unavailable=1)),
        [inst("o1", revision="1"), inst("o2", revision="1")],
        [m.Drain("o1"), m.Start("a.x")],
    ),
    "rolling: an old one that serves nobody makes room": (
        goal(deploying=DEPLOYING),
        [inst("o1", "unready", revision="1"), inst("o2", "starting", revision="1", since=NOW - 1)],
        [m.Stop("o2", "not wanted any more"), m.Start("a.x")],
    ),
    "rolling: one after the other": (
        goal(deploying=DEPLOYING),
        [inst("o1", "unready", revision="1"), inst("new", "starting", since=NOW - 1)],
        [],
    ),
    "recreate: all old ones first": (
        goal(count=2, deploying=DEPLOYING, rollout=m.Rollout(strategy="recreate")),
        [inst("o1", revision="1"), inst("o2", revision="1")],
        [m.Drain("o1"), m.Drain("o2")],
    ),
    "recreate: waits for the last to end": (
        goal(deploying=DEPLOYING, rollout=m.Rollout(strategy="recreate")),
        [inst("o1", "stopping", revision="1", since=NOW - 1)],
        [],
    ),
    "recreate: waits for one of its own that leaves already": (
        goal(deploying=DEPLOYING, rollout=m.Rollout(strategy="recreate")),
        [inst("back", "draining", since=NOW - 1, in_flight=1), inst("o1", revision="1")],
        [],
    ),
    "recreate: then starts": (goal(deploying=DEPLOYING, rollout=m.Rollout(strategy="recreate")), [], [m.Start("a.x")]),
    "first restart at once": (goal(), [inst("i1", "exited", since=NOW, failures=1, ended=FAILED)], [m.Restart("i1")]),
    "then later": (goal(), [inst("i1", "exited", since=NOW, failures=2, ended=FAILED)], []),
    "until the backoff is over": (
        goal(),
        [inst("i1", "exited", since=NOW - 0.2, failures=2, ended=FAILED)],
        [m.Restart("i1")],
    ),
    "a reboot is nobody's failure": (
        goal(restarting=m.Restarting(policy="never")),
        [inst("i1", "exited", since=NOW, ended=m.Ended(rebooted=True))],
        [m.Restart("i1")],
    ),
    "a sick one comes back, however it ended and whatever the policy": (
        goal(restarting=m.Restarting(policy="never")),
        [inst("i1", "exited", since=NOW, failures=1, ended=m.Ended(code=0), sick="no answer")],
        [m.Restart("i1")],
    ),
    "one that was told to end is replaced": (
        goal(restarting=m.Restarting(policy="on-failure")),
        [inst("i1", "exited", since=NOW, ended=m.Ended(code=0, asked=True))],
        [m.Forget("i1"), m.Start("a.x")],
    ),
    "one that was told to end stays away after a reboot": (
        goal(),
        [inst("i1"), inst("i2", "exited", since=NOW, ended=m.Ended(rebooted=True, asked=True))],
        [m.Forget("i2")],
    ),
    "rolled back: what had ended well before is left so": (
        goal(
            deploying=m.Deploying(NOW - 50, NOW - 50, rolling_back=True),
            restarting=m.Restarting(policy="on-failure"),
        ),
        [inst("i1", "exited", since=NOW - 60, failures=1, ended=m.Ended(code=0))],
        [m.Done("a.x")],
    ),
    "scaled: what had ended before is no failure of this": (
        goal(count=2, deploying=DEPLOYING, restarting=m.Restarting(policy="never")),
        [inst("i1", "exited", since=NOW - 60, failures=1, ended=FAILED)],
        [m.Start("a.x")],
    ),
    "a new version that ends at once has failed, whatever its code": (
        goal(deploying=DEPLOYING, restarting=m.Restarting(policy="on-failure")),
        [inst("i1", "exited", since=NOW, failures=1, ended=m.Ended(code=0, what="exit code 0"))],
        [m.Fail("a.x", "i1 did not stay up: exit code 0")],
    ),
    "policy never": (
        goal(restarting=m.Restarting(policy="never")),
        [inst("i1", "exited", since=NOW, failures=1, ended=FAILED)],
        [],
    ),
    "policy on-failure, success": (
        goal(restarting=m.Restarting(policy="on-failure")),
        [inst("i1", "exited", since=NOW, failures=1, ended=m.Ended(code=0))],
        [],
    ),
    "a new version that crashes twice has failed": (
        goal(deploying=DEPLOYING),
        [inst("old", revision="1"), inst("new", "exited", since=NOW, failures=2, ended=FAILED)],
        [m.Fail("a.x", "new did not stay up: exit code 3 (twice in a row)")],
    ),
    "no such command fails at once": (
        goal(deploying=DEPLOYING),
        [inst("new", "exited", since=NOW, failures=1, ended=m.Ended(what="no such command", fatal=True))],
        [m.Fail("a.x", "no such command")],
    ),
    "never ready fails with the probe's error": (
        goal(deploying=DEPLOYING, grace=10),
        [inst("new", "starting", since=NOW - 10, probe_error="connection refused on 127.0.0.1:80")],
        [m.Fail("a.x", "new was not ready within 10 s: connection refused on 127.0.0.1:80")],
    ),
    "no progress": (
        goal(deploying=m.Deploying(started_at=NOW - 90, progressed_at=NOW - 60)),
        [inst("old", revision="1"), inst("new", "unready", since=NOW - 1, probe_error="refused")],
        [m.Fail("a.x", "no progress for 60 s: refused")],
    ),
    "a start may take as long as its grace": (
        goal(deploying=m.Deploying(NOW - 119, NOW - 119), grace=120),
        [inst("old", revision="1"), inst("new", "starting", since=NOW - 119)],
        [],
    ),
    "the gateway does not take it": (
        goal(deploying=m.Deploying(NOW - 90, NOW - 60)),
        [inst("old", revision="1"), inst("new", routed=False)],
        [m.Fail("a.x", "no progress for 60 s: the gateway does not send requests to new yet")],
    ),
    "drained": (goal(), [inst("i1"), inst("i2", "draining", since=NOW - 1)], [m.Stop("i2", "drained")]),
    "still answering": (goal(), [inst("i1"), inst("i2", "draining", since=NOW - 1, in_flight=1)], []),
    "answering for too long": (
        goal(),
        [inst("i1"), inst("i2", "draining", since=NOW - 30, in_flight=1)],
        [m.Stop("i2", "drain time is over")],
    ),
    "not stopped before the gateway lets go": (
        goal(ending=m.Ending(drain=0)),
        [inst("i1"), inst("i2", "draining", since=NOW - 9, routed=False)],
        [],
    ),
    "unless it never does": (
        goal(ending=m.Ending(drain=0)),
        [inst("i1"), inst("i2", "draining", since=NOW - 10, routed=False)],
        [m.Stop("i2", "drain time is over")],
    ),
    "killed after grace": (goal(), [inst("i1"), inst("i2", "stopping", since=NOW - 10)], [m.Kill("i2")]),
    "killed once": (goal(), [inst("i1"), inst("i2", "killing", since=NOW - 4)], []),
    "killed again when it is still there": (goal(), [inst("i1"), inst("i2", "killing", since=NOW - 5)], [m.Kill("i2")]),
    "sick keeps its place": (goal(), [inst("i1", sick="no answer")], [m.Stop("i1", "no answer", again=True)]),
    "sick one that is ending": (goal(), [inst("i1", "stopping", since=NOW - 1, sick="no answer")], []),
    "before runs first": (goal(deploying=DEPLOYING, rollout=m.Rollout(before=True)), [], [m.RunBefore("a.x")]),
    "before runs": (
        goal(deploying=DEPLOYING, rollout=m.Rollout(before=True)),
        [inst("b", "starting", before=True, since=NOW - 1)],
        [],
    ),
    "before went well": (
        goal(deploying=DEPLOYING, rollout=m.Rollout(before=True)),
        [inst("b", "exited", before=True, ended=m.Ended(code=0))],
        [m.BeforeDone("a.x"), m.Forget("b"), m.Start("a.x")],
    ),
    "before waits for an older one": (
        goal(deploying=DEPLOYING, rollout=m.Rollout(before=True)),
        [inst("b", "starting", before=True, revision="1", since=NOW - 1)],
        [m.Stop("b", "not wanted any more")],
    ),
    "before that was told to end has not run": (
        goal(deploying=DEPLOYING, rollout=m.Rollout(before=True)),
        [inst("b", "exited", before=True, ended=m.Ended(code=0, asked=True))],
        [m.Forget("b"), m.RunBefore("a.x")],
    ),
    "what runs is kept up while before runs": (
        goal(deploying=DEPLOYING, rollout=m.Rollout(before=True)),
        [
            inst("b", "starting", before=True, since=NOW - 1),
            inst("i1", "exited", since=NOW, failures=1, ended=FAILED),
            inst("old", revision="1", sick="no answer"),
        ],
        [m.Restart("i1"), m.Stop("old", "no answer", again=True)],
    ),
    "before failed": (
        goal(deploying=DEPLOYING, rollout=m.Rollout(before=True)),
        [inst("b", "exited", before=True, ended=FAILED)],
        [m.Fail("a.x", "before: exit code 3")],
    ),
    "removed": (goal(count=0, removed=True), [], [m.Retire("a.x")]),
    "frozen starts and stops nothing": (goal(frozen=True, count=2), [inst("old", revision="1"), inst("new")], []),
    "frozen: a sick one is restarted": (
        goal(frozen=True),
        [inst("i1", sick="no answer")],
        [m.Stop("i1", "no answer", again=True)],
    ),
    "a guest is lost with its host": (goal(host="a.h"), [inst("g", host="h1")], [m.Lose("g"), m.Forget("g")]),
}


@pytest.mark.parametrize("name", CASES)
def test_one_situation(name: str) -> None:
    wanted, instances, actions = CASES[name]
    assert list(plan({wanted.key: wanted}, instances, NOW).actions) == actions


def test_wakes_for_the_next_deadline() -> None:
    instances = [
        inst("i1", "draining", revision="1", since=NOW - 1, in_flight=1),
        inst("i2", "stopping", since=NOW - 1),
    ]
    assert plan({"a.x": goal(count=0)}, instances, NOW).wake_at == NOW + 9


def test_dependencies_start_first_and_stop_last() -> None:
    simulator = Simulator(
        goal("a.db", depends_on=()), goal("a.api", depends_on=("a.db",)), goal("a.web", depends_on=("a.api",))
    )
    simulator.settle()
    assert [a.key for a in simulator.log if isinstance(a, m.Start)] == ["a.db", "a.api", "a.web"]
    for key, wanted in simulator.goals.items():
        simulator.goals[key] = replace(wanted, count=0, removed=True)
    simulator.log.clear()
    simulator.settle()
    ended = [a.instance.rsplit("-", 1)[0] for a in simulator.log if isinstance(a, m.Drain)]
    assert ended == ["a.web", "a.api", "a.db"]
    assert simulator.goals == {}


def test_a_dependent_of_a_failed_deployment_is_not_begun() -> None:
    deploying = m.Deploying(started_at=NOW, progressed_at=NOW)
    simulator = Simulator(goal("a.db", deploying=deploying), goal("a.api", depends_on=("a.db",), deploying=deploying))
    simulator.programs["2"] = Program(crashes=True)
    simulator.settle()
    assert simulator.failed["a.api"] == "not begun: a.db failed, and it depends on that"


def test_waiting_on_a_slow_dependency_is_not_a_lack_of_progress() -> None:
    deploying = m.Deploying(started_at=NOW, progressed_at=NOW)
    patient = m.Rollout(timeout=1000)
    simulator = Simulator(
        goal("a.db", deploying=deploying, rollout=patient, grace=1000),
        goal("a.api", depends_on=("a.db",), deploying=deploying),
    )
    simulator.step()
    simulator.now += 500
    simulator.step()
    assert not simulator.failed
    simulator.settle()
    assert not simulator.failed and sorted(simulator.done) == ["a.api", "a.db"]


SLOW = m.Rollout(timeout=1000)


@pytest.mark.parametrize("removed", [True, False])
def test_what_gives_requests_away_stays_until_its_successor_is_there(removed: bool) -> None:
    deploying = m.Deploying(started_at=NOW, progressed_at=NOW)
    simulator = Simulator(
        goal("a.old", "3", count=int(not removed), removed=removed, successors=("a.new",), deploying=deploying),
        goal("a.new", deploying=deploying, rollout=SLOW, grace=1000),
    )
    simulator.instances["old"] = inst("old", key="a.old")
    decided = simulator.step()
    assert decided.actions == (m.Start("a.new"),)
    assert decided.waiting == (("a.old", "a.new"),)
    simulator.end("old")
    assert simulator.step().actions == (m.Restart("old"),)
    simulator.now += 500  # no lack of progress of its own
    simulator.become_ready("a.new-1")
    simulator.change("a.new-1", routed=True)
    simulator.change("old", state="ready")
    assert simulator.step().actions == (m.Done("a.new"), m.Drain("old") if removed else m.Start("a.old"))
    simulator.settle()
    assert not simulator.failed
    assert "old" not in simulator.instances


def test_what_gives_requests_away_stays_for_good_if_its_successor_fails() -> None:
    deploying = m.Deploying(started_at=NOW, progressed_at=NOW)
    simulator = Simulator(
        goal("a.old", count=0, removed=True, successors=("a.new",), deploying=deploying),
        goal("a.new", deploying=deploying),
    )
    simulator.instances["old"] = inst("old", key="a.old")
    simulator._fail(m.Fail("a.new", "it did not stay up"))
    assert simulator.step().actions == (m.Fail("a.old", "not begun: a.new failed, and it takes over from this"),)


def test_after_a_reboot_everything_starts_in_order() -> None:
    rebooted = m.Ended(what="the machine restarted", rebooted=True)
    simulator = Simulator(goal("a.api", depends_on=("a.db",)), goal("a.db"))
    for key in ("a.api", "a.db"):
        simulator.instances[key + "-0"] = inst(key + "-0", "exited", key=key, since=NOW, failures=7, ended=rebooted)
    simulator.settle()
    assert [a.instance for a in simulator.log if isinstance(a, m.Restart)] == ["a.db-0", "a.api-0"]


def test_a_dependency_is_kept_up_until_those_that_need_it_have_ended() -> None:
    wanted = {"a.db": goal("a.db", count=0), "a.api": goal("a.api", count=0, depends_on=("a.db",))}
    leaving = inst("i1", "draining", key="a.api", since=NOW - 1, in_flight=1)
    dead = inst("d1", "exited", key="a.db", since=NOW, failures=1, ended=FAILED)
    assert plan(wanted, [leaving, dead], NOW).actions == (m.Restart("d1"),)


def test_going_back_waits_for_nobody() -> None:
    back = m.Deploying(NOW - 90, NOW - 60, rolling_back=True)
    wanted = {"a.db": goal("a.db", deploying=DEPLOYING), "a.x": goal(depends_on=("a.db",), deploying=back)}
    instances = [inst("d1", "starting", key="a.db"), inst("i1", "exited", since=NOW, failures=2, ended=FAILED)]
    wanted["a.db"] = replace(wanted["a.db"], grace=1000.0)
    assert m.Fail("a.x", "no progress for 60 s") in plan(wanted, instances, NOW).actions


def test_after_a_reboot_one_that_was_in_backoff_waits_too() -> None:
    wanted = {"a.db": goal("a.db"), "a.api": goal("a.api", depends_on=("a.db",))}
    crashed = inst("i1", "exited", key="a.api", failures=9, ended=FAILED)
    rebooted = inst("d1", "exited", key="a.db", since=NOW, ended=m.Ended(rebooted=True))
    decided = plan(wanted, [crashed, rebooted], NOW)
    assert decided.actions == (m.Restart("d1"),) and decided.waiting == (("a.api", "a.db"),)


def test_asks_again_for_a_kill() -> None:
    assert plan({"a.x": goal()}, [inst("i1"), inst("i2", "killing", since=NOW - 1)], NOW).wake_at == NOW + 4
