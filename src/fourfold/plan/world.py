"""What the planner sees, indexed once, and where it collects its answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fourfold.plan.judging import at_step
from fourfold.plan.model import LEAVING, RUNNING, Action, Goal, Instance

KILL_AGAIN_SECONDS = 5.0
"""A process that is still there so long after SIGKILL was perhaps never sent it."""


def _old_one_serves(goal: Goal) -> bool:
    """It goes by steps, which may last: meanwhile nothing that it had is missing."""
    deploying = at_step(goal)
    return deploying is not None and deploying.stable is not None


class World:
    def __init__(self, goals: Mapping[str, Goal], instances: Iterable[Instance], now: float) -> None:
        self.goals = goals
        self.now = now
        self.actions: list[Action] = []
        self.wake_at: float | None = None
        self.waiting: list[tuple[str, str]] = []
        self.done: set[str] = set()
        """Services whose deployment ends in this plan."""
        self.leaving: set[str] = set()
        """Instances that begin to leave in this plan, for good or to come back."""
        self._by_key: dict[str, list[Instance]] = {}
        self._by_id: dict[str, Instance] = {}
        self._guests: dict[str, list[Instance]] = {}
        self._dependents: dict[str, list[str]] = {}
        for instance in instances:
            self._by_key.setdefault(instance.key, []).append(instance)
            self._by_id[instance.id] = instance
            if instance.host is not None:
                self._guests.setdefault(instance.host, []).append(instance)
        for goal in goals.values():
            for dependency in goal.needs:
                self._dependents.setdefault(dependency, []).append(goal.key)

    def services(self) -> list[str]:
        """All services, each after those it waits for: that may come about in this very plan."""
        order: dict[str, None] = {}
        seen: set[str] = set()
        for key in sorted(self.goals.keys() | self._by_key.keys()):
            pending = [key]
            while pending:
                top = pending[-1]
                goal = self.goals.get(top) if top not in seen else None
                seen.add(top)
                needed = [each for each in goal.waits_for if each not in seen] if goal is not None else []
                if needed:
                    pending += needed
                else:
                    order.setdefault(pending.pop())
        return list(order)

    def of(self, key: str) -> list[Instance]:
        return self._by_key.get(key, [])

    def instance(self, id: str) -> Instance | None:
        return self._by_id.get(id)

    def guests(self, host: str) -> list[Instance]:
        """Those that have not ended yet."""
        return [guest for guest in self._guests.get(host, ()) if self.runs(guest)]

    def hosts(self, key: str) -> list[Instance]:
        """Instances that carry guests, or will once they are ready."""
        return [i for i in self.of(key) if self.stays(i) and not i.before]

    def runs(self, instance: Instance) -> bool:
        return instance.state in RUNNING and not self.lost(instance)

    def lost(self, instance: Instance) -> bool:
        """A guest whose host has ended has ended too."""
        if instance.host is None:
            return False
        host = self.instance(instance.host)
        return host is None or host.state == "exited"

    def may_end(self, instance: Instance) -> bool:
        """Its host waits for it. A guest that is there although it was killed is one of a host that does nothing any
        more: it ends with that."""
        if instance.host is None or instance.state != "killing":
            return True
        at = instance.since + KILL_AGAIN_SECONDS
        if self.now >= at:
            return False
        self.wake(at)
        return True

    def stays(self, instance: Instance) -> bool:
        """It lives and is meant to go on living."""
        return instance.state in RUNNING and instance.state not in LEAVING and instance.id not in self.leaving

    def add(self, action: Action) -> None:
        self.actions.append(action)

    def wake(self, at: float) -> None:
        if self.wake_at is None or at < self.wake_at:
            self.wake_at = at

    def at_rest(self, goal: Goal) -> bool:
        """The common case, decided cheaply: as many as wanted, all ready, nothing going on."""
        instances = self.of(goal.key)
        return (
            goal.deploying is None
            and goal.host is None
            and not goal.removed
            and len(instances) == goal.count
            and all(i.state == "ready" and i.revision == goal.revision and i.sick is None for i in instances)
        )

    def ready(self, key: str) -> bool:
        return any(i.state == "ready" and i.routed and not i.before for i in self.of(key))

    def unmet(self, goal: Goal) -> list[str]:
        """Dependencies that are not up yet. One that is meant to have no instance counts as met."""
        unmet = []
        for key in goal.needs:
            dependency = self.goals.get(key)
            if dependency is None or self.wants_none(dependency):
                continue
            deploying = dependency.deploying is not None and key not in self.done and not _old_one_serves(dependency)
            if deploying or not self.ready(key):
                unmet.append(key)
        return unmet

    def wants_none(self, goal: Goal) -> bool:
        host = self.goals.get(goal.host) if goal.host is not None else None
        return goal.count == 0 or (host is not None and self.wants_none(host))

    def live_dependents(self, key: str) -> list[str]:
        """Services that need this one, are on their way down too, and have not ended yet."""
        dependents = (self.goals[name] for name in self._dependents.get(key, ()))
        return [g.key for g in dependents if g.count == 0 and any(self._is_waited_for(i) for i in self.of(g.key))]

    def _is_waited_for(self, instance: Instance) -> bool:
        return self.runs(instance) and self.may_end(instance)
