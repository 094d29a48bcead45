"""Keeps the gateway in step with the instances, and knows how many requests a draining one still answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from fourfold.control.goals import GATEWAY, SYSTEM, needs_bridge
from fourfold.control.loops import rest
from fourfold.control.registry import Registry
from fourfold.control.routing.passwords import AuthOf
from fourfold.control.routing.routing import calls, gateway_config, internal_ports
from fourfold.errors import FourfoldError, UserError, WorldError
from fourfold.gateway.haproxy import Gateway
from fourfold.gateway.model import GatewayConfig
from fourfold.launch.model import Powers
from fourfold.supervise.network.network import Network

log = logging.getLogger(__name__)

DRAIN_POLL_SECONDS = 0.05
RETRY_SECONDS = 0.5
RETRY_MOST_SECONDS = 30.0
LEFT_SECONDS = 1.0
"""Until a server is tried again that could not go, as it still had connections."""
STATS_SECONDS = 5.0
PATIENCE = 60.0
"""Seconds that the gateway may take to come up."""


class GatewayTraffic:
    """`changed()` is called when the gateway has acted on instances, or a draining one has no request left;
    `tell(app, what)` of routes left out."""

    def __init__(
        self,
        registry: Registry,
        gateway: Gateway,
        network: Network,
        certificates: Path,
        changed: Callable[[], None],
        tell: Callable[[str, str], None],
        events: Callable[[str], int] = lambda name: 0,
        users: Callable[[str], AuthOf] | None = None,
        powers: Callable[[], Powers] = Powers,
    ) -> None:
        """`events`: how many of them an instance has that did not come through the gateway; `users`: as
        `gateway_config` takes them."""
        self._users = {} if users is None else {"users": users}
        self._events = events
        self._powers = powers
        self._registry = registry
        self._gateway = gateway
        self._network = network
        self._certificates = certificates
        self._changed = changed
        self._tell = tell
        self._wanted = asyncio.Event()
        self._tried: GatewayConfig | None = None
        self._applied: GatewayConfig | None = None
        self._settled = asyncio.Condition()
        self._error: FourfoldError | None = None
        """Why the last attempt to bring the gateway there failed."""
        self.left_out: dict[str, str] = {}
        """Apps whose routes the gateway cannot have beside the others', and why."""
        self._no_bridge = ""
        """Why there is none, as told last."""
        self._delay = RETRY_SECONDS
        self._again: asyncio.TimerHandle | None = None
        self._runs: list[tuple[str, int, bool]] = []
        self._routed: set[str] = set()
        """Servers that the gateway sends requests to."""
        self._told: set[str] = set()
        """Servers that it knows to be draining."""
        self._in_flight: dict[str, int] = {}

    def sync(self) -> None:
        self._wanted.set()

    def config(self, left_out: Collection[str] = ()) -> GatewayConfig:
        return gateway_config(self._registry, self._certificates, left_out, self._network.address, **self._users)

    def in_flight(self, name: str) -> int:
        """1 while it is not known: the gateway has not been told yet, or does not answer."""
        runs = any(row.state != "exited" for row in self._registry.of_service(GATEWAY))
        if self._registry.instances[name].port is None or not runs:
            return self._events(name)
        return self._in_flight.get(name, 1) + self._events(name)

    def acts_on(self, name: str) -> bool:
        """Whether the gateway does what an instance's row says. One that does not serve sends no requests anywhere."""
        row = self._registry.instances[name]
        if row.port is None or not self._process():
            return True
        return name in (self._told if row.state == "draining" else self._routed)

    def _process(self) -> list[tuple[str, int]]:
        return [(row.id, row.run) for row in self._registry.of_service(GATEWAY) if row.state == "ready"]

    def problem(self, app: str) -> str | None:
        """Why the gateway does not serve this app's routes; None: it does, or is only just starting."""
        if why := self.left_out.get(app):
            return why
        ends = [row.exit["reason"] for row in self._registry.of_service(GATEWAY) if row.exit is not None]
        if self._process() or not ends:
            return None
        return f"it does not run: {self._error or ends[-1]}"

    async def settled(self, app: str) -> None:
        """Wait until the gateway serves what the rows say now. Raises WorldError when it does not come to that."""
        if self._error is not None or self.left_out:
            self.refresh()
            self._error = None
        self.sync()

        def settled() -> bool:
            hopeless = isinstance(self._error, UserError)
            return hopeless or (self._applied == self.config() and self._serves_what_it_must())

        error: FourfoldError | None = None
        try:
            async with asyncio.timeout(PATIENCE), self._settled:
                await self._settled.wait_for(settled)
        except TimeoutError:
            error = self._error or WorldError(self.problem(app) or f"it is not ready after {PATIENCE:g} s")
        else:
            error = self._error if isinstance(self._error, UserError) else None
        if why := error or self.left_out.get(app):
            raise WorldError(f"the gateway does not serve this yet: {why}", "see: fourfold logs gateway")

    def _serves_what_it_must(self) -> bool:
        return bool(self._process()) or not self.config().backends

    def refresh(self) -> None:
        """Try again: something that the configuration names has changed behind its name (a certificate, a port)."""
        self._tried = self._applied = None
        self.sync()

    async def run(self) -> None:
        self.sync()
        while True:
            try:
                async with asyncio.timeout(DRAIN_POLL_SECONDS if self._draining() else None):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            pause = 0.0
            if self._wanted.is_set():
                self._wanted.clear()
                began = time.monotonic()
                await self._bring()
                pause = rest(time.monotonic() - began)
            await self._count()
            await asyncio.sleep(pause)

    async def keep_stats(self) -> None:
        """Read the gateway's counters now and then: what is not read is lost when it is killed."""
        while True:
            await asyncio.sleep(STATS_SECONDS)
            if self._process():
                await self._keep_stats()

    async def _keep_stats(self) -> None:
        try:
            await self._gateway.keep_stats()
        except FourfoldError as error:
            log.debug("%s", error)
        except Exception:
            log.exception("a fault while the gateway's counters were read")

    async def _bridge(self) -> None:
        """Have it before the first container is there to call another service, and let it through.

        Where it cannot be, the containers' own starts fail and say why; everything else is served as ever.
        """
        try:
            if needs_bridge(self._registry, self._powers()):
                await self._network.make()
            await self._network.allow(internal_ports(self._registry), calls(self._registry))
        except FourfoldError as error:
            if str(error) != self._no_bridge:
                log.error("%s", error)
            self._no_bridge = str(error)
        else:
            self._no_bridge = ""

    async def _bring(self) -> None:
        await self._bridge()
        config = self.config()
        runs = [(row.id, row.run, row.state == "ready") for row in self._registry.of_service(GATEWAY)]
        if runs != self._runs:  # a new HAProxy may have read an older file, or found that others have its addresses
            self._runs, self._tried = runs, None
            self._know(set(), set())
        if config != self._tried:
            self._tried = config
            try:
                left_out = await self._apply(config)
            except FourfoldError as error:
                await self._failed(config, error)
            except Exception as error:  # a mistake of ours must not leave the gateway as it is for ever
                log.exception("a fault in the gateway's loop")
                await self._failed(config, WorldError(repr(error)))
            else:
                self._succeeded(config, left_out)
        async with self._settled:
            self._settled.notify_all()

    async def _apply(self, config: GatewayConfig) -> dict[str, str]:
        """Make it so, but for the apps that do not fit in beside the others; which, and why."""
        if not config.backends:
            await self._gateway.clear()  # HAProxy is on its way out, or not there
            return {}
        try:
            await self._gateway.apply(config)
        except UserError:
            left_out = await self._misfits()
            await self._gateway.apply(self.config(left_out))
            return left_out
        return {}

    async def _misfits(self) -> dict[str, str]:
        """Who was there before stays: apps are tried in the order in which they were last brought up."""
        out = {row.name: "" for row in sorted(self._registry.apps.values(), key=lambda row: row.updated_at)}
        for name in list(out):
            del out[name]
            try:
                await self._gateway.check(self.config(out))
            except UserError as error:
                out[name] = str(error)
        return out

    def _succeeded(self, config: GatewayConfig, left_out: dict[str, str]) -> None:
        for name, why in left_out.items():
            if self.left_out.get(name) != why:
                log.error("the routes of %s are left out: %s", name, why)
                self._tell(name, f"the gateway does not serve {name}: {why}")
        for name in self.left_out.keys() - left_out.keys():
            self._tell(name, f"the gateway serves {name} again")
        self.left_out, self._applied, self._error = left_out, config, None
        self._know(*_servers_in(config))
        if left_out:
            self._retry()
            return
        self._delay = RETRY_SECONDS
        if self._gateway.leaves:
            self._again_in(LEFT_SECONDS)

    async def _failed(self, config: GatewayConfig, error: FourfoldError) -> None:
        """What needs no reload is done all the same: no request may go to an instance that is about to stop."""
        if str(error) != str(self._error):
            log.error("%s", error)
        self._applied, self._error = None, error
        try:
            if await self._gateway.set_servers(config.backends):
                self._know(*_servers_in(config))
        except FourfoldError as again:
            log.debug("%s", again)
        self._retry()

    def _know(self, routed: set[str], told: set[str]) -> None:
        if (routed, told) != (self._routed, self._told):
            self._routed, self._told = routed, told
            self._changed()

    def _retry(self) -> None:
        self._again_in(self._delay)
        self._delay = min(2 * self._delay, RETRY_MOST_SECONDS)

    def _again_in(self, seconds: float) -> None:
        if self._again is not None:
            self._again.cancel()
        self._again = asyncio.get_running_loop().call_later(seconds, self.refresh)

    def _draining(self) -> set[str]:
        rows = self._registry.instances.values()
        return {row.id for row in rows if row.state == "draining" and row.port is not None and row.app != SYSTEM}

    async def _count(self) -> None:
        draining = self._draining() & self._told
        if not draining:
            self._in_flight = {}
            return
        try:
            counts: Mapping[str, int] = await self._gateway.in_flight()
        except FourfoldError as error:
            log.debug("%s", error)  # not known: the last counts stand
            return
        except Exception:
            log.exception("a fault while requests in flight were counted")
            return
        now = {name: counts.get(name, 0) for name in draining}
        over = any(count == 0 and self._in_flight.get(name, 1) != 0 for name, count in now.items())
        if over:  # what they have answered is known before anybody takes them away
            await self._keep_stats()
        self._in_flight = now
        if over:
            self._changed()


def _servers_in(config: GatewayConfig) -> tuple[set[str], set[str]]:
    """Those that get requests, and those that drain."""
    servers = [server for backend in config.backends for server in backend.servers]
    return {each.name for each in servers if not each.draining}, {each.name for each in servers if each.draining}
