"""What may be forgotten, decided first as a value, then done: rows in one transaction, files after it.

A crash in between leaves files that nothing names; the next collection finds them. `collect` belongs to the thread of
the database; `sweep` touches files only and may run in another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, TypeVar

from fourfold.store.files.blobs import Kept
from fourfold.store.manifest import Manifest
from fourfold.store.model import Build, Deployment, InstanceRow, Release, ServiceRow
from fourfold.store.store import Store
from fourfold.store.tables.deployments import OPEN

KEEP_RELEASES = 5
KEEP_DEPLOYMENTS = 50
KEEP_DEAD = 5
KEEP_EVENTS = 10_000
KEEP_LINES = 10_000
"""Of builds: one may write as many, and must not push everything else out."""
KEEP_ROUTINE = 100
"""Of each service, events of each kind that come by themselves: of instances, runs, triggers and what they bring."""
DEAD_SECONDS = 7 * 86_400.0
FRESH_SECONDS = 3_600.0
"""Files used this recently stay: an `up` may be about to make a release of them."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class InUse:
    """What the daemon uses and no row says."""

    sources: Collection[str] = frozenset()
    """Of operations in progress."""
    artifacts: Collection[str] = frozenset()
    releases: Collection[tuple[str, str, int]] = frozenset()
    """(app, service, number) of versions that were published."""
    instances: Collection[str] = frozenset()
    """Ids; those that are not gone stay anyway."""
    caches: Collection[str] = frozenset()
    """Besides those of services."""


@dataclass(frozen=True)
class History:
    """The rows that the decision is made from."""

    services: Sequence[ServiceRow] = ()
    releases: Sequence[Release] = ()
    builds: Sequence[Build] = ()
    deployments: Sequence[Deployment] = ()
    instances: Sequence[InstanceRow] = ()


@dataclass(frozen=True)
class Garbage:
    """The decision: rows that go, and names of files that stay."""

    releases: frozenset[tuple[str, str, int]]
    deployments: frozenset[int]
    instances: frozenset[str]
    keep_sources: frozenset[str]
    keep_artifacts: frozenset[str]
    keep_logs: frozenset[str]
    """Instance ids."""
    keep_caches: frozenset[str]
    """`app.service`, or `owner.app.service` of the bakery."""
    used_before: float
    """Files used at this time or later stay too."""


@dataclass(frozen=True)
class Collected:
    removed: dict[str, int] = field(default_factory=dict)
    """Kind -> how many."""
    freed_bytes: int = 0


class Shelf(Protocol):
    """Files of one kind: artifacts, sources and blobs by digest, logs by instance id, caches by `app.service`."""

    def list(self) -> Iterable[Kept]: ...

    def remove(self, digest: str) -> int | None:
        """Bytes freed, if it knows."""
        ...


class SourceShelf(Shelf, Protocol):
    def get(self, digest: str) -> Manifest: ...


class BlobShelf(Shelf, Protocol):
    @property
    def lock(self) -> AbstractContextManager[Any]:
        """While it is held, nobody is told that a blob is there."""
        ...


def scopes(store: Store) -> list[tuple[str, str]]:
    """(app, service) of all that anything is stored of: each can be collected by itself."""
    tables = ("services", "name"), ("releases", "service"), ("deployments", "service"), ("instances", "service")
    parts = (f"SELECT app, {column} FROM {table}" for table, column in tables)
    return [(app, service) for app, service in store.database.query(" UNION ".join(parts))]


def collect(store: Store, in_use: InUse, now: float, app: str, service: str) -> Garbage:
    """Decide over the rows of one service and delete those that may go. What is left to do is `sweep`."""
    with store.database.transaction():
        row = store.services.get(app, service)
        history = History(
            services=[row] if row is not None else [],
            releases=store.releases.of(app, service),
            builds=store.builds.of(app, service),
            deployments=store.deployments.of(app, service),
            instances=store.instances.of(app, service),
        )
        garbage = decide(history, in_use, now)
        for _, _, number in garbage.releases:
            store.releases.remove(app, service, number)
        for deployment in garbage.deployments:
            store.deployments.remove(deployment)
        for instance in garbage.instances:
            store.instances.remove(instance)
    return garbage


def together(parts: Sequence[Garbage], in_use: InUse, now: float) -> Garbage:
    """What was decided for every service, as one decision."""
    whole = decide(History(), in_use, now)
    names = [field.name for field in fields(Garbage) if field.name != "used_before"]
    unions: dict[str, Any] = {
        name: frozenset().union(*(getattr(part, name) for part in (whole, *parts))) for name in names
    }
    return replace(whole, **unions)


def decide(history: History, in_use: InUse, now: float) -> Garbage:
    """Pure. Nothing that a service, an open deployment or a kept instance names is garbage."""
    deployments = _old_deployments(history.deployments)
    instances = _dead_instances(history, in_use, now)
    alive = [row for row in history.instances if row.id not in instances]
    used = {(row.app, row.name, row.release) for row in history.services}
    used |= {(row.app, row.service, row.release) for row in alive} | set(in_use.releases)
    for row in history.deployments:
        if row.state in OPEN:
            used |= {(row.app, row.service, row.release), (row.app, row.service, row.previous.get("release", 0))}
    kept, gone = [], set()
    for releases in _newest(history.releases, lambda row: (row.app, row.service), lambda row: row.number):
        for place, release in enumerate(releases):
            key = (release.app, release.service, release.number)
            if place < KEEP_RELEASES or key in used:
                kept.append(release)
            else:
                gone.add(key)
    built = {row.artifact for row in history.builds if (row.app, row.service, row.number) not in gone}
    return Garbage(
        releases=frozenset(gone),
        deployments=frozenset(deployments),
        instances=frozenset(instances),
        keep_sources=frozenset(in_use.sources) | {release.source for release in kept},
        keep_artifacts=frozenset(in_use.artifacts) | built,
        keep_logs=frozenset(in_use.instances) | {row.id for row in alive},
        keep_caches=frozenset(in_use.caches) | {f"{row.app}.{row.name}" for row in history.services},
        used_before=now - FRESH_SECONDS,
    )


def sweep(
    garbage: Garbage, *, artifacts: Shelf, sources: SourceShelf, blobs: BlobShelf, logs: Shelf, caches: Shelf
) -> Collected:
    """Remove the files that nothing kept names. Blobs last: they belong to the sources that are still there."""
    counts = {
        "artifacts": _sweep(artifacts, garbage.keep_artifacts, garbage.used_before),
        "sources": _sweep(sources, garbage.keep_sources, garbage.used_before),
        "logs": _sweep(logs, garbage.keep_logs, garbage.used_before),
        "caches": _sweep(caches, garbage.keep_caches, garbage.used_before),
    }
    with blobs.lock:
        needed = {blob for source in sources.list() for blob in sources.get(source.digest).blobs}
        counts["blobs"] = _sweep(blobs, needed, garbage.used_before)
    return Collected({kind: count for kind, (count, _) in counts.items()}, sum(freed for _, freed in counts.values()))


def _sweep(shelf: Shelf, keep: Collection[str], used_before: float) -> tuple[int, int]:
    """How many went, and their bytes. One at a time as they are listed: what a build uses meanwhile is young again."""
    count = freed = 0
    for kept in shelf.list():
        if kept.digest not in keep and kept.used_at < used_before:
            taken = shelf.remove(kept.digest)
            freed += kept.size if taken is None else taken
            count += 1
    return count, freed


def _old_deployments(rows: Iterable[Deployment]) -> set[int]:
    return {
        row.id
        for group in _newest(rows, lambda row: (row.app, row.service), lambda row: row.id)
        for row in group[KEEP_DEPLOYMENTS:]
        if row.state not in OPEN
    }


def _dead_instances(history: History, in_use: InUse, now: float) -> set[str]:
    """Those gone for good beyond the newest few, and old ones but the newest."""
    dead = [row for row in history.instances if row.state == "gone" and row.id not in in_use.instances]
    return {
        row.id
        for group in _newest(dead, lambda row: (row.app, row.service), lambda row: (row.changed_at, row.id))
        for place, row in enumerate(group)
        if place >= KEEP_DEAD or (place > 0 and now - row.changed_at > DEAD_SECONDS)
    }


def _newest(
    rows: Iterable[Item], group: Callable[[Item], Hashable], age: Callable[[Item], Any]
) -> Iterable[list[Item]]:
    """The rows by group, newest first in each."""
    groups: dict[Hashable, list[Item]] = defaultdict(list)
    for row in rows:
        groups[group(row)].append(row)
    for members in groups.values():
        members.sort(key=age, reverse=True)
    return groups.values()
