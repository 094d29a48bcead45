"""Steps of a rollout from tables, and when a new revision is given up for its errors."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fourfold.plan import model as m
from fourfold.plan.judging import fault
from fourfold.plan.planner import plan
from fourfold.plan.stages import wanted
from tests.plan.simulator import Program, Simulator
from tests.plan.situations import FAILED, NOW, goal, inst

CANARY = (m.Step(10, 60.0), m.Step(50))
BLUE_GREEN = (m.Step(0, 0.0, instances=100),)
MANUAL = (m.Step(0, instances=100),)
AT = m.Deploying(started_at=NOW - 90, progressed_at=NOW - 1, stable="1")
HELD = replace(AT, step_since=NOW - 10)


def staged(steps: tuple[m.Step, ...], deploying: m.Deploying, count: int = 2, min_ready: float = 0.0) -> m.Goal:
    rollout = m.Rollout(steps=steps, judging=m.Judging(min_requests=20), min_ready=min_ready)
    return goal(count=count, deploying=deploying, rollout=rollout)


def old(count: int, **rest: object) -> list[m.Instance]:
    return [inst(f"old{number}", revision="1", **rest) for number in range(count)]  # type: ignore[arg-type]


BEGIN, ADVANCE = m.BeginStep("a.x", 0), m.Advance("a.x", 1)
NEW, STABLE = m.Start("a.x"), m.Start("a.x", stable=True)
CASES: dict[str, tuple[m.Goal, list[m.Instance], list[m.Action]]] = {
    "one new one beside all old ones": (staged(CANARY, AT), old(2), [NEW]),
    "as many as the step asks for": (staged(CANARY, replace(AT, step=1), count=4), old(4), [NEW, NEW]),
    "wait for readiness": (staged(CANARY, AT), [*old(2), inst("new", "starting", since=NOW - 1)], []),
    "wait for the gateway": (staged(CANARY, AT), [*old(2), inst("new", routed=False)], []),
    "wait for min_ready": (staged(CANARY, AT, min_ready=5), [*old(2), inst("new", since=NOW - 4)], []),
    "begin": (staged(CANARY, AT), [*old(2), inst("new")], [BEGIN]),
    "the pause": (staged(CANARY, HELD), [*old(2), inst("new")], []),
    "the pause is over, but too few have asked": (
        staged(CANARY, replace(AT, step_since=NOW - 60, new=m.Answered(19))),
        [*old(2), inst("new")],
        [],
    ),
    "passed": (
        staged(CANARY, replace(AT, step_since=NOW - 60, new=m.Answered(20, 1)), count=4),
        [*old(4), inst("new")],
        [ADVANCE, NEW],
    ),
    "passed, and the next one begins at once": (
        staged(CANARY, replace(AT, step_since=NOW - 60, new=m.Answered(20))),
        [*old(2), inst("new")],
        [ADVANCE, m.BeginStep("a.x", 1)],
    ),
    "not passed while a new one is not well": (
        staged(CANARY, replace(AT, step_since=NOW - 60, new=m.Answered(20))),
        [*old(2), inst("new", "unready", since=NOW - 1)],
        [],
    ),
    "a manual one waits for ever": (
        staged(CANARY, replace(AT, step=1, step_since=NOW - 1e6, new=m.Answered(99))),
        [*old(2), inst("new")],
        [],
    ),
    "promoted before its pause is over": (
        staged(CANARY, replace(HELD, promoted=True)),
        [*old(2), inst("new")],
        [ADVANCE, m.BeginStep("a.x", 1)],
    ),
    "promoted before it is ready": (
        staged(CANARY, replace(AT, promoted=True)),
        [*old(2), inst("new", "starting", since=NOW - 1)],
        [],
    ),
    "the last step is passed: a rolling move from there": (
        staged(CANARY, replace(AT, step=1, step_since=NOW - 1, promoted=True)),
        [*old(2), inst("new")],
        [m.Advance("a.x", 2), m.Drain("old0"), NEW],
    ),
    "blue-green: all new ones": (staged(BLUE_GREEN, AT), old(2), [NEW, NEW]),
    "blue-green: the switch": (
        staged(BLUE_GREEN, AT),
        [*old(2), inst("n1"), inst("n2")],
        [BEGIN, ADVANCE, m.Drain("old0"), m.Drain("old1"), m.Done("a.x")],
    ),
    "blue-green: not before all are ready": (staged(BLUE_GREEN, AT), [*old(2), inst("n1")], [NEW]),
    "blue-green: ready, and nobody asks it": (staged(MANUAL, AT), [*old(2), inst("n1"), inst("n2")], [BEGIN]),
    "blue-green: by hand": (
        staged(MANUAL, replace(HELD, promoted=True)),
        [*old(2), inst("n1"), inst("n2")],
        [ADVANCE, m.Drain("old0"), m.Drain("old1"), m.Done("a.x")],
    ),
    "an old one that is lost comes back": (
        staged(CANARY, HELD),
        [*old(1), inst("new")],
        [STABLE],
    ),
    "an old one that crashed is restarted": (
        staged(CANARY, HELD),
        [*old(1), inst("o2", "exited", revision="1", since=NOW, failures=1, ended=FAILED), inst("new")],
        [m.Restart("o2")],
    ),
    "scaled up: the old release too": (
        staged(CANARY, HELD, count=3),
        [*old(2), inst("new")],
        [STABLE],
    ),
    "scaled down: the old release too": (
        staged(CANARY, HELD, count=1),
        [*old(2), inst("new")],
        [m.Drain("old0")],
    ),
    "what another canary left goes at once": (
        staged(CANARY, AT),
        [*old(2), inst("left", revision="x")],
        [NEW, m.Drain("left")],
    ),
    "what another canary left stays while it is needed": (
        staged(CANARY, AT),
        [inst("o1", revision="1"), inst("o2", "unready", revision="1"), inst("left", revision="x")],
        [NEW],
    ),
    "nothing old is left to be careful about": (
        staged(CANARY, AT, count=1),
        [inst("o1", "exited", revision="1", since=NOW, failures=2, ended=FAILED)],
        [m.Advance("a.x", 2, "nothing of the old release stays up"), NEW],
    ),
    "a first deployment has no steps": (staged(CANARY, replace(AT, stable=None)), [], [NEW, NEW]),
    "too many errors, long before the end of the step": (
        staged(CANARY, replace(HELD, new=m.Answered(3, 3), old=m.Answered(60))),
        [*old(2), inst("new")],
        [
            m.Fail(
                "a.x",
                "3 of 3 requests to the new release failed (0 of 60 requests to the old one did, and 5 % may)",
            )
        ],
    ),
    "aborted": (
        staged(CANARY, replace(HELD, aborted="ann")),
        [*old(2), inst("new")],
        [m.Fail("a.x", "aborted by ann")],
    ),
    "going back from a step, while an old one is still to come": (
        staged(CANARY, replace(HELD, rolling_back=True, stable="2")),
        [inst("o1"), inst("o2", "starting", since=NOW - 1), inst("canary", revision="3")],
        [m.Drain("canary")],
    ),
    "going back from a step, while none of the old ones serves": (
        staged(CANARY, replace(HELD, rolling_back=True, stable="2")),
        [inst("o1", "starting", since=NOW - 1), inst("o2", "starting", since=NOW - 1), inst("canary", revision="3")],
        [],
    ),
    "what a canary left goes before what is proven": (
        goal(count=2, deploying=AT),
        [*old(1), inst("left", revision="x"), inst("n1")],
        [m.Drain("left"), NEW],
    ),
    "aborted, whatever the strategy": (
        goal(deploying=replace(AT, aborted="ann")),
        [*old(1), inst("new", "starting", since=NOW - 1)],
        [m.Fail("a.x", "aborted by ann")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_does(name: str) -> None:
    wanted_goal, instances, expected = CASES[name]
    decided = plan({"a.x": wanted_goal}, instances, NOW).actions
    assert sorted(map(repr, decided)) == sorted(map(repr, expected))


def test_it_wakes_when_the_pause_is_over() -> None:
    assert plan({"a.x": staged(CANARY, HELD)}, [*old(2), inst("new")], NOW).wake_at == NOW + 50


@pytest.mark.parametrize(
    ("weight", "count", "expected"), [(5, 1, 1), (5, 20, 1), (5, 21, 2), (50, 3, 2), (99, 3, 3), (10, 10, 1)]
)
def test_how_many_new_ones(weight: int, count: int, expected: int) -> None:
    assert wanted(m.Step(weight), count) == expected


@pytest.mark.parametrize(
    ("new", "old_ones", "over", "given_up"),
    [
        ((0, 0), (100, 0), True, False),
        ((2, 2), (40, 0), False, False),  # two errors may be chance
        ((3, 3), (60, 0), False, True),
        ((100, 5), (1000, 0), True, False),  # just what is allowed
        ((100, 6), (1000, 0), False, False),  # more, but it may be chance
        ((100, 6), (1000, 0), True, True),
        ((100, 15), (1000, 0), False, True),
        ((100, 20), (1000, 200), True, False),  # as many fail of the old one's
        ((100, 50), (1000, 200), False, True),
        ((10, 1), (200, 0), True, False),  # too few to judge by
        ((100, 15), (19, 10), False, True),  # the old one's are too few
        ((100_000, 5_400), (1, 0), False, True),
    ],
)
def test_when_it_is_given_up(new: tuple[int, int], old_ones: tuple[int, int], over: bool, given_up: bool) -> None:
    since = NOW - (60 if over else 10)
    deploying = replace(AT, step_since=since, new=m.Answered(*new), old=m.Answered(*old_ones))
    assert (fault(staged(CANARY, deploying), NOW) is not None) == given_up


def test_without_any_errors_allowed_the_first_one_ends_it() -> None:
    strict = m.Rollout(steps=CANARY, judging=m.Judging(max_errors=0.0))
    at = goal(deploying=replace(HELD, new=m.Answered(500, 1)), rollout=strict)
    assert fault(at, NOW) is not None


def test_a_canary_from_its_beginning_to_its_end() -> None:
    steps = (m.Step(25, 60.0), m.Step(50, 60.0))
    simulator = Simulator(goal(revision="1", count=4, rollout=m.Rollout(steps=steps)))
    simulator.settle()
    simulator.deploy("a.x", revision="2")
    before = simulator.now
    simulator.settle()
    assert (simulator.done, simulator.failed) == (["a.x"], {})
    assert 120 <= simulator.now - before < 121
    order = [type(action).__name__ for action in simulator.log if isinstance(action, m.BeginStep | m.Advance | m.Done)]
    assert order == ["BeginStep", "Advance", "BeginStep", "Advance", "Done"]


def test_a_canary_that_crashes_goes_back() -> None:
    simulator = Simulator(goal(revision="1", count=3, rollout=m.Rollout(steps=CANARY)))
    simulator.settle()
    simulator.programs["2"] = Program(crashes=True)
    simulator.deploy("a.x", revision="2")
    simulator.settle()
    assert "did not stay up" in simulator.failed["a.x"]
    assert not any(isinstance(action, m.BeginStep) for action in simulator.log)
    assert {i.revision for i in simulator.instances.values()} == {"1"}


def test_who_depends_on_a_service_at_a_step_starts_meanwhile() -> None:
    """After a reboot, say: the old release serves, and a step may last until somebody promotes it."""
    dependent = goal("a.y", count=1, depends_on=("a.x",))
    decided = plan({"a.x": staged(MANUAL, HELD), "a.y": dependent}, [*old(2), inst("n1"), inst("n2")], NOW)
    assert decided.actions == (m.Start("a.y"),) and not decided.waiting


def test_an_abort_does_not_wait_for_successors() -> None:
    aborted = goal(deploying=replace(AT, aborted="ann"), successors=("a.z",))
    waits = goal("a.z", deploying=AT)
    decided = plan({"a.x": aborted, "a.z": waits}, [*old(1), inst("z", "starting", key="a.z", since=NOW - 1)], NOW)
    assert m.Fail("a.x", "aborted by ann") in decided.actions


def test_more_errors_than_requests_are_no_verdict() -> None:
    assert fault(staged(CANARY, replace(HELD, new=m.Answered(0, 1))), NOW) is None
