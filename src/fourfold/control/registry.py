"""The daemon's memory of what is stored: rows of services, instances and latest deployments, written through.

Every change goes through `transaction()`: either disk and memory both have it, or neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fourfold.control.faults import Faults
from fourfold.control.ids import letters
from fourfold.errors import WorldError
from fourfold.plan.model import Answered
from fourfold.spec.groups import Host
from fourfold.spec.model import Service
from fourfold.store.model import AppRow, Build, Deployment, InstanceRow, MaintenanceRow, Release, ServiceRow
from fourfold.store.store import Store
from fourfold.store.tables.deployments import OPEN


def key_of(row: ServiceRow | InstanceRow | Deployment) -> str:
    name = row.name if isinstance(row, ServiceRow) else row.service
    return f"{row.app}.{name}"


@dataclass
class Live:
    """What is known of an instance only while this daemon lives."""

    sick: str | None = None
    probe_error: str | None = None


@dataclass
class Registry:
    store: Store
    apps: dict[str, AppRow] = field(default_factory=dict)
    services: dict[str, ServiceRow] = field(default_factory=dict)
    instances: dict[str, InstanceRow] = field(default_factory=dict)
    """All but those that are gone for good."""
    deployments: dict[str, Deployment] = field(default_factory=dict)
    """The latest of each service."""
    maintenance: dict[tuple[str, str], MaintenanceRow] = field(default_factory=dict)
    """(app, service); of a whole app under no name."""
    live: dict[str, Live] = field(default_factory=dict)
    answers: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Instance -> requests and errors, as the gateway knew last, of services that are deployed in steps."""
    answered: dict[str, tuple[Answered, Answered]] = field(default_factory=dict)
    """Service -> what its new instances and its old ones have answered since the step that it is at began."""
    faults: Faults = field(default_factory=lambda: Faults({}))
    refused: Callable[[WorldError], None] = lambda error: None
    """Told of a transaction that the world did not let be stored."""

    def __post_init__(self) -> None:
        self.reload()

    def reload(self) -> None:
        self._specs: dict[tuple[str, int], tuple[Release, Service]] = {}
        self.apps = {row.name: row for row in self.store.apps.all()}
        self.services = {key_of(row): row for row in self.store.services.all()}
        self.instances = {row.id: row for row in self.store.instances.alive()}
        self._by_service: dict[str, set[str]] = {}
        for row in self.instances.values():
            self._by_service.setdefault(key_of(row), set()).add(row.id)
        latest = (self.store.deployments.latest(row.app, row.name) for row in self.services.values())
        self.deployments = {key_of(row): row for row in latest if row is not None}
        self.maintenance = {(row.app, row.service): row for row in self.store.maintenance.all()}
        self.live = {name: self.live.get(name) or Live() for name in self.instances}

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            with self.store.database.transaction():
                yield
                self.faults.committing()
            self.faults.committed()
        except BaseException as error:
            self.reload()
            if isinstance(error, WorldError):
                self.refused(error)
            raise

    # -- reading --------------------------------------------------------------------------------------------------

    def release(self, key: str, number: int) -> Release:
        return self._spec(key, number)[0]

    def spec(self, key: str, number: int) -> Service:
        """The service's spec as release `number` has it; not its pattern and count, which no release holds."""
        return self._spec(key, number)[1]

    def build(self, key: str, number: int, pattern: str) -> Build | None:
        """What release `number` was built into for a pattern; None: it never was."""
        app, _, service = key.partition(".")
        return self.store.builds.get(app, service, number, pattern)

    def _spec(self, key: str, number: int) -> tuple[Release, Service]:
        if (key, number) not in self._specs:
            app, _, service = key.partition(".")
            release = self.store.releases.need(app, service, number)
            kind = Host if "group" in release.spec else Service
            self._specs[key, number] = (release, kind.model_validate(release.spec))
        return self._specs[key, number]

    def of_app(self, app: str) -> list[ServiceRow]:
        return sorted((row for row in self.services.values() if row.app == app), key=lambda row: row.name)

    def of_service(self, key: str) -> list[InstanceRow]:
        rows = (self.instances[name] for name in self._by_service.get(key, ()))
        return sorted(rows, key=lambda row: (row.created_at, row.id))

    def running_deployment(self, key: str) -> Deployment | None:
        deployment = self.deployments.get(key)
        return deployment if deployment is not None and deployment.state in OPEN else None

    def unused_id(self, stem: str, count: int) -> str:
        """For an instance, with so many letters: of 1,000 with four, two have the same ones as often as not."""
        while self.store.instances.get(name := f"{stem}-{letters(count)}") is not None:
            pass
        return name

    # -- writing (inside a transaction) ---------------------------------------------------------------------------

    def put_app(self, row: AppRow) -> None:
        self.store.apps.put(row)
        self.apps[row.name] = row

    def remove_app(self, name: str) -> None:
        self.store.apps.remove(name)
        self.apps.pop(name, None)
        self.store.maintenance.remove_app(name)
        self.maintenance = {key: row for key, row in self.maintenance.items() if key[0] != name}

    def put_service(self, row: ServiceRow) -> None:
        self.store.services.put(row)
        self.services[key_of(row)] = row

    def put_maintenance(self, row: MaintenanceRow) -> None:
        self.store.maintenance.put(row)
        self.maintenance[row.app, row.service] = row

    def remove_maintenance(self, app: str, service: str) -> None:
        self.store.maintenance.remove(app, service)
        self.maintenance.pop((app, service), None)

    def remove_service(self, row: ServiceRow) -> None:
        self.remove_maintenance(row.app, row.name)
        self.store.services.remove(row.app, row.name)
        self.services.pop(key_of(row), None)
        self.deployments.pop(key_of(row), None)

    def add_release(self, release: Release) -> None:
        self.store.releases.add(release)

    def put_build(self, build: Build) -> None:
        self.store.builds.put(build)

    def forget_releases(self, gone: Iterable[tuple[str, str, int]]) -> None:
        """After they were removed from the store (app, service, number): numbers of a purged app are given again."""
        for app, service, number in gone:
            self._specs.pop((f"{app}.{service}", number), None)

    def add_deployment(self, row: Deployment) -> Deployment:
        stored = self.store.deployments.add(row)
        self.deployments[key_of(stored)] = stored
        self.answered.pop(key_of(stored), None)  # of the one before
        return stored

    def put_deployment(self, row: Deployment) -> None:
        self.store.deployments.update(row)
        self.deployments[key_of(row)] = row

    def put_instance(self, row: InstanceRow) -> None:
        self.store.instances.put(row)
        if row.state == "gone":
            self.instances.pop(row.id, None)
            self.live.pop(row.id, None)
            self._by_service.get(key_of(row), set()).discard(row.id)
        else:
            self.instances[row.id] = row
            self._by_service.setdefault(key_of(row), set()).add(row.id)
            self.live.setdefault(row.id, Live())
