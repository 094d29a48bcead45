"""What the world does to instances, whatever fails in between: no start is lost, nobody waits for what is not there."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence

import pytest

from fourfold.control.executor import Effects
from fourfold.errors import UserError, WorldError
from fourfold.plan.model import Drain, Kill, Restart, Start
from fourfold.store.model import InstanceRow
from fourfold.supervise.model import Exit, Identity
from fourfold.supervise.spawner.connection import Lost
from tests.control.rig import Rig, eventually, rigged


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store refuses is told it again at once."""
    monkeypatch.setattr("fourfold.control.loops.AGAIN_SECONDS", 0.01)


@rigged
async def test_the_port_is_stored_before_the_spawn(rig: Rig) -> None:
    """A daemon that dies right after the spawn leaves a row that says where to ask, also of an instance run again."""
    rig.add("a", "b")
    rig.add("again", port=20999, run=2)
    seen: dict[str, int | None] = {}
    rig.supervisor.before_start = lambda name: seen.update({name: rig.stored(name).port})
    await rig.lifecycle.act(Effects(starts=["a", "b", "again"]))
    assert seen == {"a": 20000, "b": 20001, "again": 20002}

    watched: list[InstanceRow] = []
    rig.registry.reload()
    rig.lifecycle.watcher = Watcher(watched)
    await rig.adopting.adopt("boot")
    assert {row.id: row.port for row in watched} == seen


class Watcher:
    def __init__(self, watched: list[InstanceRow]) -> None:
        self._watched = watched

    def watch(self, row: InstanceRow) -> None:
        self._watched.append(row)

    def unwatch(self, name: str) -> None:
        pass


@rigged
async def test_a_batch_of_starts_costs_two_commits(rig: Rig) -> None:
    rig.add("a", "b", "c")
    commits = 0

    def committed() -> None:
        nonlocal commits
        commits += 1

    rig.registry.faults.committed = committed  # type: ignore[method-assign]
    await rig.lifecycle.act(Effects(starts=["a", "b", "c"]))
    assert commits == 2


@rigged
async def test_no_two_instances_have_one_name(rig: Rig) -> None:
    names = iter(["x", "x", "x", "y"])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("fourfold.control.registry.letters", lambda count: next(names))
        assert rig.executor.execute([Start("shop.web"), Start("shop.web")]).starts == ["shop.web-1-x", "shop.web-1-y"]


@rigged
async def test_what_cannot_be_found_out_before_a_start_keeps_nothing_from_it(rig: Rig) -> None:
    async def settle(rows: Sequence[InstanceRow]) -> None:
        raise WorldError("cannot write accelerator.json: its disk is full")

    rig.lifecycle._settle = settle
    rig.add("a")
    await rig.lifecycle.act(Effects(starts=["a"]))
    assert rig.supervisor.alive.keys() == {"a"}


@rigged
async def test_a_start_that_fails_takes_no_other_with_it(rig: Rig) -> None:
    """Whatever it fails with, before or at the spawn."""
    rig.add("world", "user", "fault", "spawn", "fine")
    rig.starter.fails = {
        "world": WorldError("cannot make the volume"),
        "user": UserError("cannot find the secret"),
        "fault": KeyError("x"),
    }
    rig.supervisor.fails = {"spawn": OSError(errno.ENOSPC, "No space left on device", "/logs/x")}
    await rig.lifecycle.act(Effects(starts=["world", "user", "fault", "spawn", "fine"]))
    assert rig.stored("fine").pid is not None and rig.state("fine") == "starting"
    exits = {name: rig.stored(name).exit or {} for name in ("world", "user", "fault", "spawn")}
    assert {name: (rig.state(name), exit.get("fatal")) for name, exit in exits.items()} == {
        "world": ("exited", False), "user": ("exited", True), "fault": ("exited", False), "spawn": ("exited", False),
    }  # fmt: skip
    assert exits["world"]["reason"] == "cannot make the volume"
    assert exits["spawn"]["reason"] == "cannot start spawn: the disk is full: /logs/x"
    assert exits["fault"]["reason"] == "cannot start fault: a fault in Fourfold, see the daemon's log"


@rigged
async def test_a_start_that_is_lost_with_the_spawner_is_no_failure_of_the_instance(rig: Rig) -> None:
    """Unless it is lost again and again."""
    rig.add("a")
    rig.supervisor.fails = {"a": Lost("cannot reach the spawner: it died")}
    await rig.lifecycle.act(Effects(starts=["a"]))
    counted = [rig.stored("a").failures]
    for _ in range(2):
        await rig.lifecycle.act(rig.executor.execute([Restart("a")]))
        counted.append(rig.stored("a").failures)
    assert counted == [0, 1, 2]


@rigged
async def test_a_signal_that_fails_takes_no_other_with_it(rig: Rig) -> None:
    """What is not there any more has ended; what still runs is told again by the planner."""
    rig.add("gone", "there", "other", state="stopping")
    rig.add("killed", state="killing")
    rig.add("new")
    rig.supervisor.alive = {name: Identity(1, 1, "boot") for name in ("there", "other")}
    rig.supervisor.fails = {name: WorldError("it died") for name in ("gone", "there", "killed")}
    await rig.lifecycle.act(Effects(signals=["gone", "there", "other"], kills=["killed"], starts=["new"]))
    states = {name: rig.state(name) for name in ("gone", "there", "other", "killed", "new")}
    assert states == {
        "gone": "exited", "there": "stopping", "other": "stopping", "killed": "exited", "new": "starting",
    }  # fmt: skip
    assert rig.supervisor.told == ["other"] and rig.stored("new").pid is not None


@rigged
async def test_a_signal_that_hangs_holds_no_other_up(rig: Rig) -> None:
    rig.add("hangs", "other", state="stopping")
    rig.add("killed", state="killing")
    rig.add("new")
    rig.supervisor.hangs = {"hangs"}
    acting = asyncio.create_task(rig.lifecycle.act(Effects(["new"], ["hangs", "other"], ["killed"])))
    await rig.bus.until(lambda: rig.stored("new").pid is not None)
    assert rig.supervisor.told == ["other", "killed"] and not acting.done()
    acting.cancel()


@rigged
async def test_a_host_that_hangs_holds_nobody_up_but_its_guests(rig: Rig) -> None:
    rig.add("stopped", state="stopping", host="h")
    rig.add("guest", host="h")
    rig.add("other")
    rig.supervisor.hangs, rig.supervisor.slow = {"stopped"}, {"guest": asyncio.Event()}
    await rig.lifecycle.act(Effects(["guest", "other"], ["stopped"]))
    assert rig.stored("other").pid is not None
    rig.supervisor.slow["guest"].set()
    await rig.bus.until(lambda: rig.stored("guest").pid is not None)
    await rig.lifecycle.close()


@rigged
async def test_a_guest_that_was_given_up_while_its_host_hung_is_killed(rig: Rig) -> None:
    rig.add("guest", host="h")
    rig.supervisor.slow = {"guest": asyncio.Event()}
    await rig.lifecycle.act(Effects(["guest"]))
    rig.add("guest", host="h", state="exited", exit={"code": None, "reason": "its host ended"})
    rig.supervisor.slow["guest"].set()
    await eventually(lambda: rig.supervisor.told == ["guest"])
    assert rig.state("guest") == "exited" and rig.stored("guest").pid is None


@rigged
async def test_a_late_answer_says_nothing_of_another_run(rig: Rig) -> None:
    rig.add("guest", host="h")
    rig.supervisor.slow, rig.supervisor.fails = {"guest": asyncio.Event()}, {"guest": WorldError("no answer in 10 s")}
    await rig.lifecycle.act(Effects(["guest"]))
    rig.add("guest", host="h", run=2)
    rig.supervisor.slow["guest"].set()
    await eventually(lambda: not rig.lifecycle._tasks)
    assert rig.state("guest") == "starting"


@rigged
async def test_a_start_of_an_older_run_is_replaced(rig: Rig) -> None:
    rig.add("a", run=2)
    rig.supervisor.alive["a"] = Identity(7, 1, "boot")
    rig.supervisor.runs["a"] = 1
    rig.supervisor.before_start = refuse
    await rig.lifecycle.act(Effects(starts=["a"]))
    assert rig.supervisor.told == ["a"] and rig.state("a") == "exited" and rig.stored("a").failures == 0


@rigged
async def test_that_the_spawner_dies_is_no_failure_of_what_it_was_starting(rig: Rig) -> None:
    rig.add("a")
    rig.supervisor.fails = {"a": Lost("cannot reach the spawner: it died")}
    await rig.lifecycle.act(Effects(starts=["a"]))
    assert (rig.state("a"), rig.stored("a").failures) == ("exited", 0)


def refuse(name: str) -> None:
    raise WorldError("it already runs")


@rigged
async def test_starts_that_the_store_refuses_are_not_lost(rig: Rig) -> None:
    """They end, as soon as that can be stored, and so are tried again."""
    rig.add("a")
    end = rig.refuse_commits()
    await rig.lifecycle.act(Effects(starts=["a"]))
    assert not rig.supervisor.alive and rig.state("a") == "starting"
    end()
    await asyncio.wait_for(rig.bus.until(lambda: rig.state("a") == "exited"), 60)


@rigged
async def test_ready_counts_for_its_own_run_only(rig: Rig) -> None:
    """Told while the store refused, and stored when the instance had ended and was started again."""
    rig.add("a")
    end = rig.refuse_commits()
    rig.readiness.ready("a")
    await asyncio.sleep(0)
    end()
    rig.add("a", run=2)
    rig.add("b")
    rig.readiness.ready("b")
    await asyncio.wait_for(rig.bus.until(lambda: rig.state("b") == "ready"), 60)
    assert rig.state("a") == "starting"


@rigged
async def test_ready_is_timed_when_it_is_stored(rig: Rig) -> None:
    """Until then the machine's clock may be set, and all other times with it."""
    rig.add("a")
    rig.readiness.ready("a")
    rig.clock.time += 7200
    await asyncio.wait_for(rig.bus.until(lambda: rig.state("a") == "ready"), 60)
    row = rig.registry.instances["a"]
    assert row.ready_at == row.changed_at == rig.clock.now()


@rigged
async def test_an_end_says_why_it_was_brought_about(rig: Rig) -> None:
    """Of the planner's kills one is told, however often it takes."""
    rig.add("late", "hangs", state="stopping")
    rig.registry.live["hangs"].sick = "liveness: no answer"
    for _ in range(2):
        rig.executor.execute([Kill("late"), Kill("hangs")])
    for name in ("late", "hangs"):
        rig.lifecycle.exited(Exit(1, name, None, 9, False, at=rig.clock.now()))
    assert [(rig.stored(name).exit or {})["reason"] for name in ("late", "hangs")] == [
        "killed by signal 9, for it did not stop in time",
        "killed by signal 9, for it did not stop in time; liveness: no answer",
    ]
    told = [event.message for event in rig.bus.since(0) if event.kind == "instance.stopping"]
    assert told == [f"{name} did not stop in time and is killed" for name in ("late", "hangs")]


@rigged
async def test_what_fails_is_not_told(rig: Rig) -> None:
    """Events of a transaction whose commit is refused: it is tried again, and told then."""
    rig.add("a", state="ready")
    rig.registry.faults.committing = full_disk  # type: ignore[method-assign]
    with pytest.raises(WorldError):
        rig.executor.execute([Drain("a")])
    del rig.registry.faults.committing
    rig.executor.execute([Drain("a")])
    assert [event.kind for event in rig.bus.since(0)] == ["instance.draining"]


def full_disk() -> None:
    raise WorldError("cannot write the store: its disk is full")
