"""`deploy --promote` and `--abort`: a deployment that goes on is told what people have decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.deploying import stages
from fourfold.control.goals import described, rollout_of
from fourfold.control.registry import Registry
from fourfold.control.views import OperationView
from fourfold.errors import ConflictError
from fourfold.store.model import Deployment


class Promoting:
    def __init__(self, registry: Registry, bus: Bus, clock: Clock, wake: Callable[[], None]) -> None:
        self._registry = registry
        self._bus = bus
        self._clock = clock
        self._wake = wake

    def promote(self, key: str, full: bool, actor: str) -> OperationView:
        """To the next step as soon as the instances of this one are there; `full`: past all of them.

        Raises ConflictError: it is at no step.
        """
        deployment = self._under_way(key, "promote")
        count = len(rollout_of(self._registry, deployment).steps)
        if deployment.step >= count:
            why = "all of its steps are passed" if deployment.staged else "its deployment has no steps"
            raise ConflictError(f"cannot promote {deployment.service}: {why}", "it goes on by itself")
        now = self._clock.now()
        changed = stages.entered(deployment, count, now) if full else replace(deployment, promoted=True)
        where = "past all steps" if full else f"past step {deployment.step + 1} of {count}"
        what = f"{described(deployment)} is promoted {where} by {actor or 'somebody'}"
        return self._store(changed, "deploy.promoted", what, actor)

    def abort(self, key: str, actor: str) -> OperationView:
        """Back to what was before. Raises ConflictError: there is nothing to go back from."""
        deployment = self._under_way(key, "abort")
        row = self._registry.services[key]
        if row.stopped or row.removed:
            raise ConflictError(
                f"cannot abort the deployment of {row.name}: it is being stopped",
                f"`fourfold restart {row.name}` starts it again",
            )
        what = f"{described(deployment)} is aborted by {actor or 'somebody'}"
        changed = replace(deployment, aborted=deployment.aborted or actor or "somebody")
        return self._store(changed, "deploy.aborted", what, actor)

    def _under_way(self, key: str, what: str) -> Deployment:
        service = key.partition(".")[2]
        deployment = self._registry.running_deployment(key)
        if deployment is None:
            raise ConflictError(
                f"cannot {what} the deployment of {service}: none is under way",
                f"see: fourfold history {service}"
                if what == "promote"
                else f"go back with: fourfold rollback {service}",
            )
        if deployment.state == "rolling-back":
            raise ConflictError(
                f"cannot {what} the deployment of {service}: it goes back already: {deployment.reason}",
                f"see: fourfold explain {service}",
            )
        return deployment

    def _store(self, changed: Deployment, kind: str, what: str, actor: str) -> OperationView:
        """The operation that made the deployment, from now on."""
        after = self._bus.last
        with self._bus.whole(), self._registry.transaction():
            self._registry.put_deployment(changed)
            self._bus.emit(
                kind, what, app=changed.app, service=changed.service, actor=actor, operation=changed.operation,
                release=changed.release,
            )  # fmt: skip
        self._wake()
        return OperationView(
            id=changed.operation, app=changed.app, kind="deployment", services=[changed.service], after=after
        )
