"""The steps before a move: some of the new revision beside all of the old one, which stays as it was meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fourfold.plan.judging import at_step, over_at, passed
from fourfold.plan.model import Advance, Answered, BeginStep, Deploying, Goal, Instance, Start, Step
from fourfold.plan.ranks import serves, worth
from fourfold.plan.restart import START_ATTEMPTS, rebooted, restarts

if TYPE_CHECKING:
    from fourfold.plan.service import ServicePlanner


def wanted(step: Step, count: int) -> int:
    """How many new ones there are at a step."""
    return min(count, max(1, -(-count * (step.instances or step.weight) // 100)))


class Stages:
    """Plans what `ServicePlanner.move` may do before its strategy."""

    def __init__(self, planner: ServicePlanner) -> None:
        self._planner = planner
        self._world = planner.world
        self._goal = planner.goal

    def hold(self) -> bool:
        """Go from step to step as far as that is possible now; True: it stays at one, and nothing else is due."""
        steps, key = self._goal.rollout.steps, self._goal.key
        deploying = at_step(self._goal)
        if deploying is None or deploying.stable in (None, self._goal.revision):
            return False
        if self._old_is_down():
            self._world.add(Advance(key, len(steps), "nothing of the old release stays up"))
            return False
        started = 0
        while deploying.step < len(steps):
            lacking = wanted(steps[deploying.step], self._goal.count) - len(self._planner.kept()) - started
            for _ in range(lacking):
                self._world.add(Start(key))
            started += max(0, lacking)
            if not self._are_there(steps[deploying.step]):
                break
            if not deploying.promoted:
                if deploying.step_since is None:
                    self._world.add(BeginStep(key, deploying.step))
                    deploying = _begun(deploying, self._world.now)
                if not self._passes(deploying):
                    break
            deploying = _next(deploying)
            self._world.add(Advance(key, deploying.step))
        else:
            return False
        self._keep_old()
        return True

    def _are_there(self, step: Step) -> bool:
        return self._planner.available() >= wanted(step, self._goal.count)

    def _passes(self, deploying: Deploying) -> bool:
        goal = replace(self._goal, deploying=deploying)
        if passed(goal, self._world.now):
            return True
        if (at := over_at(goal)) is not None and at > self._world.now:
            self._world.wake(at)
        return False

    def _keep_old(self) -> None:
        """As many as ever, of the revision that is gone back to; what others an earlier deployment has left goes as
        soon as enough serve without it."""
        planner, stable, count = self._planner, self._stable(), self._goal.count
        left = sorted(planner.old_left(), key=lambda i: (i.revision == stable, *worth(i)))
        surplus = max(0, len(left) + len(self._returning()) - count)
        spare = planner.available() + sum(map(serves, left)) - count
        for instance in left[:surplus]:
            if serves(instance):
                if spare <= 0:
                    continue
                spare -= 1
            planner.release(instance)
        planner.keep_up(planner.old)
        for _ in range(count - len(left) - len(self._returning())):
            self._world.add(Start(self._goal.key, stable=True))

    def _returning(self) -> list[Instance]:
        return [i for i in self._planner.returning if i.revision != self._goal.revision]

    def _stable(self) -> str | None:
        return self._goal.deploying.stable if self._goal.deploying is not None else None

    def _old_is_down(self) -> bool:
        """Nothing is left to be careful about: all that would be gone back to ended again and again, or stays down."""
        stable = [i for i in self._planner.old if i.revision == self._stable()]
        if not stable or self._returning():
            return False
        return all(_has_ended(i, self._goal) for i in stable)


def _has_ended(instance: Instance, goal: Goal) -> bool:
    if instance.state != "exited" or rebooted(instance) or instance.sick is not None:
        return False
    return instance.failures >= START_ATTEMPTS or not restarts(instance, goal.restarting)


def _begun(deploying: Deploying, now: float) -> Deploying:
    return replace(deploying, step_since=now, new=Answered(), old=Answered())


def _next(deploying: Deploying) -> Deploying:
    return replace(deploying, step=deploying.step + 1, step_since=None, promoted=False)
