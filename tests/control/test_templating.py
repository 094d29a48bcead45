"""When templates are made and used: nothing waits for one but what goes on from it, and nothing depends on it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from fourfold.control.executor import Effects
from fourfold.control.instances import templating
from fourfold.control.instances.lifecycle import Lifecycle
from fourfold.control.instances.starter import Starter
from fourfold.control.instances.templating import Templating
from fourfold.errors import WorldError
from fourfold.functions.model import TEMPLATE
from fourfold.launch.model import Bridge, Launch, Machine, Share
from fourfold.spec.model import Service
from fourfold.store.files.templates import Templates
from fourfold.store.model import InstanceRow, InstanceState
from fourfold.supervise.machines.templates import Boot
from fourfold.supervise.model import Exit, Identity
from fourfold.supervise.supervisor import Supervisor
from tests.control.rig import Rig, eventually, rigged

MACHINE = Machine("microvm", "tcg", 96 << 20, 1, "/k", "/i", ("/d",), ())


class Starting:
    """Gives out machines, and hears which are started from what."""

    def __init__(self) -> None:
        self.machine = MACHINE
        self.network: Literal["host"] | Bridge = "host"
        self.invokes = False
        """What is started is an invoker, and its sandboxes are such machines."""
        self.started: dict[str, Machine] = {}

    def prepare(self, row: InstanceRow) -> tuple[InstanceRow, Launch, dict[str, str]]:
        env = {"FOURFOLD_INSTANCE": row.id}
        if self.invokes:
            return row, Launch(row.id, ("x",), env=env, sandbox=self.machine), {}
        return row, Launch(row.id, ("x",), env=env, machine=self.machine, network=self.network), {}

    def stop_signal(self, row: InstanceRow) -> str:
        return "TERM"

    async def start(self, launch: Launch, secrets: dict[str, str], run: int) -> Identity:
        machine = launch.machine
        if launch.sandbox is not None:
            folder = launch.env.get(TEMPLATE)
            machine = replace(launch.sandbox, template=str(folder) if folder is not None else None)
        assert machine is not None
        self.started[launch.instance] = machine
        return Identity(100, 1, "boot")

    async def signal(self, name: str, signal: str) -> bool:
        return name in self.started

    def running(self) -> dict[str, Identity]:
        return {}


class Scene:
    """`made` names what templates were made of; `hold` keeps the next from being done, `wrong` lets it fail.

    `read` is what guests say that they have read, None that they do not answer; `known`, what templates were to read.
    """

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[Launch] = []
        self.hold: asyncio.Event | None = None
        self.wrong: Exception | None = None
        self.read: list[str] | None = ["0:2:/usr/bin/python3"]
        self.known: list[Sequence[str]] = []
        self.starting = Starting()
        self.templates = Templates(rig.paths)
        self.templating = Templating(
            rig.paths, self.templates, rig.clock, cast(Boot, None), self._is_ready, self._reads, self._lend, "boot"
        )
        self.lifecycle = Lifecycle(
            rig.registry, rig.executor, cast(Starter, self.starting), cast(Supervisor, self.starting),
            rig.bus, rig.clock, lambda: None,
        )  # fmt: skip
        rig.lifecycle.templates = self.lifecycle.templates = self.templating
        self.rig = rig
        monkeypatch.setattr(templating, "make", self._make)
        monkeypatch.setattr(templating, "host_key", lambda accelerator: "QEMU")

    def _lend(self, name: str) -> str:
        assert re.match(r"shop\.web-[12]-template-", name)
        return "10.177.0.9"

    async def _is_ready(self, row: InstanceRow, service: Service) -> None:
        assert row.address == "10.177.0.9", "asked where it is"
        raise WorldError("it does not get ready")

    async def _reads(self, name: str) -> list[str]:
        if self.read is None:
            raise WorldError("it has ended")
        return self.read

    async def _make(
        self, boot: Any, launch: Launch, staged: Path, ready: Any, patience: float, reads: Sequence[str]
    ) -> None:
        self.made.append(launch)
        self.known.append(reads)
        self.patience = patience
        self.rig.clock.time += 20.0
        if self.hold is not None:
            await self.hold.wait()
        if self.wrong is not None:
            raise self.wrong
        if ready is not None:
            await ready(None)
        for name in ("memory", "state"):
            (staged / name).write_bytes(b"x")

    async def start(self, *names: str) -> None:
        await self.lifecycle.act(Effects(starts=list(names)))

    async def ready(self, *names: str) -> None:
        """They have been started, and now get ready."""
        await eventually(lambda: set(names) <= set(self.starting.started))
        for name in names:
            self.rig.readiness.ready(name)
        await eventually(lambda: all(self.rig.state(name) == "ready" for name in names))

    def told(self) -> list[str]:
        return [event.message for event in self.rig.bus.since(0) if event.kind.startswith("template.")]

    def from_template(self) -> set[str]:
        return {name for name, machine in self.starting.started.items() if machine.template is not None}


def staged(test: Callable[[Scene], Any]) -> Callable[[pytest.MonkeyPatch, Path], None]:
    def wrapped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        async def run(rig: Rig) -> None:
            scene = Scene(rig, monkeypatch)
            await test(scene)
            await scene.lifecycle.close()
            await scene.templating.close()

        rigged(run)(tmp_path)

    wrapped.__name__ = test.__name__
    return wrapped


@staged
async def test_one_is_made_for_all_that_start_and_those_after(scene: Scene) -> None:
    scene.rig.add("a", "b", "c")
    await scene.start("a", "b")
    await eventually(lambda: len(scene.starting.started) == 2)
    await scene.start("c")
    assert scene.from_template() == {"a", "b", "c"} and len(scene.made) == 1
    assert scene.made[0].instance.startswith("shop.web-1-template-")
    assert scene.made[0].env["FOURFOLD_INSTANCE"] == scene.made[0].instance
    assert scene.told() == ["made a template, booted, in 20.0 s"]
    assert not list(scene.rig.paths.work.iterdir()), "nothing half-made is left"
    assert scene.patience == 24.0, "a grace of 30 s is not used up"
    assert scene.rig.stored("a").changed_at == scene.rig.clock.now(), "which begins when it is started"


@staged
async def test_an_invoker_is_told_of_that_of_its_sandboxes(scene: Scene) -> None:
    scene.rig.add("a", "b")
    scene.starting.invokes = True
    await scene.start("a", "b")
    await eventually(lambda: len(scene.starting.started) == 2)
    assert scene.from_template() == {"a", "b"}
    (made,) = scene.made
    assert made.machine == MACHINE and made.env == {}, "nothing of the function is in it"


@staged
async def test_others_do_not_wait_for_it(scene: Scene) -> None:
    scene.rig.add("a", "b")
    scene.hold = asyncio.Event()
    await scene.start("a")
    await eventually(lambda: len(scene.made) == 1)
    scene.starting.machine = replace(MACHINE, shares=(Share("/volume", "/data"),))
    await scene.start("b")
    assert set(scene.starting.started) == {"b"} and not scene.from_template(), "what shares folders boots"
    scene.hold.set()
    await eventually(lambda: "a" in scene.starting.started)


@staged
async def test_what_is_told_to_stop_meanwhile_is_not_started(scene: Scene) -> None:
    scene.rig.add("a")
    scene.hold = asyncio.Event()
    await scene.start("a")
    await eventually(lambda: len(scene.made) == 1)
    scene.rig.executor._to("a", "stopping")
    await scene.lifecycle.act(Effects(signals=["a"]))
    assert scene.rig.state("a") == "exited"
    scene.hold.set()
    await eventually(lambda: len(scene.told()) == 1)
    await scene.lifecycle.close()
    assert not scene.starting.started


@staged
async def test_one_that_cannot_be_made_keeps_nothing_from_starting(scene: Scene) -> None:
    scene.rig.add("a", "b")
    scene.wrong = WorldError("the machine ended before it could be kept")
    await scene.start("a")
    await eventually(lambda: "a" in scene.starting.started)
    await scene.start("b")
    assert set(scene.starting.started) == {"a", "b"} and not scene.from_template()
    assert len(scene.made) == 1, "it is not tried again and again"
    scene.rig.add("c")
    scene.rig.clock.time += templating.AGAIN_AFTER
    scene.wrong = None
    await scene.start("c")
    await eventually(lambda: "c" in scene.starting.started)
    assert scene.from_template() == {"c"}, "but once what was in the way may have gone"
    assert scene.told()[0] == "no template of web, its machines boot: the machine ended before it could be kept"
    assert not list(scene.rig.paths.work.iterdir())


@staged
async def test_a_fault_of_ours_is_no_reason_not_to_start(scene: Scene) -> None:
    scene.rig.add("a")
    scene.wrong = RuntimeError("oops")
    await scene.start("a")
    await eventually(lambda: "a" in scene.starting.started)
    assert not scene.from_template()


@staged
async def test_one_that_a_machine_could_not_go_on_from_is_not_used_again(scene: Scene) -> None:
    scene.rig.add("a", "b")
    await scene.start("a")
    await eventually(lambda: "a" in scene.starting.started)
    scene.lifecycle.exited(
        Exit(1, "a", 1, None, False, 1.0, said="QEMU ended with exit code 1: load of migration failed")
    )
    assert scene.told()[-1].startswith("a could not go on from its template, and boots: QEMU ended")
    assert not list(scene.templates.list())
    await scene.start("b")
    assert "b" in scene.starting.started and not scene.from_template() - {"a"}
    scene.rig.clock.time += templating.AGAIN_AFTER
    scene.rig.add("c")
    await scene.start("c")
    await eventually(lambda: "c" in scene.starting.started)
    assert scene.from_template() == {"a", "c"} and len(scene.made) == 2, "after a while there is another"


@staged
async def test_one_is_not_to_blame_for_machines_that_had_come_up(scene: Scene) -> None:
    scene.rig.add("a", "b", "c", "d")
    await scene.start("a", "b", "c")
    await eventually(lambda: len(scene.starting.started) == 3)
    ends: list[tuple[str, InstanceState]] = [("a", "ready"), ("b", "unready"), ("c", "killing")]
    for name, state in ends:
        scene.rig.executor._to(name, state)
        scene.lifecycle.exited(Exit(1, name, 1, None, False, 1.0, said="QEMU ended with exit code 1: I/O error"))
    await scene.start("d")
    assert "d" in scene.from_template() and len(scene.made) == 1
    assert scene.told() == ["made a template, booted, in 20.0 s"]


@staged
async def test_a_service_that_fails_by_itself_keeps_its_template_but_boots(scene: Scene) -> None:
    scene.rig.add("a", "b")
    await scene.start("a")
    await eventually(lambda: "a" in scene.starting.started)
    scene.lifecycle.exited(Exit(1, "a", 7, None, False, 1.0))
    row = scene.rig.registry.instances["a"]
    assert row.failures == 1
    with scene.rig.registry.transaction():
        scene.rig.registry.put_instance(replace(row, state="starting", run=2))
    scene.starting.started.clear()
    await scene.start("a", "b")
    assert scene.from_template() == {"b"} and set(scene.starting.started) == {"a", "b"}


@staged
async def test_one_that_somebody_touched_is_made_anew(scene: Scene) -> None:
    scene.rig.add("a", "b")
    await scene.start("a")
    await eventually(lambda: "a" in scene.starting.started)
    next(scene.rig.paths.templates.glob("*/memory")).write_bytes(b"y")
    await scene.start("b")
    await eventually(lambda: "b" in scene.starting.started)
    assert len(scene.made) == 2 and scene.from_template() == {"a", "b"}


@staged
async def test_who_wants_none_gets_none(scene: Scene) -> None:
    off = replace(scene.rig.store.releases.need("shop", "web", 1), number=2)
    off = replace(off, spec=off.spec | {"vm": {"template": "off"}})
    with scene.rig.registry.transaction():
        scene.rig.registry.add_release(off)
    scene.rig.add("a", release=2)
    scene.rig.add("before", role="before")
    await scene.start("a", "before")
    assert set(scene.starting.started) == {"a", "before"} and not scene.made


@staged
async def test_a_ready_one_is_made_at_an_address_of_its_own(scene: Scene) -> None:
    """Where the instance is reached there must be nothing else, not even before it starts."""
    ready = replace(scene.rig.store.releases.need("shop", "web", 1), number=2)
    ready = replace(ready, spec=ready.spec | {"vm": {"template": "ready"}})
    with scene.rig.registry.transaction():
        scene.rig.registry.add_release(ready)
    scene.starting.network = Bridge("fourfold0", "10.177.0.5/16", "10.177.0.1")
    scene.rig.add("a", release=2, address="10.177.0.5")
    await scene.start("a")
    await eventually(lambda: "a" in scene.starting.started)
    assert scene.made[0].network == Bridge("fourfold0", "10.177.0.9/16", "10.177.0.1")
    assert scene.told() == ["no template of web, its machines boot: it does not get ready"]


@staged
async def test_what_machines_read_is_in_the_memory_of_those_to_come(scene: Scene) -> None:
    scene.starting.network = Bridge("fourfold0", "10.177.0.5/16", "10.177.0.1")
    scene.rig.add("a", "b", "c")
    await scene.start("a")
    await scene.ready("a")
    assert scene.told() == ["made a template, booted, in 20.0 s"], "it may be the only one that there will be"
    first = scene.starting.started["a"].template
    await scene.start("b")
    await scene.ready("b")
    await eventually(lambda: len(scene.told()) == 2)
    assert scene.told()[1] == "made a template, with what it reads in memory, in 20.0 s"
    assert scene.known == [(), ["0:2:/usr/bin/python3"]]
    assert scene.made[1].network == Bridge("fourfold0", "10.177.0.9/16", "10.177.0.1"), "the instance runs at its own"
    assert scene.made[1].limits.cpu_weight == 20, "and nobody waits for this"
    assert not scene.templating.is_to_learn("a"), "it is known now"
    await scene.start("c")
    assert scene.starting.started["b"].template == first != scene.starting.started["c"].template
    await scene.ready("c")
    assert len(scene.made) == 2 == len(list(scene.templates.list()))


@staged
async def test_a_machine_that_ends_before_it_can_tell_is_followed_by_one_that_does(scene: Scene) -> None:
    scene.rig.add("a", "b", "c")
    scene.read = None
    await scene.start("a")
    await eventually(lambda: "a" in scene.starting.started)
    await scene.start("b")
    await scene.ready("a", "b")
    await eventually(lambda: scene.templating.is_to_learn("b"))
    scene.read = ["0:2:/usr/bin/python3"]
    await scene.start("c")
    await scene.ready("c")
    await eventually(lambda: len(scene.made) == 2)


@staged
async def test_one_that_cannot_be_made_again_is_good_as_it_is(scene: Scene) -> None:
    scene.rig.add("a", "b", "c")
    await scene.start("a", "b")
    await eventually(lambda: len(scene.starting.started) == 2)
    scene.wrong = WorldError("the disk is full")
    await scene.ready("a", "b")
    await eventually(lambda: len(scene.told()) == 2)
    assert scene.told()[1] == "no better template of web: the disk is full"
    await scene.start("c")
    await scene.ready("c")
    assert scene.from_template() == {"a", "b", "c"} and len(scene.made) == 2, "nor is it tried again"


@staged
async def test_one_made_again_that_is_of_no_use_leaves_the_first(scene: Scene) -> None:
    scene.rig.add("a", "b", "c", "d")
    await scene.start("a", "b")
    await scene.ready("a", "b")
    await eventually(lambda: len(scene.told()) == 2)
    await scene.start("c")
    scene.lifecycle.exited(
        Exit(1, "c", 1, None, False, 1.0, said="QEMU ended with exit code 1: load of migration failed")
    )
    await scene.start("d")
    assert scene.starting.started["d"].template == scene.starting.started["a"].template


@staged
async def test_a_daemon_that_ends_meanwhile_leaves_the_start_to_the_next(scene: Scene) -> None:
    scene.rig.add("a")
    scene.hold = asyncio.Event()
    await scene.start("a")
    await eventually(lambda: len(scene.made) == 1)
    await scene.lifecycle.close()
    await scene.templating.close()
    assert scene.rig.state("a") == "starting" and not scene.starting.started
    assert not list(scene.rig.paths.work.iterdir()) and not list(scene.templates.list())
