"""Whether a deployment in progress has failed, and why."""

from __future__ import annotations

from fourfold.plan.judging import fault, holds
from fourfold.plan.model import Deploying, Goal, Instance
from fourfold.plan.restart import START_ATTEMPTS, rebooted, restarts, wholly_down
from fourfold.plan.world import World


def failure(world: World, goal: Goal, current: list[Instance], before: list[Instance]) -> str | None:
    """`current`: servers of the goal's revision, also those that come back; `before`: runs of `deploy.before`."""
    deploying = goal.deploying
    if deploying is None:
        return None
    if deploying.aborted is not None and not deploying.rolling_back:
        return f"aborted by {deploying.aborted}"
    if reason := fault(goal, world.now):
        return reason
    if not current and not deploying.rolling_back and (reason := _failed_dependency(world, goal, deploying)):
        return reason
    for instance in before:
        if instance.revision != goal.revision or instance.state != "exited" or instance.ended is None:
            continue
        if instance.ended.code != 0 and not instance.ended.rebooted:
            return f"before: {instance.ended.what}"
    if not deploying.rolling_back:
        for instance in current:
            if reason := _of_instance(instance, goal, deploying, world.now):
                return reason
    return _out_of_patience(world, goal, deploying, current, before)


def took_hosts_along(world: World, goal: Goal, gone: list[Instance]) -> str | None:
    """A host that ends while a new guest starts in it is not tried again: all others in there pay for each attempt."""
    if goal.deploying is None or goal.deploying.rolling_back:
        return None
    for guest in gone:
        host = world.instance(guest.host) if guest.host is not None else None
        if guest.state != "starting" or guest.revision != goal.revision or host is None or host.sick is not None:
            continue
        if host.state == "exited" and host.ended is not None and not (host.ended.asked or host.ended.rebooted):
            return f"{host.id} ended while {guest.id} started in it: {host.ended.what}"
    return None


def has_done_its_work(instance: Instance, goal: Goal) -> bool:
    """It ended by itself, well, or before this deployment, and its policy lets it rest."""
    if instance.state != "exited" or restarts(instance, goal.restarting):
        return False
    ended_well = instance.ended is not None and instance.ended.code == 0
    return ended_well or goal.deploying is None or instance.since < goal.deploying.started_at


def _failed_dependency(world: World, goal: Goal, deploying: Deploying) -> str | None:
    for key in goal.needs:
        dependency = world.goals.get(key)
        if dependency is None:
            continue
        if dependency.deploying is not None:
            failed = dependency.deploying.rolling_back
        else:
            failed = dependency.failed and dependency.settled_at >= deploying.started_at
        if failed:
            return f"not begun: {key} failed, and it depends on that"
    return None


def _of_instance(instance: Instance, goal: Goal, deploying: Deploying, now: float) -> str | None:
    """Why a deployment must be given up because of this new instance, or None."""
    if instance.state == "exited" and instance.ended is not None and not instance.ended.rebooted:
        if instance.ended.fatal:
            return instance.ended.what
        stays_down = not restarts(instance, goal.restarting) and instance.since >= deploying.started_at
        if instance.failures >= START_ATTEMPTS or stays_down:
            times = "twice" if instance.failures == 2 else f"{instance.failures} times"
            often = "" if instance.failures <= 1 else f" ({times} in a row)"
            return f"{instance.id} did not stay up: {instance.ended.what}{often}"
    if instance.state in ("starting", "unready") and now >= instance.since + goal.grace:
        return not_ready(instance, goal)
    return None


def not_ready(instance: Instance, goal: Goal) -> str:
    why = f": {instance.probe_error}" if instance.probe_error else ""
    return f"{instance.id} was not ready within {goal.grace:g} s{why}"


def _out_of_patience(
    world: World, goal: Goal, deploying: Deploying, current: list[Instance], before: list[Instance]
) -> str | None:
    if holds(goal):
        return None
    needed = [needed for key in goal.waits_for if (needed := world.goals.get(key))]
    down = wholly_down(current) and not deploying.rolling_back
    if down and not before and any(each.deploying for each in needed):
        return None  # it has not begun, and what it waits for has a timeout of its own
    attempts = [i.since for i in current if rebooted(i) or _may_get_ready(i, goal, world.now)]
    attempts += [i.since for i in before if i.state == "starting"]
    begun = max([deploying.progressed_at, *(each.settled_at for each in needed), *attempts])
    unmet = world.unmet(goal) if down else []
    patience = goal.rollout.timeout if unmet or before else _patience(goal)
    if world.now < begun + patience:
        world.wake(begun + patience)
        return None
    if unmet:
        return f"it depends on {', '.join(unmet)}, not ready after {patience:g} s"
    if before:
        return f"before: still running after {patience:g} s"
    return f"no progress for {patience:g} s{_what_is_missing(current)}"


def _may_get_ready(instance: Instance, goal: Goal, now: float) -> bool:
    in_time = instance.state == "starting" and now < instance.since + goal.grace
    return in_time and instance.failures < START_ATTEMPTS


def _patience(goal: Goal) -> float:
    """The user's timeout, but never less than one step may take by the user's own other settings."""
    rollout = goal.rollout
    step = max(rollout.timeout, goal.grace) + rollout.min_ready
    if rollout.strategy == "recreate":
        step += (goal.ending.drain or 0.0) + goal.ending.grace
    return step


def _what_is_missing(current: list[Instance]) -> str:
    if errors := [i.probe_error for i in current if i.state != "ready" and i.probe_error]:
        return f": {errors[0]}"
    unrouted = [i.id for i in current if i.state == "ready" and not i.routed]
    return f": the gateway does not send requests to {unrouted[0]} yet" if unrouted else ""
