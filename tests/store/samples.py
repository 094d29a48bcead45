"""Rows to test with: everything has a value, what matters to a test is given by name."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from fourfold.paths import Paths
from fourfold.store.db import open_database
from fourfold.store.model import AppRow, Build, Deployment, Event, InstanceRow, Release, ServiceRow
from fourfold.store.store import Store, open_store
from fourfold.store.tables.events import Events


class FixedClock:
    def __init__(self, now: float = 1_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time


def app_row(name: str = "shop", **given: Any) -> AppRow:
    fields: dict[str, Any] = {
        "gateway": {},
        "externals": {},
        "file": "/srv/fourfold.yaml",
        "services": (),
        "updated_at": 1.0,
    }
    return AppRow(name=name, **(fields | given))


def release(service: str = "web", number: int = 1, **given: Any) -> Release:
    fields: dict[str, Any] = {
        "app": "shop", "spec": {}, "source": f"source-{service}-{number}", "actor": "ann", "commit": None,
        "message": None, "created_at": 1.0,
    }  # fmt: skip
    return Release(service=service, number=number, **(fields | given))


def build(service: str = "web", number: int = 1, **given: Any) -> Build:
    fields: dict[str, Any] = {
        "app": "shop", "pattern": "process", "artifact": f"artifact-{service}-{number}", "argv": ("./run",),
        "made_at": 1.0,
    }  # fmt: skip
    return Build(service=service, number=number, **(fields | given))


def service_row(name: str = "web", **given: Any) -> ServiceRow:
    fields: dict[str, Any] = {
        "app": "shop", "release": 1, "pattern": "process", "instances": 1, "depends_on": (), "uid": 790000,
        "internal_port": None,
    }  # fmt: skip
    return ServiceRow(name=name, **(fields | given))


def deployment(service: str = "web", **given: Any) -> Deployment:
    fields: dict[str, Any] = {
        "id": 0, "app": "shop", "operation": "op", "revision": "r1", "release": 1, "previous": {}, "state": "done",
        "reason": None, "before_done": False, "actor": "ann", "started_at": 1.0, "progressed_at": 1.0,
    }  # fmt: skip
    return Deployment(service=service, **(fields | given))


def instance(id: str, service: str = "web", **given: Any) -> InstanceRow:
    fields: dict[str, Any] = {
        "app": "shop", "release": 1, "revision": "r1", "role": "serve", "state": "ready", "created_at": 1.0,
        "changed_at": 1.0,
    }  # fmt: skip
    return InstanceRow(id=id, service=service, **(fields | given))


def add_service(store: Store, row: ServiceRow) -> None:
    """With the app and the release that it needs."""
    with store.database.transaction():
        store.apps.put(app_row(row.app))
        if store.releases.get(row.app, row.name, row.release) is None:
            store.releases.add(release(row.name, row.release, app=row.app))
        store.services.put(row)


def open_in(paths: Paths, clock: FixedClock | None = None) -> Store:
    """A new one is a copy of an empty one: to make its tables takes ten times as long."""
    if not paths.database.exists():
        paths.database.write_bytes(_empty())
        paths.database.chmod(0o600)
    return open_store(paths, clock or FixedClock())


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "empty.db")
        open_database(path).close()
        return path.read_bytes()


def add_event(events: Events, kind: str, message: str, **given: Any) -> Event:
    """Store one event; returns it with its number."""
    facts: dict[str, Any] = {"app": None, "service": None, "instance": None, "actor": None, "data": {}}
    before = events.last()
    events.add_all([events.make(kind, message, **(facts | given))])
    (added,) = events.after(before)
    return added
