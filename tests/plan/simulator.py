"""A world that obeys: executes plans on observed instances, and lets programs start, crash and end as it is told.

It does with a plan what `control.executor` does, and with exits what `control.instances.lifecycle` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fourfold.plan import model as m
from fourfold.plan.parts import Memory
from fourfold.plan.planner import plan
from fourfold.plan.restart import failures_after

WELL = m.Ended(code=0, what="exit code 0")
CRASHED = m.Ended(code=1, what="exit code 1")


@dataclass
class Pace:
    """How many seconds things take."""

    start: float = 0.0
    before: float = 0.0
    route: float = 0.0
    """Until the gateway has acted on an instance that is ready or drains."""
    requests: float = 0.0
    """Until those in flight are answered."""
    stop: float = 0.0


@dataclass
class Program:
    """How a revision behaves: `crashes` right after its start, or `hangs` and never gets ready."""

    crashes: bool = False
    hangs: bool = False
    before_fails: bool = False
    errs: bool = False
    """Answers, with errors."""


class Simulator:
    def __init__(self, *goals: m.Goal) -> None:
        self.goals = {goal.key: goal for goal in goals}
        self.instances: dict[str, m.Instance] = {}
        self.now = 1000.0
        self.pace = Pace()
        self.programs: dict[str, Program] = {}
        """Revision -> how it behaves; well, if it is not here."""
        self.previous: dict[str, m.Goal] = {}
        """What the deployment in progress goes back to."""
        self.rollback_off: set[str] = set()
        self.failed: dict[str, str] = {}
        self.done: list[str] = []
        self.log: list[m.Action] = []
        self.checks: list[Callable[[Simulator, Simulator, m.Plan], None]] = []
        """Called after every step with the world before, the world after and the plan."""
        self._count = 0
        self._memory = Memory()

    # -- executing ------------------------------------------------------------------------------------------------

    def step(self) -> m.Plan:
        """Plan and execute once. Then there is nothing to add, unless a failed deployment has put its goal back."""
        before = self.copy()
        decided = self._plan()
        named = [a.instance for a in decided.actions if hasattr(a, "instance") and not isinstance(a, m.Lose)]
        assert len(named) == len(set(named)), f"two actions for one instance: {decided.actions}"
        for action in decided.actions:
            self.log.append(action)
            getattr(self, "_" + type(action).__name__.lower())(action)
        if not any(isinstance(action, m.Fail) for action in decided.actions):
            added = plan(self.goals, self.instances.values(), self.now, self._memory).actions
            assert added == (), f"more to do right after {decided.actions}: {added}"
        for check in self.checks:
            check(before, self, decided)
        return decided

    def _plan(self) -> m.Plan:
        """What is remembered of plans before changes nothing."""
        decided = plan(self.goals, self.instances.values(), self.now)
        assert plan(self.goals, self.instances.values(), self.now, self._memory) == decided
        return decided

    def copy(self) -> Simulator:
        """As it stands; for looking at."""
        twin = Simulator(*self.goals.values())
        twin.instances, twin.now = dict(self.instances), self.now
        return twin

    def change(self, name: str, **changes: Any) -> None:
        self.instances[name] = replace(self.instances[name], **changes)

    def change_goal(self, key: str, **changes: Any) -> None:
        self.goals[key] = replace(self.goals[key], **changes)

    def serves_requests(self, key: str) -> bool:
        return key in self.goals and self.goals[key].ending.drain is not None

    def to(self, name: str, state: m.State, **changes: Any) -> None:
        """A state that the gateway must act on is not acted on yet."""
        acts = state in ("ready", "draining") and self.serves_requests(self.instances[name].key)
        self.change(name, state=state, since=self.now, routed=not acts, **changes)

    def _new(self, key: str, before: bool, host: str | None, stable: bool = False) -> None:
        self._count += 1
        name = f"{key}-{self._count}"
        goal = self.goals[key]
        revision = goal.deploying.stable if stable and goal.deploying is not None else goal.revision
        assert revision is not None
        self.instances[name] = m.Instance(name, key, revision, "starting", self.now, before=before, host=host)

    def _start(self, action: m.Start) -> None:
        self._new(action.key, before=False, host=action.host, stable=action.stable)

    def _runbefore(self, action: m.RunBefore) -> None:
        self._new(action.key, before=True, host=None)

    def _restart(self, action: m.Restart) -> None:
        assert self.instances[action.instance].state == "exited"
        self.to(action.instance, "starting", ended=None, sick=None)

    def _drain(self, action: m.Drain) -> None:
        self.to(action.instance, "draining", in_flight=int(self.pace.requests > 0))
        self._progress(self.instances[action.instance].key)

    def _stop(self, action: m.Stop) -> None:
        sick = action.reason if action.again else self.instances[action.instance].sick
        self.to(action.instance, "stopping", sick=sick)

    def _kill(self, action: m.Kill) -> None:
        self.to(action.instance, "killing")

    def _forget(self, action: m.Forget) -> None:
        assert self.instances[action.instance].state == "exited", "forgotten alive"
        del self.instances[action.instance]

    def _lose(self, action: m.Lose) -> None:
        self.end(action.instance, m.Ended(what="its host ended"))

    def _progress(self, key: str) -> None:
        if key in self.goals and self.goals[key].deploying is not None:
            self._deploying(key, progressed_at=self.now)

    def _beforedone(self, action: m.BeforeDone) -> None:
        self._deploying(action.key, before_done=True, progressed_at=self.now)

    def _beginstep(self, action: m.BeginStep) -> None:
        self._deploying(action.key, step_since=self.now, new=m.Answered(), old=m.Answered())

    def _advance(self, action: m.Advance) -> None:
        fresh = {"step_since": None, "promoted": False, "progressed_at": self.now}
        self._deploying(action.key, step=action.step, **fresh)

    def _deploying(self, key: str, **changes: Any) -> None:
        deploying = self.goals[key].deploying
        assert deploying is not None
        self.change_goal(key, deploying=replace(deploying, **changes))

    def _done(self, action: m.Done) -> None:
        deploying = self.goals[action.key].deploying
        assert deploying is not None
        self.done.append(action.key)
        self.change_goal(action.key, deploying=None, failed=deploying.rolling_back, settled_at=self.now)

    def _fail(self, action: m.Fail) -> None:
        goal = self.goals[action.key]
        assert goal.deploying is not None
        self.failed[action.key] = action.reason
        point = self.previous.get(action.key)
        if point is not None and not goal.deploying.rolling_back and action.key not in self.rollback_off:
            deploying = replace(goal.deploying, rolling_back=True, progressed_at=self.now)
            self.change_goal(action.key, revision=point.revision, count=point.count, deploying=deploying)
            return
        frozen = action.key in self.rollback_off
        count = goal.count if frozen or point is not None else 0
        self.change_goal(action.key, deploying=None, failed=True, frozen=frozen, count=count, settled_at=self.now)

    def _retire(self, action: m.Retire) -> None:
        assert not any(i.key == action.key for i in self.instances.values())
        del self.goals[action.key]

    # -- users ----------------------------------------------------------------------------------------------------

    def deploy(self, key: str, **changes: Any) -> None:
        """A new goal with a deployment towards it, in place of one in progress."""
        old = self.goals[key]
        if old.deploying is None:
            self.previous.pop(key, None)
            if not (old.failed and old.count == 0) and not changes.get("removed"):
                self.previous[key] = old
        point = self.previous.get(key)
        stable = point.revision if point is not None and point.count else None
        deploying = m.Deploying(started_at=self.now, progressed_at=self.now, stable=stable)
        self.change_goal(key, **({"failed": False, "frozen": False, "deploying": deploying} | changes))

    def promote(self, key: str) -> None:
        if self.goals[key].deploying is not None:
            self._deploying(key, promoted=True)

    def abort(self, key: str) -> None:
        if self.goals[key].deploying is not None:
            self._deploying(key, aborted="ann")

    # -- the world ------------------------------------------------------------------------------------------------

    def become_ready(self, name: str) -> None:
        self.to(name, "ready", probe_error=None)
        self._progress(self.instances[name].key)

    def end(self, name: str, ended: m.Ended = CRASHED) -> None:
        old = self.instances[name]
        asked = old.state in m.LEAVING and old.sick is None
        well = self.now - old.since if old.state == "ready" else 0.0
        goal = self.goals.get(old.key)
        failures = failures_after(old.failures, well, goal.restarting if goal else m.Restarting())
        if asked or ended.rebooted:
            failures = 0 if ended.rebooted else old.failures
        self.to(name, "exited", failures=failures, ended=replace(ended, asked=asked), in_flight=0)

    def answer(self, key: str, requests: int, errors: int) -> None:
        """So many requests, half of them by the new revision, and so many errors of that."""
        deploying = self.goals[key].deploying
        if deploying is not None and deploying.step_since is not None:
            new, old = deploying.new, deploying.old
            old = m.Answered(old.requests + requests, old.errors)
            self._deploying(key, new=m.Answered(new.requests + requests, new.errors + errors), old=old)

    def reboot(self) -> None:
        for instance in list(self.instances.values()):
            self.change(instance.id, sick=None)
            if instance.state != "exited":
                self.end(instance.id, m.Ended(what="the machine restarted", rebooted=True))

    def next_move(self, instance: m.Instance) -> float | None:
        """When something happens to an instance by itself."""
        program = self.programs.get(instance.revision, Program())
        if instance.state == "starting":
            if instance.before:
                return instance.since + self.pace.before
            return None if program.hangs else instance.since + self.pace.start
        if instance.state in ("unready", "killing"):
            return instance.since
        if instance.state == "stopping":
            return instance.since + self.pace.stop
        if not instance.routed:
            return instance.since + self.pace.route
        if instance.state == "draining" and instance.in_flight:
            return instance.since + max(self.pace.route, self.pace.requests)
        return None

    def move(self, instance: m.Instance) -> None:
        program = self.programs.get(instance.revision, Program())
        if instance.state == "starting" and instance.before:
            self.end(instance.id, CRASHED if program.before_fails else WELL)
        elif instance.state == "starting" and program.crashes:
            self.end(instance.id)
        elif instance.state in ("starting", "unready"):
            self.become_ready(instance.id)
        elif instance.state in ("stopping", "killing"):
            self.end(instance.id, WELL)
        elif not instance.routed:
            self.change(instance.id, routed=True)
        else:
            self.change(instance.id, in_flight=0)

    def live(self) -> bool:
        """What is due happens; whether anything was."""
        due = [i for i in self.instances.values() if (at := self.next_move(i)) is not None and at <= self.now]
        for instance in due:
            self.move(instance)
        return bool(due)

    def settle(self, seconds: float = 3600.0) -> bool:
        """Run until nothing is left to do, or for so long; whether it came to rest."""
        until = self.now + seconds
        for _ in range(5000):
            if self.now >= until:
                return False
            decided = self.step()
            moved = self.live()
            if decided.actions or moved:
                self.now += 0.001
                continue
            moves = [at for i in self.instances.values() if (at := self.next_move(i)) is not None]
            times = [at for at in (decided.wake_at, *moves) if at is not None]
            if not times:
                return True
            self.now = max(min(times), self.now + 0.001)
        raise AssertionError(f"it never rests: {self.log[-10:]}")

    def settle_promoting(self) -> bool:
        """As `settle`; what waits for requests or for somebody is promoted."""
        for _ in range(20):
            at_rest = self.settle()
            held = [key for key, goal in self.goals.items() if goal.deploying and goal.deploying.step_since is not None]
            if not held:
                break
            for key in held:
                self.promote(key)
        return at_rest
