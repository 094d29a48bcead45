"""What is planned together, and what need not be planned again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fourfold.plan.model import Goal, Instance, Plan, Start
from fourfold.plan.parts import Memory, Part, parts

WEB, DB, ALONE = Goal("a.web", "1", 1, depends_on=("a.db",)), Goal("a.db", "1", 1), Goal("b.x", "1", 1)
GOALS = {goal.key: goal for goal in (WEB, DB, ALONE)}
ONE = Instance("x1", "b.x", "1", "ready", since=0.0)


def apart(goals: dict[str, Goal], *instances: Instance) -> list[tuple[set[str], set[str]]]:
    found = parts(goals, instances).values()
    return [(set(part.goals), {each.id for each in part.instances}) for part in found]


def test_services_that_wait_for_one_another_are_one_part() -> None:
    assert apart(GOALS, ONE) == [({"a.db", "a.web"}, set()), ({"b.x"}, {"x1"})]


def test_guests_are_planned_with_their_hosts() -> None:
    """Also those whose service is not on that host any more."""
    guest = Instance("w1", "a.web", "1", "ready", since=0.0, host="x1")
    assert apart(GOALS, ONE, guest) == [({"a.db", "a.web", "b.x"}, {"x1", "w1"})]


def test_instances_of_a_service_that_nobody_knows_are_a_part() -> None:
    assert apart({}, ONE) == [(set(), {"x1"})]


def remembering(decided: Plan) -> tuple[Callable[[Goal, float], Plan], list[float]]:
    memory, planned = Memory(), list[float]()

    def plan(part: Part, now: float) -> Plan:
        planned.append(now)
        return decided

    def ask(goal: Goal, now: float) -> Plan:
        return memory.plan_all({goal.key: Part({goal.key: goal}, [ONE])}, now, plan)[0]

    return ask, planned


@pytest.mark.parametrize(
    ("decided", "then", "again"),
    [
        pytest.param(Plan(wake_at=9.0), 8.9, False, id="nothing has changed"),
        pytest.param(Plan(wake_at=9.0), 9.0, True, id="its deadline has come"),
        pytest.param(Plan(), 1e9, False, id="it has none"),
        pytest.param(Plan(), 0.9, True, id="the clock was set back"),
        pytest.param(Plan((Start("b.x"),)), 1.0, True, id="it had something to do"),
    ],
)
def test_what_had_nothing_to_do_is_planned_again_at_its_deadline(decided: Plan, then: float, again: bool) -> None:
    ask, planned = remembering(decided)
    assert ask(ALONE, 1.0) == ask(ALONE, then) == decided
    assert len(planned) == 1 + again


def test_what_has_changed_is_planned_again() -> None:
    ask, planned = remembering(Plan())
    for goal in (ALONE, replace(ALONE), replace(ALONE, count=2)):
        ask(goal, 1.0)
    assert len(planned) == 2
