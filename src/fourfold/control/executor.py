"""Plan -> new rows, in one transaction, and the effects to have after it: intent is stored before it is carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.deploying import stages, stagewords
from fourfold.control.goals import SYSTEM, described, goal_of, pattern_of, restored, revision
from fourfold.control.registry import Registry, key_of
from fourfold.plan import model as m
from fourfold.store.model import Deployment, InstanceRow, InstanceState, Role


@dataclass
class Effects:
    """What to do in the world once the rows are safe."""

    starts: list[str] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)


class Executor:
    def __init__(self, registry: Registry, bus: Bus, clock: Clock) -> None:
        self._registry = registry
        self._bus = bus
        self._clock = clock

    def execute(self, actions: Sequence[m.Action]) -> Effects:
        effects = Effects()
        with self._bus.whole(), self._registry.transaction():
            for action in actions:
                self._execute(action, effects)
        return effects

    def _execute(self, action: m.Action, effects: Effects) -> None:
        match action:
            case m.BeforeDone() | m.BeginStep() | m.Advance() | m.Done() | m.Fail() | m.Retire():
                self._move_deployment(action)
            case m.Start(key, host, stable):
                effects.starts.append(self._create(key, "serve", host, stable))
            case m.RunBefore(key):
                effects.starts.append(self._create(key, "before", None))
            case m.Restart(name):
                self._restart(name)
                effects.starts.append(name)
            case m.Drain(name):
                self._leave(name, "draining", "drains: no new requests")
                self._progress(name)
            case m.Stop(name, reason, again):
                self._leave(name, "stopping", f"is told to stop: {reason}")
                if again:
                    self._registry.live[name].sick = reason
                effects.signals.append(name)
            case m.Kill(name):
                if self._registry.instances[name].state == "killing":
                    self._to(name, "killing")  # again, of which nobody need be told again
                else:
                    self._leave(name, "killing", "did not stop in time and is killed")
                effects.kills.append(name)
            case m.Forget(name):
                self._to(name, "gone")
            case m.Lose(name):
                self._lose(name)

    def _move_deployment(self, action: m.BeforeDone | m.BeginStep | m.Advance | m.Done | m.Fail | m.Retire) -> None:
        match action:
            case m.BeginStep(key):
                self._begin_step(key)
            case m.Advance(key, step, reason):
                self._advance(key, step, reason)
            case m.BeforeDone(key):
                self._deployment(key, before_done=True, progressed_at=self._clock.now())
            case m.Done(key):
                self._done(key)
            case m.Fail(key, reason):
                self._fail(key, reason)
            case m.Retire(key):
                self._retire(key)

    # -- instances ------------------------------------------------------------------------------------------------

    def _create(self, key: str, role: Role, host: str | None, stable: bool = False) -> str:
        app, _, service = key.partition(".")
        row = self._registry.services.get(key)
        if stable and row is not None:
            row = restored(row, self._registry.deployments[key].previous)
        release = row.release if row else 0
        now = self._clock.now()
        made = InstanceRow(
            id=self._registry.unused_id(f"{key}-{release}", 4),
            app=app,
            service=service,
            release=release,
            revision=revision(row) if row else goal_of(self._registry, key).revision,
            role=role,
            state="starting",
            created_at=now,
            changed_at=now,
            pattern=pattern_of(row) if row else "process",
            host=host,
            run=1,
        )
        self._registry.put_instance(made)
        return made.id

    def _restart(self, name: str) -> None:
        row = self._registry.instances[name]
        again = not (row.exit or {}).get("rebooted")
        self._registry.live[name].sick = None
        self._put(
            row,
            state="starting",
            run=row.run + 1,
            restarts=row.restarts + again,
            pid=None,
            start_time=None,
            boot_id=None,
            started_at=None,
            ready_at=None,
        )

    def _leave(self, name: str, state: InstanceState, what: str) -> None:
        row = self._registry.instances[name]
        self._to(name, state)
        if row.app != SYSTEM:
            kind = "instance.draining" if state == "draining" else "instance.stopping"
            self._bus.emit(kind, f"{name} {what}", app=row.app, service=row.service, instance=name)

    def _lose(self, name: str) -> None:
        row = self._registry.instances[name]
        reason = "its host ended"
        self.ended(name, code=None, reason=reason)
        if row.state not in m.LEAVING:
            deployment = self._registry.running_deployment(key_of(row))
            of = {"operation": deployment.operation} if deployment is not None else {}
            what = f"{name} ended: {reason}"
            self._bus.emit(
                "instance.exited", what, app=row.app, service=row.service, instance=name, release=row.release,
                reason=reason, **of,
            )  # fmt: skip

    def _to(self, name: str, state: InstanceState, **changes: Any) -> None:
        self._put(self._registry.instances[name], state=state, **changes)

    def _put(self, row: InstanceRow, **changes: Any) -> None:
        self._registry.put_instance(replace(row, changed_at=self._clock.now(), **changes))

    def ended(self, name: str, *, code: int | None, reason: str, **more: Any) -> None:
        """Its process is gone. `more`: signal, oom, fatal, rebooted, failures."""
        row = self._registry.instances[name]
        failures = more.pop("failures", row.failures)
        asked = row.state in m.LEAVING and self._registry.live[name].sick is None
        exit = {"code": code, "signal": None, "oom": False, "at": self._clock.now(), "reason": reason, "asked": asked}
        exit |= more
        self._put(row, state="exited", failures=failures, exit=exit)

    # -- deployments ----------------------------------------------------------------------------------------------

    def _progress(self, name: str) -> None:
        key = key_of(self._registry.instances[name])
        if self._registry.running_deployment(key):
            self._deployment(key, progressed_at=self._clock.now())

    def _deployment(self, key: str, **changes: Any) -> Deployment:
        deployment = self._registry.running_deployment(key)
        assert deployment is not None
        changed = replace(deployment, **changes)
        self._registry.put_deployment(changed)
        return changed

    def _begin_step(self, key: str) -> None:
        deployment, rows = self._registry.deployments[key], self._registry.of_service(key)
        now = self._clock.now()
        begun = stages.begun(deployment, stages.marks(rows, self._registry.answers), now)
        self._registry.put_deployment(begun)
        self._registry.answered.pop(key, None)
        rollout = goal_of(self._registry, key).rollout
        what = stagewords.began(begun, rollout.steps, rollout.judging)
        self._tell("deploy.step", deployment, what, **stagewords.data(begun, rollout.steps))

    def _advance(self, key: str, step: int, reason: str) -> None:
        deployment = self._registry.deployments[key]
        last = step >= len(goal_of(self._registry, key).rollout.steps)
        self._registry.put_deployment(stages.entered(deployment, step, self._clock.now()))
        self._registry.answered.pop(key, None)
        if last:
            why = f"steps are skipped, {reason}" if reason else "all steps are passed"
            self._tell("deploy.step", deployment, f"{why}: {described(deployment)} takes over")

    def _done(self, key: str) -> None:
        deployment = self._registry.running_deployment(key)
        assert deployment is not None
        now = self._clock.now()
        seconds = now - deployment.started_at
        if deployment.state == "rolling-back":
            self._deployment(key, state="rolled-back", finished_at=now)
            release = self._registry.services[key].release
            self._tell("deploy.rolled-back", deployment, f"release {release} serves on as before")
        else:
            self._deployment(key, state="done", finished_at=now)
            row = self._registry.services[key]
            what = "has stopped" if row.stopped or row.removed else f"{described(deployment)} is deployed"
            self._tell(
                "deploy.done",
                deployment,
                f"{what}, in {seconds:.1f} s",
                seconds=seconds,
            )

    def _fail(self, key: str, reason: str) -> None:
        deployment = self._registry.running_deployment(key)
        assert deployment is not None
        now = self._clock.now()
        spec = self._registry.spec(key, deployment.release)
        goes_back = spec.deploy.rollback == "auto" or deployment.aborted is not None
        if deployment.state == "rolling-back":
            self._deployment(key, state="failed", reason=f"{deployment.reason}; going back failed too: {reason}")
            self._deployment_ended(key, now)
        elif deployment.previous and (goes_back or self._registry.services[key].removed):
            self._deployment(key, state="rolling-back", reason=reason, progressed_at=now)
            self._registry.put_service(restored(self._registry.services[key], deployment.previous))
        else:
            self._deployment(key, state="failed", reason=reason)
            self._deployment_ended(key, now)
        what = f"{described(deployment)} failed: {reason}"
        self._tell("deploy.failed", deployment, what, reason=reason, culprit=self._culprit(key, deployment))

    def _deployment_ended(self, key: str, now: float) -> None:
        stored = self._registry.deployments[key]
        self._registry.put_deployment(replace(stored, finished_at=now))

    def _culprit(self, key: str, deployment: Deployment) -> str | None:
        """The instance whose last lines tell most: one of this deployment that ended, else one that is not ready."""
        mine = [row for row in self._registry.of_service(key) if row.revision == deployment.revision]
        mine.sort(key=lambda row: (row.state == "exited", row.exit is not None, row.state != "ready"))
        return mine[-1].id if mine else None

    def _tell(self, kind: str, deployment: Deployment, message: str, **data: Any) -> None:
        self._bus.emit(
            kind,
            message,
            app=deployment.app,
            service=deployment.service,
            operation=deployment.operation,
            release=deployment.release,
            **data,
        )

    def _retire(self, key: str) -> None:
        row = self._registry.services[key]
        self._registry.remove_service(row)
        if not self._registry.of_app(row.app):
            self._registry.remove_app(row.app)
            self._bus.emit("app.removed", f"{row.app} is down", app=row.app)
