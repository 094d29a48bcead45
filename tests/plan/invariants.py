"""What must hold after every step, whatever happens."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fourfold.plan import model as m
from fourfold.plan.judging import at_step, failed_at_step
from tests.plan.simulator import Simulator


def check_all(before: Simulator, after: Simulator, plan: m.Plan) -> None:
    for goal in before.goals.values():
        _enough_stay_available(goal, before, after, plan)
        _not_too_many_start(goal, before, after, plan)
        _a_step_is_kept(goal, after, plan)
        _dependents_end_first(goal, before, plan)
        _dependencies_start_first(goal, before, plan)
        runs = [i for i in _of(after, goal.key, before=True) if i.state in m.RUNNING]
        assert len(runs) <= 1, f"two runs of before: {runs}"
    _no_stop_before_it_is_drained(before, plan)


def _of(world: Simulator, key: str, before: bool = False) -> list[m.Instance]:
    return [i for i in world.instances.values() if i.key == key and i.before == before]


def _let_go(world: Simulator, key: str, plan: m.Plan) -> Iterator[m.Instance]:
    """Servers that the plan begins to end for good."""
    for action in plan.actions:
        if isinstance(action, m.Drain) or (isinstance(action, m.Stop) and not action.again):
            instance = world.instances[action.instance]
            if instance.key == key and not instance.before and instance.state not in m.LEAVING:
                yield instance


def _available(world: Simulator, goal: m.Goal, trusted: bool = False) -> int:
    """`trusted`: however short a time they have been ready."""

    def counts(i: m.Instance) -> bool:
        aged = trusted or i.revision != goal.revision or world.now >= i.since + goal.rollout.min_ready
        finished = i.state == "exited" and not comes_back(i, goal)
        return finished or (aged and _serves(i))

    return sum(counts(i) for i in _of(world, goal.key))


def _serves(i: m.Instance) -> bool:
    return i.state == "ready" and i.routed and i.sick is None


def comes_back(i: m.Instance, goal: m.Goal) -> bool:
    policy, ended = goal.restarting.policy, i.ended
    if i.sick or ended is None or ended.rebooted or policy == "always":
        return True
    return policy == "on-failure" and ended.code != 0


def _wanted(goal: m.Goal, before: Simulator, after: Simulator) -> int:
    if goal.host is None:
        return goal.count
    hosts = [i for i in _of(after, goal.host) if i.id in before.instances and before.instances[i.id].state != "exited"]
    return sum(i.state in ("starting", "ready", "unready") for i in hosts)


def _enough_stay_available(goal: m.Goal, before: Simulator, after: Simulator, plan: m.Plan) -> None:
    if goal.count == 0 or goal.rollout.strategy == "recreate":
        return
    if goes := [i for i in _let_go(before, goal.key, plan) if _serves(i)]:
        left = any(i.revision == goal.revision and _serves(i) for i in _of(after, goal.key))
        given_up = failed_at_step(goal) and left  # what goes gets no requests any more
        least = 0 if given_up else _wanted(goal, before, after) - goal.rollout.max_unavailable
        one_too_many = all(i.revision == goal.revision for i in goes)
        assert _available(after, goal, trusted=one_too_many) >= least, f"{goal.key} has too few left: {plan.actions}"


def _held(goal: m.Goal, world: Simulator) -> m.Step | None:
    """The step that a deployment is at, which has a revision to go back to."""
    deploying, steps = world.goals[goal.key].deploying if goal.key in world.goals else None, goal.rollout.steps
    if deploying is None or deploying.rolling_back or deploying.step >= len(steps):
        return None
    if deploying.stable in (None, goal.revision):
        return None
    return steps[deploying.step]


def _a_step_is_kept(goal: m.Goal, after: Simulator, plan: m.Plan) -> None:
    """No more new ones than it asks for start, and all of the old ones stay: more of them only where what an earlier
    deployment has left still serves in place of those that do not yet."""
    step = _held(goal, after)
    if step is None or goal.count == 0 or not any(isinstance(a, m.Start) and a.key == goal.key for a in plan.actions):
        return
    kept = [i for i in _of(after, goal.key) if i.state not in m.LEAVING or (i.sick and i.state != "draining")]
    new = [i for i in kept if i.revision == goal.revision]
    most = max(1, math.ceil(goal.count * (step.instances or step.weight) / 100))
    assert any(a == m.Start(goal.key, stable=True) for a in plan.actions) or len(new) <= most, f"too many: {new}"
    old = [i for i in kept if i.revision != goal.revision and i.state not in m.LEAVING]
    assert len(old) <= goal.count or sum(map(_serves, old)) <= goal.count, f"more old ones than ever: {kept}"


def _not_too_many_start(goal: m.Goal, before: Simulator, after: Simulator, plan: m.Plan) -> None:
    if _held(goal, after) is not None:
        return
    if m.Start(goal.key) not in plan.actions:
        return
    places = [i for i in _of(after, goal.key) if i.state not in m.LEAVING or (i.sick and i.state != "draining")]
    old = any(i.revision != goal.revision for i in places)
    assert not old or goal.rollout.strategy == "rolling", f"two versions at once: {places}"
    assert len(places) <= goal.count + old * goal.rollout.max_surge, f"too many of {goal.key}: {places}"


def _dependents_end_first(goal: m.Goal, before: Simulator, plan: m.Plan) -> None:
    if goal.count == 0 and any(True for _ in _let_go(before, goal.key, plan)):
        for other in before.goals.values():
            if goal.key in other.needs and other.count == 0:
                alive = [i for i in _of(before, other.key) if i.state in m.RUNNING and not _lost(i, before)]
                assert not alive, f"{goal.key} goes before {alive}"


def _lost(guest: m.Instance, before: Simulator) -> bool:
    """Its host has ended, and it with it."""
    host = before.instances.get(guest.host) if guest.host is not None else None
    return guest.host is not None and (host is None or host.state == "exited")


def _dependencies_start_first(goal: m.Goal, before: Simulator, plan: m.Plan) -> None:
    rolling_back = goal.deploying is not None and goal.deploying.rolling_back
    kept = [i for i in _of(before, goal.key) if i.revision == goal.revision and not (i.ended and i.ended.asked)]
    if rolling_back or kept or not any(isinstance(a, m.Start) and a.key == goal.key for a in plan.actions):
        return
    for key in goal.needs:
        needed = before.goals.get(key)
        host = before.goals.get(needed.host or "") if needed is not None else None
        if needed is not None and needed.count > 0 and (host is None or host.count > 0):
            up = any(i.state == "ready" and i.routed for i in _of(before, key))
            step = at_step(needed)
            serves_on = step is not None and step.stable is not None
            there = needed.deploying is None or m.Done(key) in plan.actions or serves_on
            assert up and there, f"{goal.key} starts before {key}"


def _no_stop_before_it_is_drained(before: Simulator, plan: m.Plan) -> None:
    for action in plan.actions:
        if isinstance(action, m.Stop) and (i := before.instances[action.instance]).state == "draining":
            if not i.routed:
                assert before.now >= i.since + 10.0, f"the gateway still sends requests to {i.id}"
            elif i.in_flight and i.key in before.goals:
                assert before.now >= i.since + (before.goals[i.key].ending.drain or 0.0), f"{i.id} still answers"
