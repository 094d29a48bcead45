"""Sources: one per trigger of a live service, started again after they fail, ended with their service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fourfold.control.delivering.policy import live_release
from fourfold.control.triggers import run as module
from fourfold.control.triggers.run import Triggers
from fourfold.control.triggers.source import Site
from fourfold.errors import WorldError
from tests.control.eventrig import EventRig, evented
from tests.control.rig import eventually
from tests.store.samples import deployment

KINESIS = {"kinesis": {"stream": "clicks"}}


class FakeSource:
    """Fails as often as `failures` says, then runs until it is ended."""

    def __init__(self, site: Site, sources: Sources) -> None:
        self.site = site
        self._sources = sources

    async def run(self) -> None:
        self._sources.began += 1
        if self._sources.failures:
            raise self._sources.failures.pop()
        self._sources.alive.append(self)
        try:
            await asyncio.Event().wait()
        finally:
            self._sources.alive.remove(self)


class Sources:
    def __init__(self, rig: EventRig) -> None:
        self.alive: list[FakeSource] = []
        self.failures: list[Exception] = []
        self.began = 0
        make: Callable[[Site], FakeSource] = lambda site: FakeSource(site, self)  # noqa: E731
        self.triggers = Triggers(
            rig.registry, rig.bus, rig.clock, rig.queue, rig.events.delivery, rig.schedules, {"kinesis": make}
        )

    async def look(self) -> list[tuple[str, int]]:
        """(service, batch) of all that run now."""
        await self.triggers.converge()
        await asyncio.sleep(0)
        found = [(each.site.service, each.site.spec.kinesis) for each in self.alive]
        return [(service, kinesis.batch) for service, kinesis in found if kinesis is not None]


@evented
async def test_they_come_and_go_with_their_service(rig: EventRig) -> None:
    sources = Sources(rig)
    rig.service("clicks", triggers=[KINESIS])
    rig.service("web")
    assert await sources.look() == [("clicks", 100)]
    assert await sources.look() == [("clicks", 100)] and sources.began == 1
    rig.service("clicks", number=2, triggers=[{"kinesis": {"stream": "clicks", "batch": 7}}])
    assert await sources.look() == [("clicks", 7)]
    rig.change("clicks", stopped=True)
    assert await sources.look() == []
    await sources.triggers.close()


@evented
async def test_what_it_remembers_outlives_an_edit_and_is_stored_with_its_events(rig: EventRig) -> None:
    sources = Sources(rig)
    rig.service("clicks", triggers=[KINESIS], env={"AWS_REGION": "eu-west-1"}, secrets=["AWS_SECRET_ACCESS_KEY"])
    rig.store.secrets.set_many("shop", {"AWS_SECRET_ACCESS_KEY": "s3cret"})
    await sources.look()
    site = sources.alive[0].site
    assert site.environ() == {"AWS_REGION": "eu-west-1", "AWS_SECRET_ACCESS_KEY": "s3cret"}
    site.state.put("shard-0", "5")
    await site.enqueue(b"{}", state={"shard-1": "6"})
    assert (await site.deliver(b"[1]")).error == ""
    assert rig.invoking.calls[0][:2] == ("clicks", b"[1]")
    rig.service("clicks", number=2, triggers=[{"kinesis": {"stream": "clicks", "batch": 7}}])
    await sources.look()
    assert sources.alive[0].site.state.all() == {"shard-0": "5", "shard-1": "6"}
    await rig.settle()
    assert rig.invoking.calls[1][:2] == ("clicks", b"{}")
    await sources.triggers.close()


@evented
async def test_one_that_fails_is_told_and_started_again(rig: EventRig) -> None:
    sources = Sources(rig)
    sources.failures = [ValueError("a mistake"), WorldError("cannot reach AWS")]
    rig.service("clicks", triggers=[KINESIS])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAUSES", (0.001, 0.001))
        await sources.look()
        await eventually(lambda: len(sources.alive) == 1)
    told = [event.message for event in rig.told("trigger.failed")]
    assert len(told) == 2 and "cannot reach AWS" in told[0] and "a mistake" in told[1]
    await sources.triggers.close()


LIVE: dict[str, tuple[dict[str, Any], dict[str, Any] | None, int | None]] = {
    "no deployment known": ({}, None, 2),
    "deployed": ({}, {"state": "done"}, 2),
    "being deployed first": ({}, {"state": "running"}, None),
    "being deployed over 1": ({}, {"state": "running", "previous": {"release": 1}}, 1),
    "started again after a stop": ({}, {"state": "running", "previous": {"release": 1, "stopped": True}}, None),
    "going back": ({}, {"state": "rolling-back", "previous": {"release": 1}}, 2),
    "gone back": ({}, {"state": "rolled-back", "previous": {"release": 1}}, 2),
    "failed at first": ({}, {"state": "failed"}, None),
    "stopped": ({"stopped": True}, {"state": "done"}, None),
    "removed": ({"removed": True}, {"state": "running", "previous": {"release": 1}}, None),
}


@pytest.mark.parametrize("name", LIVE)
def test_which_release_counts(name: str, tmp_path: Any) -> None:
    fields, latest, expected = LIVE[name]

    async def run(rig: EventRig) -> None:
        rig.service("web", number=2)
        if latest is not None:
            rig.registry.deployments["shop.web"] = deployment("web", release=2, **latest)
        row = replace(rig.registry.services["shop.web"], **fields)
        assert live_release(rig.registry, row) == expected

    evented(run)(tmp_path)
