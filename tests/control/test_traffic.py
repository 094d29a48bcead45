"""The gateway follows the rows; what it cannot do stops nobody else, and what nobody knows counts as in flight."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from fourfold.control.registry import Registry
from fourfold.control.routing.traffic import GatewayTraffic
from fourfold.errors import FourfoldError, UserError, WorldError
from fourfold.gateway.haproxy import Gateway
from fourfold.gateway.model import Backend, GatewayConfig
from fourfold.supervise.network.network import Network
from tests.control.life import CERTIFICATES, Life, Want
from tests.store.samples import instance


class FakeGateway:
    """Takes every configuration but those that `refuse` finds fault with."""

    def __init__(self) -> None:
        self.refuse: Callable[[GatewayConfig], FourfoldError | None] = lambda config: None
        self.config = GatewayConfig()
        self.servers: tuple[Backend, ...] = ()
        self.tries = 0
        self.leaves = False
        self.flying: Mapping[str, int] | None = {}
        self.kept = 0

    async def check(self, config: GatewayConfig) -> None:
        if error := self.refuse(config):
            raise error

    async def apply(self, config: GatewayConfig) -> bool:
        self.tries += 1
        await self.check(config)
        self.config, self.servers = config, config.backends
        return True

    async def set_servers(self, backends: tuple[Backend, ...]) -> bool:
        self.servers = backends
        return True

    async def in_flight(self) -> Mapping[str, int]:
        if self.flying is None:
            raise WorldError("no answer")
        return self.flying

    async def keep_stats(self) -> None:
        self.kept += 1

    async def clear(self) -> None:
        self.config, self.servers = GatewayConfig(), ()

    def routes(self) -> set[str]:
        return {f"{rule.backend}{rule.path}" for frontend in self.config.frontends for rule in frontend.rules}


class FakeNetwork:
    def __init__(self) -> None:
        self.address: str | None = None
        self.ports: set[int] = set()
        self.calls: dict[tuple[str, int], int] = {}
        self.fails: FourfoldError | None = None

    async def make(self) -> None:
        if self.fails is not None:
            raise self.fails
        self.address = "10.177.0.1"

    async def allow(self, ports: set[int], calls: dict[tuple[str, int], int]) -> None:
        self.ports, self.calls = ports, calls


class Scene:
    def __init__(self, life: Life) -> None:
        self.life = life
        self.gateway = FakeGateway()
        self.network = FakeNetwork()
        self.told: list[tuple[str, str]] = []
        self.woken = 0
        self.traffic = GatewayTraffic(
            self.registry,
            cast(Gateway, self.gateway),
            cast(Network, self.network),
            CERTIFICATES,
            self._wake,
            lambda *what: self.told.append(what),
        )
        with self.registry.transaction():
            self.registry.put_instance(instance("fourfold.gateway-0-a", "gateway", app="fourfold"))

    @property
    def registry(self) -> Registry:
        return self.life.registry

    def _wake(self) -> None:
        self.woken += 1

    def gateway_is(self, state: str) -> None:
        with self.registry.transaction():
            row = self.registry.instances["fourfold.gateway-0-a"]
            self.registry.put_instance(replace(row, state=state))  # type: ignore[arg-type]
        self.traffic.sync()

    def drain(self, service: str) -> str:
        """Its instance, now on its way out."""
        row = self.registry.of_service(service)[0]
        with self.registry.transaction():
            self.registry.put_instance(replace(row, state="draining"))
        self.traffic.sync()
        return row.id

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - the loop under test tells nobody
                await asyncio.sleep(0.005)

    async def rounds(self) -> None:
        """A few turns of its loop, which looks every 50 ms while something drains."""
        for _ in range(4):
            self.traffic.sync()
            await asyncio.sleep(0.02)


def played(test: Callable[[Scene], Awaitable[None]]) -> Callable[[Path], None]:
    """With two apps that are up, and the loop running."""

    def wrapped(tmp_path: Path) -> None:
        async def run() -> None:
            life = Life(tmp_path)
            life.up(Want("web", ("/a",)), app="old")
            life.settle()
            life.app("young", updated_at=2.0)
            life.up(Want("web", ("/b",)), app="young")
            life.settle()
            scene = Scene(life)
            loop = asyncio.create_task(scene.traffic.run())
            try:
                await scene.traffic.settled("old")
                await test(scene)
            finally:
                loop.cancel()

        asyncio.run(run())

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


def not_together(config: GatewayConfig) -> UserError | None:
    """The two apps do not fit, nor does `bad` at all."""
    backends = {rule.backend for frontend in config.frontends for rule in frontend.rules}
    return UserError("both want port 80") if {"old.web", "young.web"} <= backends else None


@played
async def test_an_app_that_does_not_fit_is_left_out_and_the_others_change(scene: Scene) -> None:
    gateway, traffic = scene.gateway, scene.traffic
    assert gateway.routes() == {"old.web/a", "young.web/b"}
    gateway.refuse = not_together
    scene.life.up(Want("web", ("/c",)), app="old")
    scene.life.settle()
    await traffic.settled("old")
    assert gateway.routes() == {"old.web/c"}
    assert {backend.name for backend in gateway.servers} == {"old.web", "young.web"}  # others may still call it
    assert scene.told == [("young", "the gateway does not serve young: both want port 80")]
    assert traffic.left_out == {"young": "both want port 80"}
    with pytest.raises(WorldError, match="both want port 80"):
        await traffic.settled("young")
    gateway.refuse = lambda config: None
    await traffic.settled("young")
    assert gateway.routes() == {"old.web/c", "young.web/b"}
    assert scene.told[1:] == [("young", "the gateway serves young again")]


@played
async def test_a_configuration_that_cannot_be_is_tried_again_later_and_told_once(scene: Scene) -> None:
    caught: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: caught.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("fourfold.control.routing.traffic").addHandler(handler)
    scene.gateway.refuse = lambda config: WorldError("HAProxy does not want to")
    name = scene.drain("old.web")
    await scene.until(lambda: scene.traffic.in_flight(name) == 0)  # told by the runtime API, and counted
    assert scene.traffic.acts_on(name)
    assert [server.draining for server in scene.gateway.servers[0].servers] == [True]
    tries = scene.gateway.tries
    await scene.rounds()
    assert scene.gateway.tries <= tries + 1  # half a second later, not every time the loop looks
    assert scene.woken
    await scene.until(lambda: scene.gateway.tries > tries)
    assert caught == ["HAProxy does not want to"]
    scene.gateway.refuse = lambda config: None
    await scene.until(lambda: scene.gateway.config == scene.life.config())  # without anything that wakes it


@played
async def test_each_run_of_the_gateway_is_tried_for_addresses_that_others_took(scene: Scene) -> None:
    """It could not listen: the app whose address that was is left out, and the others come back."""
    assert scene.traffic.problem("old") is None
    scene.gateway.refuse = lambda config: None if len(config.frontends[0].rules) < 2 else UserError("nginx has port 80")
    with scene.registry.transaction():
        row = scene.registry.instances["fourfold.gateway-0-a"]
        ended = {"at": 1.0, "code": 1, "signal": None, "oom": False, "reason": "exit code 1"}
        scene.registry.put_instance(replace(row, state="exited", run=row.run + 1, exit=ended))
    assert scene.traffic.problem("old") == "it does not run: exit code 1"
    scene.traffic.sync()
    await scene.until(lambda: bool(scene.traffic.left_out))
    assert scene.traffic.problem("young") == "nginx has port 80"
    assert scene.gateway.routes() == {"old.web/a"}
    scene.gateway_is("ready")
    assert scene.traffic.problem("old") is None


@played
async def test_a_server_that_could_not_go_yet_is_tried_again(scene: Scene) -> None:
    scene.gateway.leaves = True
    scene.life.up(Want("web", ("/c",)), app="old")
    scene.life.settle()
    await scene.traffic.settled("old")
    tries = scene.gateway.tries
    await scene.until(lambda: scene.gateway.tries > tries)  # without anything that wakes it


def on_bridge(scene: Scene) -> None:
    """An instance of `old.web`, from now on."""
    row = scene.registry.of_service("old.web")[0]
    with scene.registry.transaction():
        scene.registry.put_instance(replace(row, address="10.177.0.5", port=8080))
    scene.traffic.sync()


@played
async def test_the_bridge_is_made_when_an_instance_is_to_be_on_it_and_listened_on(scene: Scene) -> None:
    assert scene.network.address is None and scene.gateway.config.bridge is None
    on_bridge(scene)
    await scene.until(lambda: scene.gateway.config.bridge == "10.177.0.1")
    assert scene.network.ports == {backend.internal_port for backend in scene.gateway.config.backends}
    (server,) = scene.gateway.config.backends[0].servers
    assert (server.host, server.port) == ("10.177.0.5", 8080)


@played
async def test_without_a_bridge_all_others_are_served(scene: Scene) -> None:
    scene.network.fails = UserError("10.177.0.0/16 is there already")
    on_bridge(scene)
    scene.life.up(Want("web", ("/c",)), app="young")
    scene.life.settle()
    await scene.traffic.settled("young")
    assert "young.web/c" in scene.gateway.routes() and scene.gateway.config.bridge is None
    scene.network.fails = None
    scene.traffic.sync()
    await scene.until(lambda: scene.gateway.config.bridge == "10.177.0.1")


@played
async def test_what_is_not_known_is_not_drained(scene: Scene) -> None:
    scene.gateway.flying = None
    name = scene.drain("old.web")
    await scene.rounds()
    assert scene.traffic.in_flight(name) == 1
    scene.gateway.flying = {name: 3}
    await scene.until(lambda: scene.traffic.in_flight(name) == 3)
    scene.gateway.flying = None
    await scene.rounds()
    assert scene.traffic.in_flight(name) == 3
    scene.gateway_is("unready")
    await scene.rounds()
    assert scene.traffic.in_flight(name) >= 1
    scene.gateway_is("exited")
    assert scene.traffic.in_flight(name) == 0  # with the gateway its requests have ended


@played
async def test_what_the_gateway_has_not_been_told_is_not_drained(scene: Scene) -> None:
    async def away(*_: object) -> bool:
        raise WorldError("no answer on master.sock")

    scene.gateway.apply = scene.gateway.set_servers = away  # type: ignore[method-assign,assignment]
    name = scene.drain("old.web")
    await scene.rounds()
    assert scene.traffic.in_flight(name) == 1
    assert not scene.traffic.acts_on(name)
    scene.gateway_is("exited")
    assert scene.traffic.acts_on(name)  # without a gateway nobody sends it anything


@played
async def test_when_all_apps_are_gone_nothing_is_left(scene: Scene) -> None:
    for app in ("old", "young"):
        scene.life.up(Want("web", removed=True), app=app, kind="down")
    scene.life.settle()
    await scene.traffic.settled("old")
    assert scene.gateway.config == GatewayConfig()


@played
async def test_what_an_instance_answered_is_known_before_it_goes(scene: Scene) -> None:
    scene.gateway.flying = {}
    name = scene.drain("old.web")
    await scene.until(lambda: scene.traffic.in_flight(name) == 0)
    assert scene.gateway.kept == 1
    await scene.rounds()
    assert scene.gateway.kept == 1, "once is enough"
