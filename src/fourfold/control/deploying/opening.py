"""A service is to be another one: its new row, and the deployment that leads there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.deploying import stages
from fourfold.control.goals import described, desired, goal_of, pattern_of, restored, revision, rollback_point
from fourfold.control.operations import Operation
from fourfold.control.registry import Registry
from fourfold.plan.judging import at_step
from fourfold.store.model import Deployment, ServiceRow


class Opening:
    """Inside the transaction of whoever asks."""

    def __init__(self, registry: Registry, bus: Bus, clock: Clock) -> None:
        self._registry = registry
        self._bus = bus
        self._clock = clock

    def change(self, operation: Operation, old: ServiceRow | None, new: ServiceRow, actor: str) -> None:
        """Store a service's new goal and open the deployment that leads there."""
        key = f"{new.app}.{new.name}"
        if (before := self._registry.running_deployment(key)) is not None:
            if self.goes_on(before, new):
                self._rescale(operation, before, new)
                return
            reason = f"superseded by {operation.kind} by {actor or 'somebody'}"
            ended = replace(before, state="superseded", reason=reason, finished_at=self._clock.now())
            self._registry.put_deployment(ended)
        operation.firm = True
        now = self._clock.now()
        self._registry.put_service(new)
        previous = {} if old is None or operation.kind == "down" else self._way_back(old)
        strategy = self._registry.spec(key, new.release).deploy
        deployment = self._registry.add_deployment(
            Deployment(
                id=0,
                app=new.app,
                service=new.name,
                operation=operation.id,
                revision=revision(new),
                release=new.release,
                previous=previous,
                state="running",
                reason=None,
                before_done=self._before_ran(new),
                actor=actor,
                started_at=now,
                progressed_at=now,
                pattern=pattern_of(new),
                staged=stages.goes_by_steps(strategy, previous, rollback_point(new), operation.kind),
            )
        )
        what = "is being stopped" if new.stopped or new.removed else f"{described(deployment)} is being deployed"
        self._bus.emit(
            "deploy.started",
            what,
            service=new.name,
            release=new.release,
            pattern=pattern_of(new),
            **(operation.tag() | {"actor": actor}),
        )

    def goes_on(self, deployment: Deployment, new: ServiceRow) -> bool:
        """Whether only the count changes while it is deployed in steps: those already passed are not begun again."""
        same = deployment.staged and deployment.state == "running" and deployment.revision == revision(new)
        return same and not (new.stopped or new.removed)

    def proven(self, row: ServiceRow) -> ServiceRow:
        """As it was before its deployment, while that is at a step."""
        key = f"{row.app}.{row.name}"
        deployment = self._registry.running_deployment(key)
        if deployment is None or at_step(goal_of(self._registry, key)) is None:
            return row
        return restored(row, deployment.previous)

    def _rescale(self, operation: Operation, deployment: Deployment, new: ServiceRow) -> None:
        """What it goes back to is as many, too. `operation` is told so and does not wait for them: that it ends says
        nothing of the deployment, which is another's."""
        overrides = {name: value for name, value in deployment.previous["overrides"].items() if name != "instances"}
        overrides |= {name: value for name, value in new.overrides.items() if name == "instances"}
        counts = {name: getattr(new, name) for name in ("instances", "scaling", "scaled")}
        previous = deployment.previous | counts | {"overrides": overrides}
        self._registry.put_service(new)
        self._registry.put_deployment(replace(deployment, previous=previous))
        what = f"{desired(new)} instances are wanted from now on; its deployment goes on, and they come meanwhile"
        self._bus.emit("deploy.step", what, service=new.name, release=new.release, **operation.tag())

    def _way_back(self, old: ServiceRow) -> dict[str, Any]:
        """What a failure goes back to; nothing when the old state never worked either."""
        key = f"{old.app}.{old.name}"
        last = self._registry.deployments.get(key)
        if last is not None and last.state in ("superseded", "failed"):
            return last.previous
        return rollback_point(old)

    def _before_ran(self, new: ServiceRow) -> bool:
        """`before` runs once per release: not again for a scale, a restart, or a release that once was deployed."""
        done = self._registry.store.deployments.of(new.app, new.name)
        return any(row.release == new.release and row.before_done for row in done)
