"""Planning one service: let go what leaves, restart what died, move to the goal's revision, end the deployment.

The lists made at the start say how things stand; `released` has those that this plan lets go.
"""

from __future__ import annotations

from fourfold.plan import leaving
from fourfold.plan.judging import failed_at_step
from fourfold.plan.model import (
    LEAVING,
    BeforeDone,
    Done,
    Fail,
    Goal,
    Instance,
    Restart,
    Retire,
    RunBefore,
    Start,
    Stop,
)
from fourfold.plan.ranks import serves, worth
from fourfold.plan.restart import rebooted, restarts, restarts_at, wholly_down
from fourfold.plan.stages import Stages
from fourfold.plan.verdict import failure, has_done_its_work, not_ready, took_hosts_along
from fourfold.plan.world import World


class ServicePlanner:
    """One pass over one service. `plan` adds actions to the world it was given."""

    def __init__(self, world: World, goal: Goal) -> None:
        self.world = world
        self.goal = goal
        self.now = world.now
        self.current: list[Instance] = []
        """Of the goal's revision."""
        self.old: list[Instance] = []
        self.before: list[Instance] = []
        self.returning: list[Instance] = []
        """Told to end because they are sick: they keep their places."""
        self.gone: list[Instance] = []
        self.released: set[str] = set()
        for instance in world.of(goal.key):
            self._list(instance).append(instance)

    def _list(self, instance: Instance) -> list[Instance]:
        if self._is_gone(instance):
            return self.gone
        if instance.before:
            return self.before
        if instance.state in LEAVING:
            return self.returning if instance.sick and instance.state != "draining" else []
        keeps = instance.revision == self.goal.revision and not self._host_leaves(instance)
        return self.current if keeps else self.old

    def _is_gone(self, instance: Instance) -> bool:
        """It has ended and has no place to come back to."""
        if instance.state != "exited":
            return self.world.lost(instance)
        asked = instance.ended is not None and instance.ended.asked and instance.sick is None
        return asked or self._host_leaves(instance)

    def _host_leaves(self, instance: Instance) -> bool:
        if instance.host is None:
            return self.goal.host is not None and not instance.before
        host = self.world.instance(instance.host)
        return host is None or not self.world.stays(host)

    def plan(self) -> None:
        leaving.advance(self.world, self.goal, self.gone)
        if self._wait_for_successors():
            return
        if self.goal.count == 0:
            self.go_down()
        elif reason := took_hosts_along(self.world, self.goal, self.gone) or failure(
            self.world, self.goal, self.kept(), self.before
        ):
            self.world.add(Fail(self.goal.key, reason))
        else:
            self.move()

    def release(self, instance: Instance) -> None:
        """Begin to end an instance that is not leaving yet."""
        self.released.add(instance.id)
        leaving.begin(self.world, self.goal, instance)

    def _wait_for_successors(self) -> bool:
        """What gives requests away goes on as it is until those are there that get them; if they fail, for good."""
        deploying = self.goal.deploying
        if deploying is None or deploying.rolling_back or deploying.aborted is not None:
            return False
        left = [goal for key in self.goal.successors if (goal := self.world.goals.get(key)) is not None]
        for goal in left:
            if goal.failed and goal.deploying is None:
                self.world.add(Fail(self.goal.key, f"not begun: {goal.key} failed, and it takes over from this"))
                return True
        waits = [goal.key for goal in left if goal.deploying is not None and goal.key not in self.world.done]
        if waits:
            self.world.waiting.append((self.goal.key, ", ".join(waits)))
            self.keep_up([*self.current, *self.old])
        return bool(waits)

    # -- down -----------------------------------------------------------------------------------------------------

    def go_down(self) -> None:
        """Dependents end first; then all of it ends; then the service is retired, or its deployment is done."""
        if dependents := self.world.live_dependents(self.goal.key):
            self.world.waiting.append((self.goal.key, f"{', '.join(dependents)} to stop"))
            self.keep_up(self.current)  # they need it to their last request
            return
        self.release_all()
        if any(map(self.world.runs, self.world.of(self.goal.key))):
            return
        if self.goal.deploying is not None:
            self._done()
        if self.goal.removed:
            self.world.add(Retire(self.goal.key))

    def release_all(self) -> None:
        for instance in (*self.current, *self.old):
            self.release(instance)
        self._end_before(self.before)

    def _end_before(self, runs: list[Instance]) -> None:
        for instance in runs:
            if instance.state not in LEAVING:
                self.release(instance)

    # -- up -------------------------------------------------------------------------------------------------------

    def move(self) -> None:
        """One step towards `count` ready instances of the goal's revision."""
        self._leave_with_hosts()
        if self._wait_for_dependencies():
            self.keep_up(self.old)
            return
        if self._wait_for_before():
            self.keep_up([*self.current, *self.old])
            return
        self._end_before(self.before)
        if self.goal.frozen:
            self.keep_up([*self.current, *self.old])
            return
        self._shrink_current()
        self.keep_up(self.current)
        if Stages(self).hold():
            return
        if self.goal.rollout.strategy == "recreate":
            if self._leave_room():
                return
        else:
            self._release_old()
        self._start_missing()
        self.keep_up(self.old)
        self._finish()

    def _leave_with_hosts(self) -> None:
        """A host that leaves waits for its guests; they wait for others to take over only where others can come."""
        if self.goal.host is not None and (self.goal.frozen or not self.world.hosts(self.goal.host)):
            for instance in self.old:
                if self._host_leaves(instance):
                    self.release(instance)

    def _wait_for_dependencies(self) -> bool:
        """A service that is wholly down starts when what it needs is up. One that runs is never held up."""
        rolling_back = self.goal.deploying is not None and self.goal.deploying.rolling_back
        if rolling_back or not wholly_down(self.kept()):
            return False
        unmet = self.world.unmet(self.goal)
        if unmet:
            self.world.waiting.append((self.goal.key, ", ".join(unmet)))
        return bool(unmet)

    def _wait_for_before(self) -> bool:
        deploying = self.goal.deploying
        if not self.goal.rollout.before or deploying is None or deploying.before_done or deploying.rolling_back:
            return False
        mine = [i for i in self.before if i.revision == self.goal.revision and i.state not in LEAVING]
        others = [i for i in self.before if i not in mine]
        self._end_before(others)
        if any(i.state != "exited" for i in others):
            return True  # two at once could undo each other's work
        if not mine:
            self.world.add(RunBefore(self.goal.key))
        elif mine[0].state == "exited" and rebooted(mine[0]):
            self.world.add(Restart(mine[0].id))
        elif mine[0].state == "exited":
            self.world.add(BeforeDone(self.goal.key))
            return False
        return True

    def keep_up(self, instances: list[Instance]) -> None:
        """Restart what died; end what is sick or takes too long to start: that is restarted when it is gone."""
        for instance in instances:
            if instance.id in self.released:
                continue
            if instance.state == "exited":
                self._restart(instance)
            elif instance.sick is not None:
                self._stop_for_now(instance, instance.sick)
            elif instance.state == "starting":
                if self.now >= instance.since + self.goal.grace:
                    self._stop_for_now(instance, not_ready(instance, self.goal))
                else:
                    self.world.wake(instance.since + self.goal.grace)

    def _stop_for_now(self, instance: Instance, reason: str) -> None:
        self.world.leaving.add(instance.id)
        self.world.add(Stop(instance.id, reason, again=True))

    def _restart(self, instance: Instance) -> None:
        if not restarts(instance, self.goal.restarting):
            return
        if instance.host is not None and instance.host not in self._ready_hosts():
            return
        at = restarts_at(instance, self.goal.restarting)
        if self.now >= at:
            self.world.add(Restart(instance.id))
        else:
            self.world.wake(at)

    def _shrink_current(self) -> None:
        ranked = sorted(self.current, key=worth) if len(self.current) > 1 else []
        if self.goal.host is None:
            surplus = ranked[: max(0, len(ranked) - self.goal.count)]
        else:
            best = {i.host: i for i in ranked}
            surplus = [i for i in ranked if best[i.host] is not i]
        for instance in surplus:
            self.release(instance)
        if surplus:
            self.current = [i for i in self.current if i.id not in self.released]

    def old_left(self) -> list[Instance]:
        return [i for i in self.old if i.id not in self.released]

    def _target(self) -> int:
        return self.goal.count if self.goal.host is None else len(self.world.hosts(self.goal.host))

    def _ready_hosts(self) -> list[str]:
        return [i.id for i in self.world.hosts(self.goal.host or "") if i.state == "ready"]

    def _free_hosts(self) -> list[str]:
        """Where a new guest may start now."""
        taken = {i.host for i in (*self.current, *self.returning)}
        return [host for host in self._open_hosts() if host not in taken]

    def _open_hosts(self) -> list[str]:
        """Ready ones; while they are replaced, new ones only: what is built for those may not run in an old one."""
        group = self.world.goals.get(self.goal.host or "")
        if group is None or group.frozen:
            return self._ready_hosts()
        new = {i.id for i in self.world.of(group.key) if i.revision == group.revision}
        return [host for host in self._ready_hosts() if host in new]

    def _places(self) -> int:
        """Taken by instances that are there to stay, or to come back."""
        return len(self.current) + len(self.returning) + len(self.old_left())

    def _room(self) -> int:
        return self._target() + self.goal.rollout.max_surge - self._places()

    def kept(self) -> list[Instance]:
        """Of the goal's revision, with those that come back."""
        returning = (i for i in self.returning if i.revision == self.goal.revision and not self._host_leaves(i))
        return [*self.current, *returning]

    def _missing(self) -> int:
        if self.goal.host is not None:
            return len(self._free_hosts())
        return self._target() - len(self.kept())

    def _leave_room(self) -> bool:
        """recreate: all old ones end before the first new one starts; what leaves already is waited for first."""
        mine = [i for i in self.world.of(self.goal.key) if not i.before and i.revision == self.goal.revision]
        if any(i.state in LEAVING and i not in self.returning and self.world.runs(i) for i in mine):
            return True
        for instance in self.old_left():
            self.release(instance)
        others = (i for i in self.world.of(self.goal.key) if not i.before and i.revision != self.goal.revision)
        return any(map(self.world.runs, others))

    def _start_missing(self) -> None:
        missing = self._missing()
        if self.old or self.returning:
            missing = min(missing, self._room())
        hosts = [None] * missing if self.goal.host is None else self._free_hosts()[: max(0, missing)]
        for host in hosts:
            self.world.add(Start(self.goal.key, host))

    def _release_old(self) -> None:
        """Let old ones go as far as enough others are available, those last that it would go back to. Those that serve
        nobody go as soon as they are in the way of a new one, one after the other: they may yet get ready. What failed
        at a step goes at once: it is to get no more requests as long as any others serve."""
        if not self.old:
            return
        if failed_at_step(self.goal) and any(map(serves, self.current)):
            for instance in self.old_left():
                self.release(instance)
            return
        available = self.available()
        needed = self._target() - self.goal.rollout.max_unavailable
        stable = self.goal.deploying.stable if self.goal.deploying is not None else None
        serving = sorted((i for i in self.old_left() if serves(i)), key=lambda i: i.revision == stable)
        for instance in serving[: max(0, available + len(serving) - needed)]:
            self.release(instance)
        idle = sorted((i for i in self.old_left() if not serves(i)), key=worth)
        if available < needed:
            one_more = available == len(self.kept()) and self._missing() > 0
            idle = idle[: max(0, one_more - self._room())]
        for instance in idle:
            self.release(instance)

    def available(self) -> int:
        """New ones that get requests and have been ready for `min_ready`, or have nothing left to do."""
        count = 0
        for instance in self.current:
            at = instance.since + self.goal.rollout.min_ready
            if not serves(instance):
                count += has_done_its_work(instance, self.goal)
            elif self.now >= at:
                count += 1
            elif self.goal.deploying is not None or self.old:
                self.world.wake(at)
        return count

    def _finish(self) -> None:
        if self.goal.deploying is None or self.old_left():
            return
        host = self.world.goals.get(self.goal.host) if self.goal.host is not None else None
        target = max(self._target(), host.count if host is not None else 0)
        if len(self.current) == target and self.available() >= target:
            self._done()

    def _done(self) -> None:
        self.world.done.add(self.goal.key)
        self.world.add(Done(self.goal.key))
