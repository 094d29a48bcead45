"""Rows -> what the planner understands."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from fourfold.control.bus import Bus
from fourfold.control.executor import Executor
from fourfold.control.faults import Faults
from fourfold.control.goals import Goals, goal, instance, rollback_point
from fourfold.control.instances import prober as prober_module
from fourfold.control.instances.listening import Listening
from fourfold.control.instances.prober import Prober
from fourfold.control.registry import Live, Registry
from fourfold.errors import WorldError
from fourfold.paths import Paths
from fourfold.plan import model as m
from fourfold.spec.fingerprint import fingerprint
from fourfold.spec.groups import Group
from fourfold.spec.model import Probe, Service
from fourfold.store import layout
from fourfold.store.model import InstanceState
from tests.store import samples


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    paths = Paths.find({"FOURFOLD_HOME": str(tmp_path / "home")}, os.geteuid())
    layout.create(paths, root=os.geteuid() == 0)
    store = samples.open_in(paths, samples.FixedClock())
    yield Registry(store)
    store.database.close()


def test_only_who_gets_requests_drains() -> None:
    row = samples.service_row()
    assert goal(row, Service(run="./work"), None).ending.drain is None
    assert goal(row, Service.model_validate({"run": "./work", "port": 80}), None).ending.drain == 30.0
    before = samples.deployment(
        "web", state="running", previous=rollback_point(samples.service_row(internal_port=19000))
    )
    assert goal(row, Service(run="./work"), before).ending.drain == 30.0, "the release before had a port"


def test_goals_are_made_anew_only_for_rows_that_changed(registry: Registry) -> None:
    for name in ("api", "web"):
        registry.store.releases.add(samples.release(name, 1, spec={"source": "./x", "run": "x"}))
        samples.add_service(registry.store, samples.service_row(name))
    registry.reload()
    goals = Goals(registry)
    first = goals.now()
    with registry.transaction():
        registry.put_service(replace(registry.services["shop.web"], instances=3))
    second = goals.now()
    assert second["shop.api"] is first["shop.api"]
    assert second["shop.web"].count == 3


@pytest.mark.parametrize(
    ("state", "sick", "asked"),
    [("stopping", None, True), ("draining", None, True), ("stopping", "no answer", False), ("ready", None, False)],
)
def test_an_exit_that_was_asked_for_is_told_apart(
    registry: Registry, state: InstanceState, sick: str | None, asked: bool
) -> None:
    row = samples.instance("web-1", state=state)
    with registry.transaction():
        registry.put_instance(row)
        registry.live[row.id].sick = sick
        executor = Executor(registry, Bus(registry.store.events, Faults({})), samples.FixedClock())
        executor.ended(row.id, code=0, reason="exit code 0")
    seen = instance(registry.instances[row.id], Live(), in_flight=0, routed=True)
    assert seen.ended == m.Ended(code=0, what="exit code 0", asked=asked)


class Ready(asyncio.Event):
    def __init__(self) -> None:
        super().__init__()
        self.told = list[str]()

    def ready(self, name: str) -> None:
        self.set()

    def probe_failed(self, name: str, error: str) -> None:
        self.told.append(error)


def test_a_worker_is_ready_soon_and_min_ready_counts_from_there(registry: Registry) -> None:
    """It would be counted twice otherwise, and `health.grace` would end every start."""
    spec = Service.model_validate({"run": "./work", "deploy": {"min_ready": "1h"}})
    with registry.transaction():
        registry.add_release(samples.release(spec=fingerprint(spec)))

    async def watch() -> None:
        ready = Ready()
        unused = cast(Any, print)
        prober = Prober(registry, cast(Any, ready), unused, unused, unused)
        prober.watch(samples.instance("web-1", state="starting"))
        await asyncio.wait_for(ready.wait(), 30)
        await prober.close()

    asyncio.run(watch())
    assert goal(samples.service_row(), spec, None).rollout.min_ready == 3600.0


def test_a_port_that_the_kernel_leads_elsewhere_is_asked_too(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a rule of its firewall, as Docker does: nobody listens on this host then."""
    monkeypatch.setattr(prober_module, "Listening", lambda: Listening(set))
    monkeypatch.setattr(prober_module, "UNFOUND_SECONDS", 0.01)
    spec = Service.model_validate({"run": "./work", "port": 8080, "health": {"tcp": True}})
    with registry.transaction():
        registry.add_release(samples.release(spec=fingerprint(spec)))
        registry.put_app(samples.app_row())
        registry.put_service(samples.service_row())

    async def watch() -> None:
        ready = Ready()
        unused = cast(Any, print)
        with socket.create_server(("127.0.0.1", 0)) as server:
            prober = Prober(registry, cast(Any, ready), unused, unused, unused)
            prober.watch(samples.instance("web-1", state="starting", port=server.getsockname()[1]))
            await asyncio.wait_for(ready.wait(), 30)
            await prober.close()

    asyncio.run(watch())


@pytest.mark.parametrize("health", [None, {"path": "/h"}])
@pytest.mark.parametrize(
    ("route", "name"),
    [
        ({"path": "/"}, "localhost"),
        ([{"host": "*.shop.example"}, {"host": "shop.example"}], "shop.example"),
    ],
)
def test_a_program_is_called_as_behind_its_route(registry: Registry, health: Any, route: Any, name: str) -> None:
    """Django and Rails refuse all other hosts, and a container's own address would be one."""
    spec = Service.model_validate({"run": "./work", "port": 8080, "route": route, "health": health})
    with registry.transaction():
        registry.add_release(samples.release(spec=fingerprint(spec)))
        registry.put_app(samples.app_row())
        registry.put_service(samples.service_row())
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.extend((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async def watch() -> None:
        ready, unused = Ready(), cast(Any, print)
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            prober = Prober(registry, cast(Any, ready), unused, unused, unused)
            port = server.sockets[0].getsockname()[1]
            prober.watch(samples.instance("web-1", state="starting", port=port, address="127.0.0.1"))
            await asyncio.wait_for(ready.wait(), 30)
            await prober.close()

    asyncio.run(watch())
    assert {line for line in asked if line.startswith("Host:")} == {f"Host: {name}"}


def test_a_host_is_ready_once_it_answers(registry: Registry) -> None:
    """It has no port; what it is asked is whether it can be told to start guests."""
    with registry.transaction():
        registry.add_release(samples.release("pages", spec=fingerprint(Group(kind="node").as_host())))
        registry.put_app(samples.app_row())
        registry.put_service(samples.service_row("pages", pattern="group"))
    ready = Ready()

    async def ask(host: str) -> None:
        if not ready.told:
            raise WorldError(f"{host} does not answer")

    async def watch() -> None:
        unused = cast(Any, print)
        prober = Prober(registry, cast(Any, ready), unused, unused, unused, ask_host=ask)
        prober.watch(samples.instance("pages-1", "pages", state="starting", pattern="group"))
        await asyncio.wait_for(ready.wait(), 30)
        await prober.close()

    asyncio.run(watch())
    assert ready.told == ["pages-1 does not answer"]


def test_a_fault_in_a_probe_is_told_and_keeps_no_daemon_from_its_end(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    async def watch() -> None:
        unused = cast(Any, print)
        prober = Prober(registry, cast(Any, Ready()), unused, unused, unused, ask_host=unused)
        prober.watch(samples.instance("pages-1", "pages", state="starting", pattern="group"))  # of a service unknown
        probing = [task for each in prober._tasks.values() for task in each]
        await asyncio.wait(probing, return_when=asyncio.FIRST_EXCEPTION)
        await prober.close()

    asyncio.run(watch())
    assert "a fault in a probe of pages-1, which is not asked any more" in caplog.text


def test_a_host_that_is_silent_is_ended(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prober_module, "HOST_LIVES", Probe(interval=0.01, failures=3))
    with registry.transaction():
        registry.add_release(samples.release("pages", spec=fingerprint(Group(kind="node").as_host())))
        registry.put_app(samples.app_row())
        registry.put_service(samples.service_row("pages", pattern="group"))
        registry.put_instance(samples.instance("pages-1", "pages", pattern="group", ready_at=1.0))

    async def ask(host: str) -> None:
        raise WorldError(f"{host} does not answer")

    async def watch() -> None:
        sick = Ready()
        unused = cast(Any, print)
        sick.sick = lambda name, error: sick.set()  # type: ignore[attr-defined]
        prober = Prober(registry, cast(Any, sick), unused, unused, unused, ask_host=ask)
        prober.watch(registry.instances["pages-1"])
        await asyncio.wait_for(sick.wait(), 30)
        await prober.close()

    asyncio.run(watch())


def test_an_invoker_that_is_silent_is_ended_though_its_port_takes_connections(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(prober_module, "HOST_LIVES", Probe(interval=0.01, timeout=0.01, failures=3))
    where = tmp_path / "invoker"
    with registry.transaction():
        registry.add_release(samples.release(spec=fingerprint(Service.model_validate({"run": "./work", "port": 80}))))
        registry.put_app(samples.app_row())
        registry.put_service(samples.service_row(pattern="function"))

    async def watch() -> str:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        sick = Ready()
        sick.sick = lambda name, error: told.set_result(error)  # type: ignore[attr-defined]
        unused = cast(Any, print)
        prober = Prober(registry, cast(Any, sick), unused, unused, unused, socket_of=lambda name: where)
        with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as stands_still:
            stands_still.bind(str(where))
            stands_still.listen()
            at = {"pattern": "function", "port": port.getsockname()[1]}
            with registry.transaction():
                registry.put_instance(samples.instance("web-1", ready_at=1.0, **at))
            prober.watch(registry.instances["web-1"])
            await asyncio.wait_for(told, 30)
            await prober.close()
        return told.result()

    assert "gave no answer within" in asyncio.run(watch())


def test_the_time_in_which_a_machine_boots_is_none_that_its_service_has_run(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prober_module, "SETTLE_SECONDS", 0.0)
    with registry.transaction():
        registry.add_release(samples.release(spec=fingerprint(Service.model_validate({"run": "./work"}))))

    async def watch() -> list[str]:
        ready = Ready()
        unused = cast(Any, print)
        prober = Prober(registry, cast(Any, ready), unused, unused, unused, lambda name: len(ready.told) > 1)
        prober.watch(samples.instance("web-1", state="starting"))
        await asyncio.wait_for(ready.wait(), 30)
        await prober.close()
        return ready.told

    assert asyncio.run(watch()) == [prober_module.NOT_STARTED] * 2


@pytest.mark.parametrize("health", [{"tcp": True}, None])
def test_of_a_machine_whose_port_is_forwarded_the_guest_is_asked_whether_it_listens(
    registry: Registry, health: dict[str, Any] | None
) -> None:
    """QEMU takes connections whether or not anybody in there would."""
    spec = Service.model_validate({"run": "./work", "port": 8080, "health": health})
    with registry.transaction():
        registry.add_release(samples.release(spec=fingerprint(spec)))
        registry.put_app(samples.app_row())
        registry.put_service(samples.service_row(pattern="vm"))
    asked = list[tuple[str, str, int]]()

    class Guest:
        async def nobody(self, *where: Any) -> str | None:
            asked.append(where)
            return "nobody listens" if len(asked) < 2 else None

    async def watch() -> list[str]:
        ready = Ready()
        unused = cast(Any, print)
        prober = Prober(
            registry, cast(Any, ready), unused, unused, cast(Any, Guest()), has_started=lambda name: bool(ready.told)
        )
        with socket.create_server(("127.0.0.1", 0)) as qemu:
            port = qemu.getsockname()[1]
            prober.watch(samples.instance("web-1", state="starting", pattern="vm", port=port))
            await asyncio.wait_for(ready.wait(), 30)
            await prober.close()
        return ready.told

    told = asyncio.run(watch())
    assert told[:2] == [prober_module.NOT_STARTED, "nobody listens"] and set(asked) == {("web-1", "198.18.0.15", 8080)}
