"""An app that lives without processes: real rows, planner and executor; instances get ready and end when told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from fourfold.build.build import Builder
from fourfold.control.bus import Bus
from fourfold.control.deploying.building import Building
from fourfold.control.deploying.deploy import Deployer
from fourfold.control.executor import Executor
from fourfold.control.faults import Faults
from fourfold.control.goals import GATEWAY, SYSTEM, Goals, instance
from fourfold.control.operations import Operation
from fourfold.control.registry import Registry, key_of
from fourfold.control.routing.routing import gateway_config
from fourfold.control.settings import Settings
from fourfold.gateway.model import GatewayConfig, Rule
from fourfold.paths import Paths
from fourfold.plan.planner import plan
from fourfold.spec.gateway import Gateway
from fourfold.store import layout
from fourfold.store.model import Deployment, InstanceRow, ServiceRow
from tests.store.samples import FixedClock, app_row, open_in, release, service_row

CERTIFICATES = Path("/certificates")


INTERNAL_PORTS = 28_000 + os.getpid() % 20 * 50
"""Below those of services: not where a Fourfold that runs here, or the next worker's tests, have theirs."""


@dataclass(frozen=True)
class Want:
    """One service of the next `up`."""

    name: str
    routes: tuple[Any, ...] = ()
    """Paths, or maps as in the file."""
    port: int | dict[str, int] | None = 8080
    removed: bool = False
    depends_on: tuple[str, ...] = ()
    rollback: str = "auto"
    deploy: dict[str, Any] = field(default_factory=dict)
    instances: int = 1
    internal_port: int | None = None
    protocol: str = "http"


class Life:
    def __init__(self, home: Path) -> None:
        paths = Paths.find({"FOURFOLD_HOME": str(home)}, 0)
        layout.create(paths, root=False)
        self.clock = FixedClock()
        self.registry = Registry(open_in(paths, self.clock))
        self.bus = Bus(self.registry.store.events, Faults({}))
        self.executor = Executor(self.registry, self.bus, self.clock)
        settings = Settings()
        building = Building(cast(Builder, None), lambda artifact: True, self.bus, self.clock)
        self.deployer = Deployer(self.registry, building, self.bus, self.clock, settings, lambda: None)
        self.broken: set[tuple[str, int]] = set()
        """(service, release) whose instances never get ready."""
        self.slow: set[str] = set()
        """Services whose instances do not get ready yet."""
        self._operations = self._ports = 0

    # -- what people do -------------------------------------------------------------------------------------------

    def app(self, name: str = "shop", **given: Any) -> None:
        with self.registry.transaction():
            self.registry.put_app(app_row(name, **given))

    def up(self, *wants: Want, app: str = "shop", kind: str = "up", listen: str | None = None) -> None:
        """The rows that `up` makes, in one operation."""
        if app not in self.registry.apps:
            self.app(app)
        pairs = [self._row(app, want) for want in wants]
        operation = self._operation(app, kind)
        with self.registry.transaction():
            if listen is not None:
                gateway = self.deployer._gateway(app, Gateway(listen=listen), operation)
                self.registry.put_app(replace(self.registry.apps[app], gateway=gateway))
            for old, new in pairs:
                self.deployer._opening.change(operation, old, new, "ann")

    def rescale(self, service: str, instances: int, app: str = "shop") -> None:
        row = self.registry.services[f"{app}.{service}"]
        self.deployer._commit(self._operation(app, "scale"), [(row, replace(row, overrides={"instances": instances}))])

    def move(self, service: str, pattern: str, app: str = "shop") -> None:
        """To run it under another pattern, as `deploy --as` does: the file says process."""
        row = self.registry.services[f"{app}.{service}"]
        overrides = {key: value for key, value in row.overrides.items() if key != "pattern"}
        overrides |= {} if pattern == row.pattern else {"pattern": pattern}
        self.deployer._commit(self._operation(app, "deploy"), [(row, replace(row, overrides=overrides))])

    def _operation(self, app: str, kind: str) -> Operation:
        self._operations += 1
        return Operation(f"op{self._operations}", app, kind, "ann", self.clock.now())

    def _row(self, app: str, want: Want) -> tuple[ServiceRow | None, ServiceRow]:
        old = self.registry.services.get(f"{app}.{want.name}")
        if want.removed and old is not None:
            return old, replace(old, removed=True)
        number = self.registry.store.releases.next_number(app, want.name)
        routes = [{"path": route} if isinstance(route, str) else route for route in want.routes]
        spec = {
            "source": "./x",
            "run": "x",
            "port": want.port,
            "route": routes,
            "protocol": want.protocol,
            "deploy": {"rollback": want.rollback, **want.deploy},
        }
        with self.registry.transaction():
            self.registry.add_release(release(want.name, number, app=app, spec=spec))
        self._ports += 1
        port = (want.internal_port or INTERNAL_PORTS + self._ports) if want.port is not None else None
        known = old.internal_port if old is not None and port is not None and old.internal_port else port
        row = service_row(
            want.name, app=app, release=number, internal_port=known, depends_on=want.depends_on,
            restart_nonce=old.restart_nonce if old else 0, instances=want.instances,
            scaling=old.scaling if old else None, scaled=old.scaled if old else None,
        )  # fmt: skip
        return old, row

    def loaded(self, service: str, count: int) -> None:
        """Its load asks for so many, as `control.scaling` stores it."""
        row = self.registry.services[f"shop.{service}"]
        with self.registry.transaction():
            self.registry.put_service(replace(row, scaling={"min": 1, "max": 20}, scaled=count))

    def reboot(self) -> None:
        """Of the machine, and the daemon that comes then finds nothing of what ran."""
        with self.registry.transaction():
            for row in list(self.registry.instances.values()):
                self.executor.ended(row.id, code=None, reason="the machine restarted", rebooted=True)

    # -- what happens ---------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Plan and execute once, then let programs do what they do; whether anything happened."""
        observed = [
            instance(row, self.registry.live[name], 0, True)
            for name, row in self.registry.instances.items()
            if row.app != SYSTEM
        ]
        decided = plan(
            {key: goal for key, goal in Goals(self.registry).now().items() if key != GATEWAY}, observed, self.now
        )
        self.executor.execute(decided.actions)
        moved = [self._moves(row) for row in list(self.registry.instances.values())]
        self.clock.time += 1
        self.registry.reload()  # nothing depends on what only this daemon knows
        return bool(decided.actions) or any(moved)

    @property
    def now(self) -> float:
        return self.clock.now()

    def _moves(self, row: InstanceRow) -> bool:
        if row.state == "starting" and (row.service, row.release) in self.broken:
            self._end(row)
        elif row.state == "starting" and row.service not in self.slow:
            port = 20000 + len(self.registry.instances)
            with self.registry.transaction():
                self.registry.put_instance(
                    replace(row, state="ready", changed_at=self.now, ready_at=self.now, port=port)
                )
        elif row.state in ("stopping", "killing"):
            self._end(row)
        else:
            return False
        return True

    def _end(self, row: InstanceRow) -> None:
        with self.registry.transaction():
            self.executor.ended(row.id, code=1, reason="exit code 1", failures=row.failures + 1)

    def settle(self, *watch: Callable[[], None]) -> None:
        """Until nothing happens any more; `watch`es see every state on the way, as a new daemon would see it too."""
        for _ in range(200):
            for look in watch:
                look()
            if not self.step():
                return
        raise AssertionError("it does not come to rest")

    # -- what is to be seen ---------------------------------------------------------------------------------------

    def config(self) -> GatewayConfig:
        return gateway_config(self.registry, CERTIFICATES)

    def rules(self) -> list[Rule]:
        return [rule for frontend in self.config().frontends for rule in frontend.rules]

    def listens(self) -> list[str]:
        return [frontend.listen for frontend in self.config().frontends]

    def routes(self) -> dict[str, str]:
        """Path -> service."""
        return {rule.path: rule.backend.partition(".")[2] for rule in self.rules()}

    def answers(self, path: str) -> str:
        """Who answers a request: `web 2` (service and release), or the status that the gateway gives."""
        owner = next((rule.backend for rule in self.rules() if rule.path == path), None)
        if owner is None:
            return "404"
        backend = next(backend for backend in self.config().backends if backend.name == owner)
        servers = [self.registry.instances[server.name] for server in backend.servers if not server.draining]
        return f"{servers[0].service} {servers[0].release}" if servers else "503"

    def deployment(self, key: str) -> Deployment:
        return self.registry.deployments[key]

    def states(self) -> dict[str, str]:
        return {key_of(row): row.state for row in self.registry.deployments.values()}


def lived(test: Callable[[Life], None]) -> Callable[[Path], None]:
    """Run a test inside an event loop (events are told there), with a Life of its own."""

    def wrapped(tmp_path: Path) -> None:
        async def run() -> None:
            test(Life(tmp_path))

        asyncio.run(run())

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped
