"""Planning one service: let go what leaves, restart what died, move to the goal's revision, end the deployment."""

from __future__ import annotations

from fourfold.plan.model import (
    LEAVING,
    BeforeDone,
    Deploying,
    Done,
    Drain,
    Fail,
    Forget,
    Goal,
    Instance,
    Kill,
    Lose,
    Restart,
    Retire,
    RunBefore,
    Start,
    Stop,
)
from fourfold.plan.restart import delay, restarts, verdict
from fourfold.plan.world import World


class ServicePlanner:
    """One pass over one service. `plan` adds actions to the world it was given."""

    def __init__(self, world: World, goal: Goal) -> None:
        self.world = world
        self.goal = goal
        self.now = world.now
        servers = [i for i in world.of(goal.key) if not i.before]
        staying = [i for i in servers if i.state not in LEAVING]
        self.current = [i for i in staying if i.revision == goal.revision and not self._host_leaves(i)]
        wanted = {i.id for i in self.current}
        self.old = [i for i in staying if i.id not in wanted]
        self.before = [i for i in world.of(goal.key) if i.before]
        self.returning = [i for i in servers if i.state in LEAVING and i.sick and i.revision == goal.revision]
        self.released: set[str] = set()

    def plan(self) -> None:
        lost = self.lose_guests()
        self.advance_leaving()
        if lost:
            return  # decided anew once they are marked
        if self.goal.successors and self._wait_for_successors():
            return
        if self.goal.count == 0 and self.goal.host is None:
            self.go_down()
        elif reason := self.failure():
            self.world.add(Fail(self.goal.key, reason))
        else:
            self.move()

    # -- instances on their way out ------------------------------------------------------------------------------

    def advance_leaving(self) -> None:
        """draining -> stopping -> killing, each in its time."""
        for instance in self.world.of(self.goal.key):
            if instance.state == "draining":
                self._advance_draining(instance)
            elif instance.state == "stopping":
                if self.now >= instance.since + self.goal.ending.grace:
                    self.world.add(Kill(instance.id))
                else:
                    self.world.wake(instance.since + self.goal.ending.grace)

    def _advance_draining(self, instance: Instance) -> None:
        if self.world.guests(instance.id):
            return  # its guests leave first
        if instance.in_flight == 0 or self.now >= instance.since + self.goal.ending.drain:
            self.world.add(Stop(instance.id, "drained" if instance.in_flight == 0 else "drain time is over"))
        else:
            self.world.wake(instance.since + self.goal.ending.drain)

    def drain(self, instance: Instance) -> None:
        """Begin to end an instance, unless that has begun: what never got traffic needs no drain."""
        self.released.add(instance.id)
        if instance.state in ("ready", "unready"):
            self.world.add(Drain(instance.id))
        elif instance.state == "starting":
            self.world.add(Stop(instance.id, "not wanted any more"))
        elif instance.state == "exited":
            self.world.add(Forget(instance.id))

    def lose_guests(self) -> bool:
        """A guest whose host has ended has ended too."""
        lost = False
        for instance in self.world.of(self.goal.key):
            if instance.host is not None and instance.state != "exited":
                host = self.world.instance(instance.host)
                if host is None or host.state == "exited":
                    self.world.add(Lose(instance.id))
                    lost = True
        return lost

    def _host_leaves(self, instance: Instance) -> bool:
        if instance.host is None:
            return self.goal.host is not None
        host = self.world.instance(instance.host)
        return host is None or host.state in LEAVING or host.state == "exited"

    def _wait_for_successors(self) -> bool:
        """What gives requests away goes on as it is until those are there that get them; if they fail, for good."""
        if self.goal.deploying is None or self.goal.deploying.rolling_back:
            return False
        left = [goal for key in self.goal.successors if (goal := self.world.goals.get(key)) is not None]
        for goal in left:
            if goal.failed and goal.deploying is None:
                self.world.add(Fail(self.goal.key, f"not begun: {goal.key} failed, and it takes over from this"))
                return True
        waits = [goal.key for goal in left if goal.deploying is not None]
        if waits:
            self.world.waiting.append((self.goal.key, ", ".join(waits)))
            self._restart_dead([*self.current, *self.old])
            self._replace_sick([*self.current, *self.old])
        return bool(waits)

    # -- down -----------------------------------------------------------------------------------------------------

    def go_down(self) -> None:
        """Dependents end first; then all of it ends; then the service is retired, or its deployment is done."""
        if dependents := self.world.live_dependents(self.goal.key):
            self.world.waiting.append((self.goal.key, f"{', '.join(dependents)} to stop"))
            return
        for instance in (*self.current, *self.old):
            self.drain(instance)
        self._end_before()
        if self.world.of(self.goal.key):
            return
        if self.goal.deploying is not None:
            self.world.add(Done(self.goal.key))
        if self.goal.removed:
            self.world.add(Retire(self.goal.key))

    def _end_before(self) -> None:
        for instance in self.before:
            if instance.state == "exited":
                self.world.add(Forget(instance.id))
            elif instance.state not in LEAVING:
                self.world.add(Stop(instance.id, "not wanted any more"))

    # -- up -------------------------------------------------------------------------------------------------------

    def failure(self) -> str | None:
        """Why the deployment in progress has failed, if it has."""
        deploying = self.goal.deploying
        if deploying is None:
            return None
        if not self.current and not deploying.rolling_back and (reason := self._failed_dependency()):
            return reason
        for instance in self.before:
            if instance.revision != self.goal.revision or instance.state != "exited" or instance.ended is None:
                continue
            if instance.ended.code != 0 and not instance.ended.rebooted:
                return f"before: {instance.ended.what}"
        if not deploying.rolling_back:
            for instance in self.current:
                if reason := verdict(instance, self.goal, self.now):
                    return reason
        return self._out_of_patience(deploying)

    def _out_of_patience(self, deploying: Deploying) -> str | None:
        others = (*self.goal.depends_on, *self.goal.successors)
        needed = [goal for key in others if (goal := self.world.goals.get(key))]
        if not self.current and any(goal.deploying for goal in needed):
            return None  # it has not begun, and what it waits for has a timeout of its own
        begun = max([deploying.progressed_at, *(goal.settled_at for goal in needed)])
        if self.now < begun + self._patience():
            self.world.wake(begun + self._patience())
            return None
        if not self.current and (unmet := self.world.unmet(self.goal)):
            return f"it depends on {', '.join(unmet)}, not ready after {self._patience():g} s"
        if self.before:
            return f"before: still running after {self._patience():g} s"
        return f"no progress for {self._patience():g} s{self._last_probe_error()}"

    def _patience(self) -> float:
        """The user's timeout, but never less than one step may take by the user's own other settings."""
        rollout = self.goal.rollout
        if rollout.strategy == "recreate":
            return rollout.timeout + self.goal.ending.drain + self.goal.ending.grace
        return rollout.timeout + rollout.min_ready

    def _last_probe_error(self) -> str:
        errors = [i.probe_error for i in self.current if i.state != "ready" and i.probe_error]
        return f": {errors[0]}" if errors else ""

    def _failed_dependency(self) -> str | None:
        assert self.goal.deploying is not None
        for key in self.goal.depends_on:
            dependency = self.world.goals.get(key)
            if dependency is None or dependency.deploying is not None or not dependency.failed:
                continue
            if dependency.settled_at >= self.goal.deploying.started_at:
                return f"not begun: {key} failed, and it depends on that"
        return None

    def move(self) -> None:
        """One step towards `count` ready instances of the goal's revision."""
        if self._wait_for_dependencies() or self._wait_for_before():
            self._restart_dead(self.old)
            return
        self._end_before()
        if self.goal.frozen:
            self._restart_dead([*self.current, *self.old])
            return
        self._shrink_current()
        self._restart_dead(self.current)
        self._replace_sick(self.current)
        if self.goal.rollout.strategy == "recreate" and self._leave_room():
            return
        self._start_missing()
        self._release_old()
        left = [i for i in self.old if i.id not in self.released]
        self._restart_dead(left)
        self._replace_sick(left)
        self._finish()

    def _wait_for_dependencies(self) -> bool:
        """A service that is wholly down starts when what it needs is up. One that runs is never held up."""
        waits = not self.current or all(i.state == "exited" and i.ended and i.ended.rebooted for i in self.current)
        rolling_back = self.goal.deploying is not None and self.goal.deploying.rolling_back
        if not waits or rolling_back:
            return False
        unmet = self.world.unmet(self.goal)
        if unmet:
            self.world.waiting.append((self.goal.key, ", ".join(unmet)))
        return bool(unmet)

    def _wait_for_before(self) -> bool:
        deploying = self.goal.deploying
        if not self.goal.rollout.before or deploying is None or deploying.before_done or deploying.rolling_back:
            return False
        mine = [i for i in self.before if i.revision == self.goal.revision]
        if not mine:
            self.world.add(RunBefore(self.goal.key))
        elif mine[0].state == "exited":
            rebooted = mine[0].ended is not None and mine[0].ended.rebooted
            self.world.add(Restart(mine[0].id) if rebooted else BeforeDone(self.goal.key))
        return True

    def _restart_dead(self, instances: list[Instance]) -> None:
        for instance in instances:
            if instance.state != "exited" or not restarts(instance, self.goal.restarting):
                continue
            rebooted = instance.ended is not None and instance.ended.rebooted
            at = instance.since + (0.0 if rebooted else delay(instance.failures, self.goal.restarting))
            if self.now >= at:
                self.world.add(Restart(instance.id))
            else:
                self.world.wake(at)

    def _replace_sick(self, instances: list[Instance]) -> None:
        """Liveness failed, or a start outside of a deployment takes too long: end it, it is restarted when gone."""
        for instance in instances:
            if instance.state in ("starting", "ready", "unready") and instance.sick is not None:
                self.world.add(Stop(instance.id, instance.sick, again=True))
            elif instance.state == "starting":
                if self.now >= instance.since + self.goal.grace:
                    why = f": {instance.probe_error}" if instance.probe_error else ""
                    self.world.add(Stop(instance.id, f"not ready within {self.goal.grace:g} s{why}", again=True))
                else:
                    self.world.wake(instance.since + self.goal.grace)

    def _shrink_current(self) -> None:
        surplus = len(self.current) - self._target()
        if surplus <= 0:
            return
        for instance in sorted(self.current, key=_worth)[:surplus]:
            self.drain(instance)
        self.current = [i for i in self.current if i.id not in self.released]

    def _target(self) -> int:
        return len(self._hosts()) if self.goal.host is not None else self.goal.count

    def _hosts(self) -> list[Instance]:
        assert self.goal.host is not None
        return [i for i in self.world.of(self.goal.host) if i.state == "ready" and not i.before]

    def _leave_room(self) -> bool:
        """recreate: all old ones end before the first new one starts."""
        for instance in self.old:
            self.drain(instance)
        others = (i for i in self.world.of(self.goal.key) if not i.before and i.revision != self.goal.revision)
        return any(True for _ in others)

    def _start_missing(self) -> None:
        missing = self._target() - len(self.current) - len(self.returning)
        if self.old and self.goal.rollout.strategy == "rolling":
            surge = max(self.goal.rollout.max_surge, 0)
            missing = min(missing, self._target() + surge - len(self.current) - len(self.old))
        if self.goal.host is not None:
            taken = {i.host for i in self.current}
            free = [host for host in self._hosts() if host.id not in taken]
            for host in free[: max(missing, 0)]:
                self.world.add(Start(self.goal.key, host.id))
            return
        for _ in range(missing):
            self.world.add(Start(self.goal.key))

    def _release_old(self) -> None:
        """Let old ones go as far as enough others are available; those that serve nobody go first."""
        if not self.old or self.goal.rollout.strategy == "recreate":
            return
        available = self._available()
        serving = [i for i in self.old if i.state == "ready" and i.sick is None]
        idle = [i for i in self.old if i not in serving]
        if available >= self._target() - self.goal.rollout.max_unavailable or not self._target():
            spare = len(idle)
        else:  # an old one that is starting may yet be needed, but must not keep the new one from its place
            spare = max(0, len(self.current) + len(self.old) - self._target() - self.goal.rollout.max_surge + 1)
        for instance in idle[:spare]:
            self.drain(instance)
        excess = available + len(serving) - (self._target() - self.goal.rollout.max_unavailable)
        for instance in serving[: max(0, excess)]:
            self.drain(instance)

    def _available(self) -> int:
        """New ones that have been ready for `min_ready`."""
        count = 0
        for instance in self.current:
            if instance.state == "ready":
                if self.now >= instance.since + self.goal.rollout.min_ready:
                    count += 1
                elif self.goal.deploying is not None or self.old:
                    self.world.wake(instance.since + self.goal.rollout.min_ready)
        return count

    def _finish(self) -> None:
        if self.goal.deploying is not None and not self.old and self._available() >= self._target():
            completed = all(i.state != "exited" for i in self.current)
            if completed and len(self.current) == self._target():
                self.world.add(Done(self.goal.key))


def _worth(instance: Instance) -> tuple[bool, float]:
    """Least worth keeping first: not ready, then youngest."""
    return (instance.state == "ready", -instance.since)
