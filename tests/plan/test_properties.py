"""What must hold for every service and every order of events, not only for the tabled ones."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.plan import model as m
from fourfold.plan.planner import plan
from tests.plan.simulator import Simulator

KEYS = ("a.db", "a.api", "a.web")


@st.composite
def rollouts(draw: st.DrawFn) -> m.Rollout:
    surge = draw(st.integers(0, 3))
    return m.Rollout(
        strategy=draw(st.sampled_from(["rolling", "recreate"])),
        max_surge=surge,
        max_unavailable=draw(st.integers(0 if surge else 1, 3)),
        min_ready=draw(st.sampled_from([0.0, 5.0])),
        before=draw(st.booleans()),
    )


@st.composite
def goals(draw: st.DrawFn) -> list[m.Goal]:
    chosen = []
    for position, key in enumerate(KEYS):
        needs = draw(st.lists(st.sampled_from(KEYS[:position]), unique=True)) if position else []
        chosen.append(
            m.Goal(
                key=key, revision="1", count=draw(st.integers(0, 5)), depends_on=tuple(needs), rollout=draw(rollouts())
            )
        )
    return chosen


class Change:
    """Things users and the world do, drawn by number so that Hypothesis can shrink them."""

    def __init__(self, simulator: Simulator, draw: st.DataObject) -> None:
        self.sim = simulator
        self.draw = draw
        self.revision = 1

    def deploy(self) -> None:
        self.revision += 1
        for key in self.draw.draw(st.sets(st.sampled_from(KEYS), min_size=1)):
            self.sim.goals[key] = replace(
                self.sim.goals[key],
                revision=str(self.revision),
                failed=False,
                deploying=m.Deploying(started_at=self.sim.now, progressed_at=self.sim.now),
            )

    def scale(self) -> None:
        key = self.draw.draw(st.sampled_from(KEYS))
        self.sim.goals[key] = replace(self.sim.goals[key], count=self.draw.draw(st.integers(0, 5)))

    def crash(self) -> None:
        running = [i.id for i in self.sim.instances.values() if i.state in m.RUNNING]
        if running:
            self.sim.end(self.draw.draw(st.sampled_from(sorted(running))))

    def sicken(self) -> None:
        ready = sorted(i.id for i in self.sim.instances.values() if i.state == "ready" and not i.before)
        if ready:
            name = self.draw.draw(st.sampled_from(ready))
            self.sim.instances[name] = replace(self.sim.instances[name], sick="no answer")

    def live(self) -> None:
        self.sim._live(healthy=True)

    def later(self) -> None:
        self.sim.now += self.draw.draw(st.sampled_from([0.1, 1.0, 11.0]))

    def any(self) -> None:
        kinds = [self.deploy, self.scale, self.crash, self.sicken, self.live, self.later]
        self.draw.draw(st.sampled_from(kinds), label="change")()


@given(goals(), st.data())
@settings(max_examples=200, deadline=None)
def test_it_always_converges_and_then_has_nothing_to_do(wanted: list[m.Goal], data: st.DataObject) -> None:
    simulator = Simulator(*wanted)
    change = Change(simulator, data)
    for _ in range(data.draw(st.integers(0, 15), label="changes")):
        change.any()
        decided = simulator.step()
        repeated = set(simulator.again().actions) & set(decided.actions)
        assert not {a for a in repeated if not isinstance(a, m.Start)}, "an action was asked for twice"
    simulator.settle()
    assert simulator.again().actions == ()
    for key, goal in simulator.goals.items():
        states = [(i.state, i.revision) for i in simulator.instances.values() if i.key == key]
        assert states == [("ready", goal.revision)] * goal.count, key


@given(st.integers(1, 6), rollouts(), st.data())
@settings(max_examples=200, deadline=None)
def test_a_rolling_deploy_keeps_enough_available(count: int, rollout: m.Rollout, data: st.DataObject) -> None:
    rollout = replace(rollout, strategy="rolling")
    simulator = Simulator(m.Goal(key="a.x", revision="1", count=count, rollout=rollout))
    simulator.settle()
    deploying = m.Deploying(started_at=simulator.now, progressed_at=simulator.now)
    simulator.goals["a.x"] = replace(simulator.goals["a.x"], revision="2", deploying=deploying)
    for _ in range(200):
        simulator.step()
        live = [i for i in simulator.instances.values() if i.state not in m.LEAVING and not i.before]
        ready = [i for i in live if i.state == "ready"]
        assert len(ready) >= count - rollout.max_unavailable
        assert len(live) <= count + rollout.max_surge
        if simulator.done:
            break
        starting = sorted(i.id for i in simulator.instances.values() if i.state == "starting")
        one_gets_ready: bool = data.draw(st.booleans())
        if starting and one_gets_ready:
            name = data.draw(st.sampled_from(starting))
            if simulator.instances[name].before:
                simulator.end(name, m.Ended(code=0))
            else:
                simulator.become_ready(name)
        for instance in list(simulator.instances.values()):
            if instance.state == "stopping":
                simulator.end(instance.id, m.Ended(code=0))
        simulator.now += 1.0 if not starting else 0.01
    simulator.settle()
    assert {i.revision for i in simulator.instances.values()} == {"2"}


@given(st.integers(0, 400), st.integers(0, 10))
@settings(max_examples=20, deadline=None)
def test_planning_is_a_function(services: int, count: int) -> None:
    wanted = {f"a.s{n}": m.Goal(key=f"a.s{n}", revision="1", count=count) for n in range(services)}
    assert plan(wanted, [], 5.0) == plan(wanted, [], 5.0)
