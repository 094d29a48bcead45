"""`plan(goals, instances, now)`: what to do next, for all services at once.

It looks only at what is given. Executing its actions, and planning again when something changes or `wake_at` comes,
brings the instances to the goals. Right after its actions were executed it has nothing to add, unless one was a `Fail`:
that gives the service another goal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fourfold.plan import leaving
from fourfold.plan.model import Goal, Instance, Plan
from fourfold.plan.parts import Memory, Part, parts
from fourfold.plan.service import ServicePlanner
from fourfold.plan.world import World


def plan(goals: Mapping[str, Goal], instances: Iterable[Instance], now: float, memory: Memory | None = None) -> Plan:
    """Actions that may be executed in order, at once. `memory`, of plans before, saves work and changes nothing."""
    planned = (memory or Memory()).plan_all(parts(goals, instances), now, _plan)
    return Plan(
        tuple(action for each in planned for action in each.actions),
        min((each.wake_at for each in planned if each.wake_at is not None), default=None),
        tuple(waiting for each in planned for waiting in each.waiting),
    )


def _plan(part: Part, now: float) -> Plan:
    world = World(part.goals, part.instances, now)
    for key in world.services():
        goal = part.goals.get(key)
        if goal is None:
            _leave_unknown(world, key)
        elif not world.at_rest(goal):
            ServicePlanner(world, goal).plan()
    return Plan(tuple(world.actions), world.wake_at, tuple(world.waiting))


def _leave_unknown(world: World, key: str) -> None:
    """Instances of a service nobody knows (an older state was restored): end them like any other."""
    planner = ServicePlanner(world, Goal(key=key, revision="", count=0))
    leaving.advance(world, planner.goal, planner.gone)
    planner.release_all()
