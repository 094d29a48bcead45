"""One change of an app at a time, in order; who waits knows it, and may be cancelled; so may a build."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from fourfold.control.operations import Operation, Operations, Work
from fourfold.control.reporting.status import Status
from fourfold.control.routing.traffic import GatewayTraffic
from fourfold.errors import ConflictError, NotFoundError, WorldError
from fourfold.launch.model import Powers
from fourfold.spec.fingerprint import fingerprint
from fourfold.spec.groups import Group
from fourfold.spec.model import Service
from tests.control.rig import Rig, eventually, rigged
from tests.store.samples import deployment, release, service_row


class Traffic:
    """`ending` is called when an operation is about to end."""

    def __init__(self, ending: Callable[[], object]) -> None:
        self._ending = ending

    async def settled(self, *app: str) -> None:
        self._ending()


def operations(rig: Rig, ending: Callable[[], object] = lambda: None) -> Operations:
    return Operations(rig.registry, rig.bus, rig.clock, cast(GatewayTraffic, Traffic(ending)))


class Gate:
    """Work that goes on until it is let through; `queued` as it was told."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.open = asyncio.Event()
        self.queued: bool | None = None

    async def work(self, operation: Operation) -> None:
        self.queued = operation.queued
        self.begun.set()
        await self.open.wait()


def kinds(rig: Rig, id: str) -> list[str]:
    return [event.kind for event in rig.bus.since(0, operation=id)]


async def ended(rig: Rig, id: str) -> None:
    last = ("operation.done", "operation.failed")
    await asyncio.wait_for(rig.bus.until(lambda: any(kind in last for kind in kinds(rig, id))), 60)


def submit(each: Operations, work: Work, app: str = "shop") -> str:
    return each.submit(app, "up", "ann", ["web"], work).id


@rigged
async def test_whoever_comes_between_two_waits_too(rig: Rig) -> None:
    """What was found out before is not to be relied on, not even in the moment when one has ended and none begun."""
    made = operations(rig, lambda: asyncio.get_running_loop().call_soon(between))
    first, second, third = Gate(), Gate(), Gate()
    late: list[str] = []

    def between() -> None:
        if not late:
            late.append(submit(made, third.work))

    submit(made, first.work)
    two = submit(made, second.work)
    for gate in (first, second, third):
        gate.open.set()
    await ended(rig, two)
    await ended(rig, late[0])
    assert (first.queued, second.queued, third.queued) == (False, True, True)
    assert kinds(rig, two) == kinds(rig, late[0]) == ["operation.queued", "operation.started", "operation.done"]


@rigged
async def test_apps_do_not_wait_for_each_other(rig: Rig) -> None:
    made = operations(rig)
    one, other = Gate(), Gate()
    submit(made, one.work)
    other.open.set()
    await ended(rig, submit(made, other.work, "blog"))
    assert other.queued is False and made.busy("shop") and not made.busy("blog")
    await made.close()


@rigged
async def test_what_builds_or_waits_is_cancelled(rig: Rig) -> None:
    made = operations(rig)
    first, second, third = Gate(), Gate(), Gate()
    one, two, three = (submit(made, gate.work) for gate in (first, second, third))
    await first.begun.wait()
    await made.cancel(two, "bob")
    await made.cancel(one, "bob")
    third.open.set()
    await ended(rig, three)
    assert third.queued and not second.begun.is_set()
    for id in (one, two):
        (last,) = [event for event in rig.bus.since(0, operation=id) if event.kind == "operation.failed"]
        assert last.message == "up of shop was cancelled by bob: nothing was changed"


@rigged
async def test_what_has_changed_something_is_not_cancelled(rig: Rig) -> None:
    made = operations(rig)
    gate = Gate()

    async def work(operation: Operation) -> None:
        operation.firm = True
        await gate.work(operation)

    id = submit(made, work)
    await gate.begun.wait()
    with pytest.raises(ConflictError, match="it is being deployed already"):
        await made.cancel(id, "bob")
    gate.open.set()
    await ended(rig, id)
    await made.ended.wait()
    assert not made.busy("shop") and not made.is_open(id)
    with pytest.raises(ConflictError, match="it has ended"):
        await made.cancel(id, "bob")
    with pytest.raises(NotFoundError):
        await made.cancel("nothing", "bob")


@rigged
async def test_who_waits_is_told_how_to_end_what_is_before(rig: Rig) -> None:
    made = operations(rig)
    gate = Gate()

    async def work(operation: Operation) -> None:
        await gate.work(operation)
        operation.firm = True
        await asyncio.Event().wait()

    id = submit(made, work)
    await gate.begun.wait()
    rig.clock.time += 12
    stop = made.submit("shop", "stop", "bob", ["web"], Gate().work)
    assert stop.waiting_for == "up by ann, running for 12 s"
    assert stop.hint == f"it has changed nothing yet: `fourfold cancel {id}` ends it"
    gate.open.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late = made.submit("shop", "stop", "bob", ["web"], Gate().work)
    assert late.hint is not None and "see `fourfold status -a shop`" in late.hint and "cancel" not in late.hint
    await made.close()


@rigged
async def test_an_app_that_its_first_up_still_builds(rig: Rig) -> None:
    """Whoever looks for it is told that it comes; a build alone brings none."""
    made, gate = operations(rig), Gate()
    status = Status(rig.registry, Powers, lambda name: None, lambda app: None, coming=made.coming)
    made.submit("blog", "build", "bob", ["web"], gate.work)
    with pytest.raises(NotFoundError, match="cannot find app blog: apps here are shop"):
        status.need_app("blog")
    id = submit(made, gate.work, "blog")
    with pytest.raises(NotFoundError, match="cannot find app blog yet: up by ann still builds it") as caught:
        status.need_app("blog")
    assert f"`fourfold cancel {id}` ends it" in (caught.value.hint or "")
    assert status.need_app("shop").name == "shop"
    await made.close()


@rigged
async def test_an_app_whose_first_up_failed(rig: Rig) -> None:
    """Whoever looks for it is told why it is not there, until something else is tried."""

    async def fails(operation: Operation) -> None:
        raise WorldError("cannot build web: pip found no six==9\nmore of it")

    async def works(operation: Operation) -> None:
        pass

    made = operations(rig)
    status = Status(rig.registry, Powers, lambda name: None, lambda app: None, coming=made.coming)
    await ended(rig, submit(made, fails, "blog"))
    rig.bus.flush()
    with pytest.raises(NotFoundError, match=r"cannot find app blog: what .* failed: .* no six==9$"):
        status.need_app("blog")
    await ended(rig, submit(made, works, "blog"))
    rig.bus.flush()
    with pytest.raises(NotFoundError, match="apps here are shop"):
        status.need_app("blog")
    await made.close()


@rigged
async def test_what_was_begun_before_is_gone_on_with(rig: Rig) -> None:
    """Once each, before whatever is asked for now."""
    made = operations(rig)
    done: list[Any] = []

    async def work(operation: Operation) -> None:
        done.append(operation.id)

    made.resume([(Operation("old", "shop", "down", "ann", 1.0), work)])
    new = submit(made, work)
    await ended(rig, new)
    assert done == ["old", new] and kinds(rig, "old") == ["operation.done"]
    assert kinds(rig, new)[0] == "operation.queued"


@rigged
async def test_what_ended_and_was_not_told_is_told_by_the_next_daemon(rig: Rig) -> None:
    rig.registry.add_deployment(deployment(operation="old", app="shop", state="done"))
    for id in ("old", "builds"):
        rig.bus.emit("operation.started", "up of shop begins", app="shop", operation=id)
    rig.bus.flush()
    operations(rig).resume([])
    await ended(rig, "old")
    assert kinds(rig, "old") == ["operation.started", "operation.done"]
    assert kinds(rig, "builds") == ["operation.started"]
    operations(rig).resume([])
    assert rig.registry.store.events.unended() == ["builds"]


@rigged
async def test_those_of_one_turn_wait_for_each_other_and_not_for_their_apps(rig: Rig) -> None:
    each, gates = operations(rig), [Gate() for _ in range(3)]
    first = each.submit("shop", "compare", "ann", ["web"], gates[0].work, turn="comparing")
    second = each.submit("other", "compare", "bob", ["web"], gates[1].work, turn="comparing")
    assert second.waiting_for is not None
    assert second.waiting_for.startswith("compare of shop by ann")
    submit(each, gates[2].work)
    await asyncio.wait_for(gates[2].begun.wait(), 60)
    assert not gates[1].begun.is_set()
    gates[0].open.set()
    await ended(rig, first.id)
    await asyncio.wait_for(gates[1].begun.wait(), 60)
    await each.close()


@rigged
async def test_what_is_cancelled_before_it_has_begun(rig: Rig) -> None:
    each = operations(rig)
    id = submit(each, Gate().work)
    await each.cancel(id, "ann")
    await asyncio.sleep(0)
    assert kinds(rig, id)[-1] == "operation.failed" and each.ended.is_set() and not each.busy("shop")


@rigged
async def test_what_is_abandoned_has_ended_wherever_it_was(rig: Rig) -> None:
    each, gates = operations(rig), [Gate() for _ in range(3)]
    for gate in gates[:2]:
        submit(each, gate.work, "gone")
    submit(each, gates[2].work, "stays")
    await gates[0].begun.wait()
    await each.abandon("gone")
    assert not each.busy("gone")
    assert each.busy("stays")
    await each.abandon("gone")
    await each.close()


@rigged
async def test_an_operation_on_a_group_ends_when_its_members_are_in_it(rig: Rig) -> None:
    """Of those that are well elsewhere: others may never come up."""
    host = fingerprint(Group(kind="node").as_host())
    guest = fingerprint(Service.model_validate({"run": "x", "pattern": "shared", "shared": {"group": "pages"}}))
    with rig.registry.transaction():
        rig.registry.add_release(release("pages", spec=host))
        rig.registry.put_service(service_row("pages", pattern="group", instances=2))
        for name in ("well", "ill"):
            rig.registry.add_release(release(name, spec=guest))
            rig.registry.put_service(service_row(name, pattern="shared"))
    rig.add("h1", "h2", service="pages", pattern="group", state="ready")
    rig.add("well-1", service="well", pattern="shared", host="h1", state="ready")
    rig.add("well-2", service="well", pattern="shared", host="h2", state="starting")
    rig.add("ill-1", service="ill", pattern="shared", host="h1", state="starting")
    asked: list[str] = []

    async def work(operation: Operation) -> None:
        with rig.registry.transaction():
            done = {"operation": operation.id, "state": "done", "pattern": "group"}
            rig.registry.put_deployment(deployment("pages", **done))

    each = operations(rig, lambda: asked.append(rig.state("well-2")))
    name = submit(each, work)
    await eventually(lambda: bool(rig.registry.store.deployments.of_operation(name)))
    for _ in range(10):  # its turns until it waits
        await asyncio.sleep(0)
    assert not asked
    rig.readiness.ready("well-2")
    await ended(rig, name)
    assert asked == ["ready"]
