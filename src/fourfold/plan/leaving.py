"""Instances on their way out: draining -> stopping -> killing -> gone, each in its time."""

from __future__ import annotations

from fourfold.plan.model import LEAVING, Drain, Forget, Goal, Instance, Kill, Lose, Stop
from fourfold.plan.world import KILL_AGAIN_SECONDS, World

ROUTING_SECONDS = 10.0
"""How long the gateway may take to let go of an instance, before that goes all the same."""


def begin(world: World, goal: Goal, instance: Instance) -> None:
    """Let one go that is not leaving yet: what never got traffic needs no drain."""
    world.leaving.add(instance.id)
    gets_requests = goal.ending.drain is not None and instance.state in ("ready", "unready")
    if instance.state == "exited":
        world.add(Forget(instance.id))
    elif gets_requests or world.guests(instance.id):
        world.add(Drain(instance.id))
    else:
        world.add(Stop(instance.id, "not wanted any more"))


def advance(world: World, goal: Goal, gone: list[Instance]) -> None:
    """`gone`: those that have ended and have no place to come back to."""
    for instance in gone:
        if instance.state != "exited":
            world.add(Lose(instance.id))
        world.add(Forget(instance.id))
    ended = {i.id for i in gone}
    for instance in world.of(goal.key):
        if instance.state not in LEAVING or instance.id in ended:
            continue
        if instance.state == "draining":
            _advance_draining(world, goal, instance)
        elif instance.state == "stopping":
            _kill_at(world, instance, instance.since + goal.ending.grace)
        else:
            _kill_at(world, instance, instance.since + KILL_AGAIN_SECONDS)


def _advance_draining(world: World, goal: Goal, instance: Instance) -> None:
    if any(map(world.may_end, world.guests(instance.id))):
        return  # they leave first
    drained = instance.routed and instance.in_flight == 0
    limit = goal.ending.drain or 0.0
    at = instance.since + (limit if instance.routed else max(limit, ROUTING_SECONDS))
    if drained or world.now >= at:
        world.add(Stop(instance.id, "drained" if drained else "drain time is over"))
    else:
        world.wake(at)


def _kill_at(world: World, instance: Instance, at: float) -> None:
    if world.now >= at:
        world.add(Kill(instance.id))
    else:
        world.wake(at)
