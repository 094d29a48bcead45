"""What must hold for every service and every order of events, not only for the tabled ones.

Every step of the simulator checks that planning again at once adds nothing; `check_all` checks the rest after each.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.plan import model as m
from fourfold.plan.planner import plan
from tests.plan.invariants import check_all, comes_back
from tests.plan.simulator import Pace, Program, Simulator

KEYS = ("a.db", "a.api", "a.host", "a.guest", "a.web")
"""Each may need those before it; `a.guest` lives in `a.host`."""
Drawn = TypeVar("Drawn")


STEPS: tuple[tuple[m.Step, ...], ...] = (
    (),
    (m.Step(10, 60.0), m.Step(50, 60.0)),
    (m.Step(30), m.Step(60, 5.0)),
    (m.Step(0, 0.0, instances=100),),
    (m.Step(0, instances=100),),
)
"""None, canaries, blue-green; some wait for somebody."""


@st.composite
def rollouts(draw: st.DrawFn, steps: tuple[tuple[m.Step, ...], ...] = STEPS) -> m.Rollout:
    surge = draw(st.integers(0, 3))
    return m.Rollout(
        strategy=draw(st.sampled_from(["rolling", "recreate"])),
        steps=draw(st.sampled_from(steps)),
        judging=m.Judging(min_requests=draw(st.sampled_from([0, 20]))),
        max_surge=surge,
        max_unavailable=draw(st.integers(0 if surge else 1, 3)),
        min_ready=draw(st.sampled_from([0.0, 5.0, 90.0])),
        timeout=draw(st.sampled_from([10.0, 60.0])),
        before=draw(st.booleans()),
    )


@st.composite
def worlds(draw: st.DrawFn) -> list[m.Goal]:
    """Not deployed yet; some of them portless, some with guests."""
    chosen = []
    for position, key in enumerate(KEYS):
        needs = draw(st.lists(st.sampled_from(KEYS[:position]), unique=True, max_size=2)) if position else []
        chosen.append(
            m.Goal(
                key=key,
                revision="1",
                count=1 if key == "a.guest" else draw(st.integers(0, 4)),
                depends_on=tuple(need for need in needs if key != "a.guest" or need != "a.host"),
                host="a.host" if key == "a.guest" else None,
                grace=draw(st.sampled_from([5.0, 30.0, 120.0])),
                rollout=draw(rollouts(STEPS[:1] if key in ("a.host", "a.guest") else STEPS)),  # groups have no steps
                ending=m.Ending(draw(st.sampled_from([None, 0.0, 30.0])), grace=draw(st.sampled_from([1.0, 10.0]))),
                restarting=m.Restarting(draw(st.sampled_from(["always", "on-failure", "never"]))),
            )
        )
    return chosen


class Change:
    """Things users and the world do, drawn by name so that Hypothesis can shrink them."""

    def __init__(self, simulator: Simulator, data: st.DataObject) -> None:
        self.sim = simulator
        self.data = data
        self.revision = 1

    def pick(self, choices: list[Drawn]) -> Drawn | None:
        return self.data.draw(st.sampled_from(choices)) if choices else None

    def pick_instance(self, *states: m.State) -> str | None:
        return self.pick(sorted(i.id for i in self.sim.instances.values() if i.state in states))

    def any(self) -> None:
        names = [name for name in vars(Change) if not name.startswith(("_", "pick", "any"))]
        getattr(self, self.data.draw(st.sampled_from(names), label="change"))()

    # -- users

    def deploy(self) -> None:
        """Some revisions are broken, and some services stay where a failure leaves them."""
        self.revision += 1
        self.sim.programs[str(self.revision)] = self.data.draw(
            st.sampled_from([Program(), Program(crashes=True), Program(hangs=True), Program(before_fails=True)])
        )
        known = sorted(self.sim.goals)
        for key in self.data.draw(st.sets(st.sampled_from(known), min_size=1)) if known else ():
            rollback = self.data.draw(st.booleans())
            (self.sim.rollback_off.discard if rollback else self.sim.rollback_off.add)(key)
            self._deploy(key, revision=str(self.revision), count=self._count(key, least=1))

    def deploy_older(self) -> None:
        if key := self.pick(sorted(self.sim.goals)):
            self._deploy(key, revision=str(self.data.draw(st.integers(1, self.revision))))

    def scale(self) -> None:
        """To nothing at times, as `stop` does."""
        if key := self.pick(sorted(self.sim.goals)):
            self._deploy(key, count=self._count(key, least=0))

    def follow_its_load(self) -> None:
        """Another count, whether or not a deployment is under way; that is none itself."""
        if key := self.pick(sorted(key for key, goal in self.sim.goals.items() if goal.count and not goal.host)):
            self.sim.change_goal(key, count=self._count(key, least=1))

    def remove(self) -> None:
        if key := self.pick(sorted(self.sim.goals)):
            self._deploy(key, count=0, removed=True)

    def down(self) -> None:
        for key in self.sim.goals:
            self._deploy(key, count=0, removed=True)

    def promote(self) -> None:
        if key := self.pick(sorted(self.sim.goals)):
            self.sim.promote(key)

    def abort(self) -> None:
        if key := self.pick(sorted(self.sim.goals)):
            self.sim.abort(key)

    def answer(self) -> None:
        if key := self.pick(sorted(self.sim.goals)):
            self.sim.answer(key, 20, self.data.draw(st.sampled_from([0, 1, 2, 20])))

    def _deploy(self, key: str, **changes: Any) -> None:
        self.sim.deploy(key, **({"removed": False} | changes))

    def _count(self, key: str, least: int) -> int:
        return self.data.draw(st.integers(least, 1 if key == "a.guest" else 4))

    # -- the world

    def exit(self) -> None:
        if name := self.pick_instance(*m.RUNNING):
            code = self.data.draw(st.sampled_from([0, 1, None]))
            self.sim.end(name, m.Ended(code=code, what="it ended"))

    def fall_unready(self) -> None:
        if name := self.pick_instance("ready"):
            self.sim.to(name, "unready")

    def fall_sick(self) -> None:
        if name := self.pick_instance("ready", "unready"):
            self.sim.change(name, sick="no answer")

    def be_asked(self) -> None:
        if name := self.pick_instance("draining"):
            self.sim.change(name, in_flight=1)

    def forget_sickness(self) -> None:
        """Another daemon takes over."""
        for name in self.sim.instances:
            self.sim.change(name, sick=None)

    def reboot(self) -> None:
        self.sim.reboot()

    def proceed(self) -> None:
        """Some get ready, end, are routed; others take longer."""
        due = [i for i in self.sim.instances.values() if self.sim.next_move(i) is not None]
        for instance in due:
            if self.data.draw(st.booleans()):
                self.sim.move(instance)

    def wait(self) -> None:
        self.sim.now += self.data.draw(st.sampled_from([0.1, 1.0, 11.0, 61.0, 100_000.0]))


def is_reached(sim: Simulator, goal: m.Goal) -> bool:
    """Exactly the instances wanted, each ready, or at its end if its policy lets it rest there."""
    instances = [i for i in sim.instances.values() if i.key == goal.key]
    wanted = goal.count
    if goal.host is not None and goal.count:
        hosts = [i.id for i in sim.instances.values() if i.key == goal.host and i.state == "ready"]
        assert sorted(hosts) == sorted(i.host or "" for i in instances)
        wanted = len(hosts)
    well = [i for i in instances if i.state == "ready" or (i.state == "exited" and not comes_back(i, goal))]
    return len(instances) == len(well) == wanted and all(i.revision == goal.revision for i in instances)


def is_broken(sim: Simulator, key: str) -> bool:
    """It, or what it needs, was left at a version that cannot work or that failed."""
    goal = sim.goals.get(key)
    if goal is None:
        return False
    program = sim.programs.get(goal.revision, Program())
    return program.crashes or program.hangs or goal.frozen or any(is_broken(sim, need) for need in goal.needs)


@given(worlds(), st.data())
@settings(max_examples=500, deadline=None, report_multiple_bugs=False)
def test_it_always_gets_there(wanted: list[m.Goal], data: st.DataObject) -> None:
    """Whatever happened: every deployment ends, and what can work runs as wanted, and nothing else."""
    simulator = Simulator(*wanted)
    simulator.checks.append(check_all)
    for key in simulator.goals:
        simulator.deploy(key)
    change = Change(simulator, data)
    for _ in range(data.draw(st.integers(0, 25), label="changes")):
        change.any()
        while simulator.step().actions:
            pass
    at_rest = simulator.settle_promoting()
    for key, goal in simulator.goals.items():
        assert goal.deploying is None, f"the deployment of {key} does not end"
        assert not goal.removed, f"{key} is never retired"
        if not is_broken(simulator, key):
            assert is_reached(simulator, goal), key
    known = simulator.goals.keys()
    assert all(i.key in known for i in simulator.instances.values())
    assert at_rest or any(is_broken(simulator, key) for key in known)


@st.composite
def slow_services(draw: st.DrawFn) -> tuple[m.Goal, Pace]:
    """A service, and a pace that keeps each of its limits, however short."""
    grace, drain, stop = draw(st.tuples(*[st.sampled_from([0.5, 20.0, 150.0])] * 3))
    rollout = draw(rollouts())
    ending = m.Ending(drain=draw(st.sampled_from([None, drain])), grace=stop)
    goal = m.Goal(key="a.x", revision="1", count=draw(st.integers(1, 4)), grace=grace, rollout=rollout, ending=ending)
    part = draw(st.sampled_from([0.0, 0.5, 0.99]))
    before = part * rollout.timeout
    return goal, Pace(start=part * grace, before=before, route=0.01, requests=part * drain, stop=part * stop)


@given(slow_services())
@settings(max_examples=200, deadline=None)
def test_a_version_within_its_limits_is_never_given_up(service: tuple[m.Goal, Pace]) -> None:
    goal, pace = service
    simulator = Simulator(m.Goal(key="a.db", revision="1", count=1, grace=1000.0), replace(goal, depends_on=("a.db",)))
    simulator.checks.append(check_all)
    simulator.pace = pace
    simulator.rollback_off = {"a.x"}
    for revision in ("1", "2"):
        simulator.deploy("a.db", revision=revision)
        simulator.deploy("a.x", revision=revision)
        assert simulator.settle_promoting()
        assert simulator.failed == {}
        assert is_reached(simulator, simulator.goals["a.x"])


@given(worlds(), st.data())
@settings(max_examples=200, deadline=None)
def test_a_rolling_deploy_keeps_enough_available(wanted: list[m.Goal], data: st.DataObject) -> None:
    """While the old version is well, at every moment and not only when the planner lets one go."""
    goal = replace(wanted[0], count=max(1, wanted[0].count), rollout=replace(wanted[0].rollout, strategy="rolling"))
    goal = replace(goal, rollout=replace(goal.rollout, steps=()))
    simulator = Simulator(goal)
    simulator.checks.append(check_all)
    simulator.settle()
    simulator.deploy(goal.key, revision="2")
    simulator.programs["2"] = data.draw(st.sampled_from([Program(), Program(crashes=True), Program(hangs=True)]))
    while simulator.goals[goal.key].deploying is not None:
        decided = simulator.step()
        mine = [i for i in simulator.instances.values() if not i.before]
        assert sum(i.state == "ready" and i.routed for i in mine) >= goal.count - goal.rollout.max_unavailable
        assert sum(i.state not in m.LEAVING for i in mine) <= goal.count + goal.rollout.max_surge
        moved = [i for i in mine if simulator.next_move(i) is not None and data.draw(st.booleans())]
        for instance in moved:
            simulator.move(instance)
        simulator.now = simulator.now + 0.1 if moved else max(decided.wake_at or 0.0, simulator.now + 0.1)
    simulator.settle()
    assert is_reached(simulator, simulator.goals[goal.key])


@given(worlds(), st.sampled_from(STEPS[1:]), st.data())
@settings(max_examples=200, deadline=None)
def test_steps_leave_the_old_version_whole(
    wanted: list[m.Goal], steps: tuple[m.Step, ...], data: st.DataObject
) -> None:
    """Until the last one is passed; and an abort leads back from everywhere, a promotion on."""
    rollout = replace(wanted[0].rollout, strategy="rolling", steps=steps)
    goal = replace(wanted[0], count=max(1, wanted[0].count), rollout=rollout)
    simulator = Simulator(goal)
    simulator.checks.append(check_all)
    simulator.settle()
    simulator.deploy(goal.key, revision="2")
    simulator.programs["2"] = data.draw(st.sampled_from([Program(), Program(crashes=True), Program(hangs=True)]))
    aborts = data.draw(st.one_of(st.none(), st.integers(0, 40)), label="aborts after so many")
    for turn in itertools.count():
        deploying = simulator.goals[goal.key].deploying
        if deploying is None:
            break
        if turn == aborts:
            simulator.abort(goal.key)
        elif data.draw(st.booleans(), label="promote"):
            simulator.promote(goal.key)
        decided = simulator.step()
        mine = [i for i in simulator.instances.values() if not i.before]
        least = goal.count if deploying.step < len(steps) else goal.count - goal.rollout.max_unavailable
        serving = [i for i in mine if i.state == "ready" and i.routed]
        if not any(isinstance(action, m.Advance) for action in decided.actions):
            assert sum(i.revision == "1" or deploying.step == len(steps) for i in serving) >= least
        moved = [i for i in mine if simulator.next_move(i) is not None and data.draw(st.booleans())]
        for instance in moved:
            simulator.move(instance)
        simulator.now = simulator.now + 0.1 if moved else max(decided.wake_at or 0.0, simulator.now + 0.1)
    simulator.settle()
    assert is_reached(simulator, simulator.goals[goal.key])
    if goal.key in simulator.failed:
        assert simulator.goals[goal.key].revision == "1"


@given(st.integers(0, 400), st.integers(0, 10))
@settings(max_examples=20, deadline=None)
def test_planning_is_a_function(services: int, count: int) -> None:
    wanted = {f"a.s{n}": m.Goal(key=f"a.s{n}", revision="1", count=count) for n in range(services)}
    assert plan(wanted, [], 5.0) == plan(wanted, [], 5.0)
