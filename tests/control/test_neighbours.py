"""Bad neighbours: who is told of, once; who is moved out, once; and who stays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from fourfold.build.build import BuildRequest
from fourfold.control.goals import pattern_of, revision
from fourfold.control.groups.evicting import ACTOR, Evicting
from fourfold.control.groups.neighbours import MOST_LEAKS, Neighbours
from fourfold.control.operations import Operations
from fourfold.control.routing.traffic import GatewayTraffic
from fourfold.errors import UserError, WorldError
from fourfold.gateway.model import InstanceStats
from fourfold.launch.model import Powers
from fourfold.plan.neighbours import MIB, Bounds
from fourfold.spec.groups import Group
from fourfold.store.model import Event, Release
from fourfold.supervise.hosts.hosted import Hosted, HostUsage
from fourfold.supervise.model import Note, Usage
from tests.control.life import Life
from tests.store.samples import build, instance, release, service_row

HOST, HOG, GOOD = "shop.apps-1-h", "shop.hog-1-a", "shop.good-1-b"


class Shared(Life):
    """A host with two guests: `good`, and `hog`, which is to be evicted."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.cpu = {HOG: 0.0, GOOD: 0.0}
        self.memory: dict[str, int | None] = {HOG: None, GOOD: None}
        self.served: dict[str, InstanceStats] = {}
        self.refused: Exception | None = None
        self.asked: list[BuildRequest] = []
        self.silent = False
        self.app()
        group = Group(kind="python").as_host().model_dump(mode="json", exclude_defaults=True)
        with self.registry.transaction():
            self.registry.add_release(release("apps", 1, spec=group))
            self.registry.put_service(service_row("apps", pattern="group", instances=2))
            self.registry.add_release(self.member("hog", 1, on_abuse="evict"))
            self.registry.add_release(self.member("good", 1))
            for name in ("hog", "good"):
                self.registry.put_service(service_row(name, pattern="shared"))
                self.registry.put_build(build(name, 1))
            self.registry.put_instance(instance(HOST, "apps", pattern="group", pid=10))
            for name, service in ((HOG, "hog"), (GOOD, "good")):
                self.registry.put_instance(instance(name, service, pattern="shared", host=HOST, pid=10))
        self.operations = Operations(self.registry, self.bus, self.clock, cast(GatewayTraffic, self))
        evicting = Evicting(self.registry, self.operations, self.deployer, self.bus, Powers, self._plan)
        self.neighbours = Neighbours(
            self.registry, self._usage, self._ask, self._served, evicting, self.bus, self.clock, Bounds()
        )

    def member(self, name: str, number: int, **given: str) -> Release:
        shared = {"group": "apps", "kind": "python", "mode": "mounted"} | given
        return release(name, number, spec={"source": "./x", "run": "x", "port": 8080, "shared": shared})

    async def settled(self, app: str) -> None:
        """As the gateway's traffic has it."""

    def _usage(self, name: str) -> Usage | None:
        return Usage(sum(self.cpu.values()), 100 * MIB, 1, 1, 1, 0, 0) if name == HOST else None

    async def _ask(self, host: str) -> HostUsage:
        if self.silent:
            raise WorldError("it does not answer")
        return HostUsage({name: Hosted(self.cpu[name], "measured", self.memory[name]) for name in self.cpu})

    async def _served(self) -> Mapping[str, InstanceStats]:
        return self.served

    async def _plan(self, request: BuildRequest) -> None:
        self.asked.append(request)
        if self.refused is not None:
            raise self.refused

    async def pass_time(self, seconds: float, *spinning: str) -> None:
        for _ in range(int(seconds / 5)):
            self.clock.time += 5
            for name in spinning:
                self.cpu[name] += 4.9
            await self.neighbours.look()
            await asyncio.sleep(0)

    def told(self, kind: str = "neighbour") -> list[Event]:
        return [event for event in self.bus.since(0, "shop", None) if event.kind.startswith(kind)]

    def kinds(self) -> list[str]:
        return [event.kind.partition(".")[2] for event in self.told()]

    def finish(self) -> None:
        """The deployment under way is done."""
        with self.registry.transaction():
            for row in self.registry.deployments.values():
                self.registry.put_deployment(replace(row, state="done", finished_at=self.now))


def shared(test: Callable[[Shared], Awaitable[None]]) -> Callable[[Path], None]:
    def wrapped(tmp_path: Path) -> None:
        async def run() -> None:
            life = Shared(tmp_path)
            await test(life)
            await life.operations.close()

        asyncio.run(run())

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


@shared
async def test_one_that_spins_is_told_of_once_and_moved_out(life: Shared) -> None:
    await life.pass_time(60, HOG)
    (abuse, evicted) = life.told()
    assert (abuse.kind, abuse.service, abuse.instance) == ("neighbour.abuse", "hog", HOG)
    assert abuse.message.startswith("hog takes 98 % of what its group may use of the CPU (1 core)")
    assert (abuse.data["group"], abuse.data["host"], abuse.data["what"]) == ("apps", HOST, "cpu")
    assert (evicted.kind, evicted.actor) == ("neighbour.evicted", ACTOR)
    row = life.registry.services["shop.hog"]
    assert pattern_of(row) == "process" and row.overrides == {"pattern": "process", "instances": 2}
    deployment = life.deployment("shop.hog")
    assert (deployment.actor, deployment.pattern, deployment.release) == (ACTOR, "process", 1)
    (started,) = life.told("operation.started")
    assert (started.actor, started.message) == (ACTOR, "evict of shop begins")


@shared
async def test_one_that_is_back_and_spins_again_stays(life: Shared) -> None:
    await life.pass_time(40, HOG)
    life.finish()
    with life.registry.transaction():
        row = life.registry.services["shop.hog"]
        life.registry.put_service(replace(row, overrides={}))  # as `deploy hog --as shared`
    await life.pass_time(60)
    await life.pass_time(60, HOG)
    assert life.kinds() == ["abuse", "evicted", "abuse", "stays"]
    assert life.told()[-1].message.endswith("release 1 was given a process of its own before, which is not done twice")
    assert life.registry.services["shop.hog"].overrides == {}


@shared
async def test_nobody_is_judged_during_a_deployment_nor_without_an_answer(life: Shared) -> None:
    row = life.registry.services["shop.good"]
    life.deployer._commit(life._operation("shop", "restart"), [(row, replace(row, restart_nonce=1))])
    await life.pass_time(60, HOG)
    assert life.told() == []
    life.finish()
    life.silent = True
    await life.pass_time(60, HOG)
    assert life.told() == []
    life.silent = False
    await life.pass_time(60, HOG)
    assert life.kinds() == ["abuse", "evicted"]


@shared
async def test_what_cannot_run_as_a_process_is_only_told_of(life: Shared) -> None:
    life.refused = UserError("cannot build hog: it is a fragment", "let another bundle have it")
    with life.registry.transaction():  # one that was never built as a process
        life.registry.add_release(life.member("hog", 2, on_abuse="evict"))
        life.registry.put_service(replace(life.registry.services["shop.hog"], release=2))
        life.registry.put_instance(replace(life.registry.instances[HOG], release=2))
    await life.pass_time(60, HOG)
    assert life.kinds() == ["abuse", "stays"] and life.told()[-1].data["hint"] == "let another bundle have it"
    assert life.told()[-1].message.endswith("stays in its group, though it is to be moved out: " + str(life.refused))
    assert (life.asked[0].service, life.asked[0].pattern) == ("hog", "process")
    assert life.registry.services["shop.hog"].overrides == {}


@shared
async def test_of_two_the_heavier_goes_and_then_all_is_looked_at_anew(life: Shared) -> None:
    await life.pass_time(40, HOG, GOOD)
    assert [event.service for event in life.told("neighbour.abuse")] == ["hog", "good"]


@shared
async def test_what_hosts_tell_by_themselves(life: Shared) -> None:
    for _ in range(10):
        await life.neighbours.noted(Note(GOOD, "stuck", "its event loop has not moved for 5 s"))
        await life.neighbours.noted(Note(GOOD, "leak", "thread worker-1 runs on"))
        await life.neighbours.noted(Note("shop.nobody-1-x", "leak", "who?"))
    messages = [event.message for event in life.told()]
    assert messages[0] == "good is stuck: its event loop has not moved for 5 s"
    assert messages[1] == f"good has ended and left something behind in {HOST}: thread worker-1 runs on"
    assert life.kinds() == ["abuse", *["leak"] * MOST_LEAKS]
    with life.registry.transaction():
        life.registry.store.instances.remove(GOOD)
    await life.neighbours.look()
    assert not life.neighbours._leaks


@shared
async def test_what_one_that_was_moved_out_leaves_behind_ends_with_the_host(life: Shared) -> None:
    """Of one that leaves by itself nothing of that is done; nor twice, nor for a host that goes anyway."""
    with life.registry.transaction():
        host = replace(life.registry.instances[HOST], revision=revision(life.registry.services["shop.apps"]))
        life.registry.put_instance(host)
    await life.neighbours.noted(Note(GOOD, "leak", "a thread runs on"))
    await life.pass_time(40, HOG)
    life.finish()
    for _ in range(2):
        await life.neighbours.noted(Note(HOG, "leak", "a thread runs on"))
    await life.pass_time(10)
    await life.neighbours.noted(Note(HOG, "leak", "another thread runs on"))
    assert life.kinds() == ["leak", "abuse", "evicted", "leak", "cleared", "leak", "leak"]
    assert life.registry.services["shop.apps"].restart_nonce == 1 and life.deployment("shop.apps").actor == ACTOR
