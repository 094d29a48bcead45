"""What the planner sees, indexed once, and where it collects its answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fourfold.plan.model import LEAVING, RUNNING, Action, Goal, Instance


class World:
    def __init__(self, goals: Mapping[str, Goal], instances: Iterable[Instance], now: float) -> None:
        self.goals = goals
        self.now = now
        self.actions: list[Action] = []
        self.wake_at: float | None = None
        self.waiting: list[tuple[str, str]] = []
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
            for dependency in goal.depends_on:
                self._dependents.setdefault(dependency, []).append(goal.key)

    def services(self) -> list[str]:
        """All services, those to start in the order of their names; the order of dependencies comes from waiting."""
        return sorted(self.goals.keys() | self._by_key.keys())

    def of(self, key: str) -> list[Instance]:
        return self._by_key.get(key, [])

    def instance(self, id: str) -> Instance | None:
        return self._by_id.get(id)

    def guests(self, host: str) -> list[Instance]:
        return self._guests.get(host, [])

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
        return any(i.state == "ready" and not i.before for i in self.of(key))

    def running(self, key: str) -> bool:
        return any(i.state in RUNNING for i in self.of(key))

    def serving(self, key: str) -> bool:
        """Something of it lives and is meant to go on living."""
        return any(i.state in RUNNING and i.state not in LEAVING and not i.before for i in self.of(key))

    def unmet(self, goal: Goal) -> list[str]:
        """Dependencies that are not up yet. One that is meant to have no instance counts as met."""
        unmet = []
        for key in goal.depends_on:
            dependency = self.goals.get(key)
            if dependency is None or (dependency.count == 0 and dependency.host is None):
                continue
            if dependency.deploying is not None or not self.ready(key):
                unmet.append(key)
        return unmet

    def live_dependents(self, key: str) -> list[str]:
        """Services that need this one, are on their way down too, and have not ended yet."""
        dependents = (self.goals[name] for name in self._dependents.get(key, ()))
        return [goal.key for goal in dependents if goal.count == 0 and self.of(goal.key)]
