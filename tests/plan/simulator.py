"""A world that obeys: executes plans on observed instances, and lets programs start, crash and end as it is told."""

from __future__ import annotations

from dataclasses import replace

from fourfold.plan import model as m
from fourfold.plan.planner import plan
from fourfold.plan.restart import failures_after


class Simulator:
    def __init__(self, *goals: m.Goal) -> None:
        self.goals = {goal.key: goal for goal in goals}
        self.instances: dict[str, m.Instance] = {}
        self.now = 1000.0
        self.failed: dict[str, str] = {}
        self.done: list[str] = []
        self.log: list[m.Action] = []
        self._count = 0

    # -- executing ------------------------------------------------------------------------------------------------

    def step(self) -> m.Plan:
        """Plan and execute once."""
        decided = plan(self.goals, self.instances.values(), self.now)
        named = [action.instance for action in decided.actions if hasattr(action, "instance")]
        assert len(named) == len(set(named)), f"two actions for one instance: {decided.actions}"
        for action in decided.actions:
            self.log.append(action)
            getattr(self, "_" + type(action).__name__.lower())(action)
        return decided

    def again(self) -> m.Plan:
        """What the planner would still do, at the same moment."""
        return plan(self.goals, self.instances.values(), self.now)

    def _new(self, key: str, before: bool, host: str | None) -> None:
        self._count += 1
        name = f"{key}-{self._count}"
        self.instances[name] = m.Instance(
            id=name,
            key=key,
            revision=self.goals[key].revision,
            state="starting",
            since=self.now,
            before=before,
            host=host,
        )

    def _to(self, name: str, state: m.State) -> None:
        self.instances[name] = replace(self.instances[name], state=state, since=self.now)

    def _start(self, action: m.Start) -> None:
        self._new(action.key, before=False, host=action.host)

    def _runbefore(self, action: m.RunBefore) -> None:
        self._new(action.key, before=True, host=None)

    def _restart(self, action: m.Restart) -> None:
        self._to(action.instance, "starting")
        self.instances[action.instance] = replace(self.instances[action.instance], ended=None, sick=None)

    def _drain(self, action: m.Drain) -> None:
        self._to(action.instance, "draining")

    def _stop(self, action: m.Stop) -> None:
        self._to(action.instance, "stopping")
        if action.again:
            self.instances[action.instance] = replace(self.instances[action.instance], sick=action.reason)

    def _kill(self, action: m.Kill) -> None:
        self._to(action.instance, "killing")

    def _forget(self, action: m.Forget) -> None:
        del self.instances[action.instance]

    def _lose(self, action: m.Lose) -> None:
        self.end(action.instance, m.Ended(what="its host ended"))

    def _beforedone(self, action: m.BeforeDone) -> None:
        self._deploying(action.key, before_done=True, progressed_at=self.now)

    def _deploying(self, key: str, **changes: object) -> None:
        goal = self.goals[key]
        assert goal.deploying is not None
        self.goals[key] = replace(goal, deploying=replace(goal.deploying, **changes))  # type: ignore[arg-type]

    def _done(self, action: m.Done) -> None:
        self.done.append(action.key)
        self.goals[action.key] = replace(self.goals[action.key], deploying=None, failed=False, settled_at=self.now)

    def _fail(self, action: m.Fail) -> None:
        self.failed[action.key] = action.reason
        self.goals[action.key] = replace(
            self.goals[action.key], deploying=None, count=0, failed=True, settled_at=self.now
        )

    def _retire(self, action: m.Retire) -> None:
        del self.goals[action.key]

    # -- the world ------------------------------------------------------------------------------------------------

    def become_ready(self, name: str) -> None:
        self._to(name, "ready")
        if self.goals[self.instances[name].key].deploying is not None:
            self._deploying(self.instances[name].key, progressed_at=self.now)

    def end(self, name: str, ended: m.Ended | None = None) -> None:
        old = self.instances[name]
        well = self.now - old.since if old.state == "ready" else 0.0
        goal = self.goals.get(old.key)
        rules = goal.restarting if goal else m.Restarting()
        self._to(name, "exited")
        self.instances[name] = replace(
            self.instances[name],
            failures=failures_after(old.failures, well, rules),
            ended=ended or m.Ended(code=1, what="exit code 1"),
            in_flight=0,
        )

    def settle(self, healthy: bool = True, limit: int = 400) -> None:
        """Run until nothing is left to do: programs get ready (if healthy), those told to end do."""
        for _ in range(limit):
            decided = self.step()
            moved = self._live(healthy)
            if not decided.actions and not moved:
                if decided.wake_at is None:
                    return
                self.now = max(decided.wake_at, self.now + 0.001)
        raise AssertionError(f"did not settle: {self.goals}\n{list(self.instances.values())}\n{self.log[-20:]}")

    def _live(self, healthy: bool) -> bool:
        moved = False
        for name, instance in list(self.instances.items()):
            if instance.state == "starting":
                if instance.before:
                    self.end(name, m.Ended(code=0, what="exit code 0"))
                elif healthy:
                    self.become_ready(name)
                else:
                    self.end(name)
                moved = True
            elif instance.state in ("stopping", "killing"):
                self.end(name, m.Ended(code=0, what="exit code 0"))
                moved = True
        self.now += 0.01
        return moved
