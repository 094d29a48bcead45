"""Maintenance: the gateway answers a page in place of services, until it is told that it is over. `up` keeps it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.registry import Registry
from fourfold.control.routing.traffic import GatewayTraffic
from fourfold.errors import NotFoundError, UserError
from fourfold.gateway.haproxy import Gateway
from fourfold.gateway.model import MOST_PAGE
from fourfold.store.model import MaintenanceRow, ServiceRow

MOST_NETWORKS = 30
"""A line of HAProxy's configuration has 64 words."""


@dataclass(frozen=True)
class Page:
    """What is answered. `retry_after` in seconds; `allowed`: networks whose clients reach the service all the same."""

    text: str | None
    """None: a sentence."""
    content_type: str
    retry_after: float
    allowed: tuple[str, ...]


class Maintaining:
    def __init__(self, registry: Registry, gateway: Gateway, traffic: GatewayTraffic, bus: Bus, clock: Clock) -> None:
        self._registry = registry
        self._gateway = gateway
        self._traffic = traffic
        self._bus = bus
        self._clock = clock

    async def begin(self, app: str, services: Sequence[str], page: Page, actor: str) -> list[str]:
        """Of these services, or of the whole app: those it has and those it will have. Back when all clients have it.

        Raises UserError: nothing has changed. Which services that are.
        """
        reached = self._reached(app, services)
        networks = tuple(_network(each) for each in page.allowed)
        text = f"{app} is being worked on; please try again later\n" if page.text is None else page.text
        if (size := len(text.encode())) > MOST_PAGE:
            raise UserError(
                f"cannot answer a page of {size:,} bytes: the gateway takes {MOST_PAGE:,}",
                "leave pictures and fonts out of it, or link to where they are",
            )
        if len(networks) > MOST_NETWORKS:
            raise UserError(f"cannot let {len(networks)} networks in: at most {MOST_NETWORKS}")
        now = self._clock.now()
        with self._bus.whole(), self._registry.transaction():
            for name in services or [""]:
                self._registry.put_maintenance(
                    MaintenanceRow(app, name, text, page.content_type, page.retry_after, networks, actor, now)
                )
            self._tell(app, services, actor, "begins")
        await self._traffic.settled(app)
        await self._gateway.handed_over()
        return reached

    async def end(self, app: str, services: Sequence[str], actor: str) -> list[str]:
        """Of these services, or of all of the app's; those that were in it. Raises UserError."""
        known = {row.name for row in self._registry.of_app(app)}
        if missing := [name for name in services if name not in known]:
            raise NotFoundError(f"cannot find service {missing[0]} of app {app}: there are: {', '.join(sorted(known))}")
        if services and (app, "") in self._registry.maintenance:
            raise UserError(
                f"cannot end the maintenance of {', '.join(services)} alone: all of {app} is in maintenance",
                "fourfold maintenance off; then turn it on for some services, if need be",
            )
        ended = [row.service for row in self._registry.maintenance.values() if row.app == app]
        ended = [name for name in ended if not services or name in services]
        if not ended:
            return []
        reached = (row.name for row in self._registry.of_app(app) if self._has_route(row))
        over = sorted(reached if "" in ended else ended)
        with self._bus.whole(), self._registry.transaction():
            for name in ended:
                self._registry.remove_maintenance(app, name)
            self._tell(app, services, actor, "ends")
        await self._traffic.settled(app)
        return over

    def _reached(self, app: str, services: Sequence[str]) -> list[str]:
        rows = {row.name: row for row in self._registry.of_app(app) if not row.removed}
        for name in services:
            if name not in rows:
                raise NotFoundError(f"cannot find service {name} of app {app}: there are: {', '.join(sorted(rows))}")
            if not self._has_route(rows[name]):
                raise UserError(
                    f"cannot answer in place of {name}: it has no route, so that nobody outside of {app} reaches it",
                    f"fourfold stop {name} stops it",
                )
        found = [name for name, row in sorted(rows.items()) if self._has_route(row) and name in (services or rows)]
        if not found:
            raise UserError(f"cannot answer in place of {app}: none of its services has a route")
        return found

    def _has_route(self, row: ServiceRow) -> bool:
        return bool(self._registry.spec(f"{row.app}.{row.name}", row.release).route)

    def _tell(self, app: str, services: Sequence[str], actor: str, what: str) -> None:
        names = ", ".join(services) or app
        self._bus.emit("gateway.maintenance", f"maintenance of {names} {what}", app=app, actor=actor, services=services)


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        raise UserError(
            f"cannot let {text!r} in: it is no address and no network", "write 192.0.2.7, 10.0.0.0/8 or fd00::/8"
        ) from None
