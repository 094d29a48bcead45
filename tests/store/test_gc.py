"""Garbage: nothing in use goes, over any history; everything else goes in the end."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fourfold.paths import Paths
from fourfold.spec.model import PATTERNS
from fourfold.store.files.artifacts import Artifacts
from fourfold.store.files.blobs import Blobs, Kept
from fourfold.store.files.sources import Sources
from fourfold.store.garbage.gc import Garbage, History, InUse, collect, decide, scopes, sweep, together
from fourfold.store.manifest import Entry, Manifest
from fourfold.store.model import DeploymentState, InstanceRow, InstanceState
from fourfold.store.store import Store
from tests.store.samples import add_service, build, deployment, instance, release, service_row

NOW = 100 * 86_400.0
DAY = 86_400.0

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def dead(id: str, age: float, service: str = "web", **given: Any) -> InstanceRow:
    return instance(id, service, state="gone", changed_at=NOW - age, **given)


# the decision, case by case


def test_the_last_releases_and_those_named_are_kept() -> None:
    history = History(
        services=[service_row(release=2)],
        releases=[release("web", number) for number in range(1, 21)] + [release("api", number) for number in (1, 2)],
        builds=[build("web", number) for number in range(1, 21)] + [build("api", number) for number in (1, 2)],
        deployments=[deployment(id=9, state="rolling-back", release=7, previous={"release": 6})],
        instances=[instance("a", release=4), dead("b", 1.0, release=5)],
    )
    garbage = decide(history, InUse(), NOW)
    assert garbage.releases == {("shop", "web", number) for number in (1, 3, *range(8, 16))}
    kept = {2, 4, 5, 6, 7, *range(16, 21)}
    assert garbage.keep_sources == {f"source-web-{n}" for n in kept} | {f"source-api-{n}" for n in (1, 2)}
    assert garbage.keep_artifacts == {f"artifact-web-{n}" for n in kept} | {f"artifact-api-{n}" for n in (1, 2)}


def test_a_finished_deployment_keeps_no_release() -> None:
    history = History(
        releases=[release("web", number) for number in range(1, 8)],
        deployments=[deployment(id=1, state="done", release=1, previous={"release": 2})],
    )
    assert decide(history, InUse(), NOW).releases == {("shop", "web", 1), ("shop", "web", 2)}


def test_the_same_source_in_an_old_and_a_new_release_is_kept() -> None:
    releases = [release("web", number, source="same") for number in range(1, 8)]
    builds = [build("web", number, artifact=f"a{number}") for number in range(1, 8)]
    garbage = decide(History(releases=releases, builds=builds), InUse(), NOW)
    assert garbage.keep_sources == {"same"}
    assert garbage.keep_artifacts == {f"a{number}" for number in range(3, 8)}


def test_a_kept_release_keeps_what_it_was_built_into_for_every_pattern() -> None:
    """Moving back, and going back, need no build."""
    releases = [release("web", number) for number in range(1, 8)]
    builds = [build("web", number, pattern=p, artifact=f"{p}{number}") for number in range(1, 8) for p in PATTERNS]
    garbage = decide(History([service_row(release=1)], releases, builds), InUse(), NOW)
    assert garbage.keep_artifacts == {f"{pattern}{number}" for number in (1, 3, 4, 5, 6, 7) for pattern in PATTERNS}


def test_dead_instances() -> None:
    young = [dead(f"young-{number}", number * 60.0) for number in range(8)]
    old = [dead("old-newest", 8 * DAY, service="api"), dead("old-second", 9 * DAY, service="api")]
    alive = [instance("ready", changed_at=0.0), instance("waits", state="exited", changed_at=0.0)]
    garbage = decide(History(instances=young + old + alive), InUse(instances={"young-7"}), NOW)
    assert garbage.instances == {"young-5", "young-6", "old-second"}
    assert garbage.keep_logs == {row.id for row in young + old + alive} - garbage.instances


def test_caches_are_kept_of_services_that_there_are() -> None:
    """Not of those that left only history: a cache is made again."""
    history = History(services=[service_row()], releases=[release("web"), release("gone")])
    assert decide(history, InUse(), NOW).keep_caches == {"shop.web"}


def test_old_deployments() -> None:
    rows = [deployment(id=number) for number in range(1, 61)]
    rows[2] = replace(rows[2], state="running")
    rows += [deployment("api", id=number) for number in range(61, 65)]
    assert decide(History(deployments=rows), InUse(), NOW).deployments == set(range(1, 11)) - {3}


# the decision, over any history

SERVICES = st.sampled_from(["web", "api"])
NUMBERS = st.integers(1, 12)
TIMES = st.floats(0, NOW)


@st.composite
def histories(draw: st.DrawFn) -> History:
    releases = [
        release(service, number, source=draw(st.sampled_from("abcdef")))
        for service in ("web", "api")
        for number in range(1, draw(st.integers(1, 12)) + 1)
    ]
    builds = [
        build(row.service, row.number, pattern=pattern, artifact=draw(st.sampled_from("uvwxyz")))
        for row in releases
        for pattern in draw(st.sets(st.sampled_from(PATTERNS)))
    ]
    deployments = [
        deployment(
            draw(SERVICES), id=id, state=draw(st.sampled_from(get_args(DeploymentState))), release=draw(NUMBERS),
            previous=draw(st.fixed_dictionaries({}, optional={"release": NUMBERS})),
        )
        for id in range(1, draw(st.integers(0, 8)))
    ]  # fmt: skip
    instances = [
        instance(
            f"i{id}", draw(SERVICES), state=draw(st.sampled_from(get_args(InstanceState))), release=draw(NUMBERS),
            changed_at=draw(TIMES),
        )
        for id in range(draw(st.integers(0, 15)))
    ]  # fmt: skip
    services = draw(st.lists(st.builds(service_row, SERVICES, release=NUMBERS), unique_by=lambda row: row.name))
    return History(services, releases, builds, deployments, instances)


def used_releases(history: History, garbage: Garbage) -> set[tuple[str, int]]:
    used = {(row.name, row.release) for row in history.services}
    used |= {(row.service, row.release) for row in history.instances if row.id not in garbage.instances}
    for row in history.deployments:
        if row.state in ("running", "rolling-back"):
            used |= {(row.service, row.release), (row.service, row.previous.get("release", row.release))}
    return used


@unhurried
@given(histories(), st.sets(st.integers(0, 14).map("i{}".format)))
def test_nothing_in_use_is_garbage(history: History, in_use: set[str]) -> None:
    garbage = decide(history, InUse(instances=in_use, sources={"mine"}, artifacts={"mine"}), NOW)
    used = used_releases(history, garbage)
    for service in ("web", "api"):
        numbers = sorted((row.number for row in history.releases if row.service == service), reverse=True)
        used |= {(service, number) for number in numbers[:5]}
    assert not {(service, number) for _, service, number in garbage.releases} & used
    for row in history.releases:
        if (row.service, row.number) in used:
            assert row.source in garbage.keep_sources
    for built in history.builds:
        assert (built.service, built.number) not in used or built.artifact in garbage.keep_artifacts
    assert "mine" in garbage.keep_sources and "mine" in garbage.keep_artifacts
    states = {row.id: row.state for row in history.instances}
    assert all(states[id] == "gone" for id in garbage.instances)
    assert not garbage.instances & in_use
    assert in_use | (set(states) - garbage.instances) == garbage.keep_logs
    open_ids = {row.id for row in history.deployments if row.state in ("running", "rolling-back")}
    assert not garbage.deployments & open_ids


@unhurried
@given(histories())
def test_everything_else_is_garbage(history: History) -> None:
    garbage = decide(history, InUse(), NOW)
    used = used_releases(history, garbage)
    for service in ("web", "api"):
        numbers = sorted((row.number for row in history.releases if row.service == service), reverse=True)
        unused = {(service, number) for number in numbers[5:]} - used
        assert unused <= {(name, number) for _, name, number in garbage.releases}
        left = [
            row for row in history.instances
            if row.service == service and row.state == "gone" and row.id not in garbage.instances
        ]  # fmt: skip
        assert len(left) <= 5
        assert sum(NOW - row.changed_at > 7 * DAY for row in left) <= 1


@unhurried
@given(histories())
def test_a_second_collection_finds_nothing(history: History) -> None:
    garbage = decide(history, InUse(), NOW)
    left = History(
        history.services,
        [row for row in history.releases if (row.app, row.service, row.number) not in garbage.releases],
        [row for row in history.builds if (row.app, row.service, row.number) not in garbage.releases],
        [row for row in history.deployments if row.id not in garbage.deployments],
        [row for row in history.instances if row.id not in garbage.instances],
    )
    again = decide(left, InUse(), NOW)
    assert not again.releases and not again.deployments and not again.instances
    assert again.keep_sources == garbage.keep_sources and again.keep_artifacts == garbage.keep_artifacts


# doing it


@dataclass
class FakeShelf:
    lock = Lock()

    """Files by name, with when they were last used; a size of 10 each, unless removing says otherwise."""

    used_at: dict[str, float]
    frees: int | None = None
    manifests: dict[str, Manifest] = field(default_factory=dict)

    def list(self) -> Iterator[Kept]:
        for name in sorted(self.used_at):
            yield Kept(name, 10, self.used_at[name])

    def remove(self, digest: str) -> int | None:
        del self.used_at[digest]
        return self.frees

    def get(self, digest: str) -> Manifest:
        return self.manifests[digest]


def garbage(**given: Any) -> Garbage:
    nothing: frozenset[Any] = frozenset()
    fields: dict[str, Any] = {
        "releases": nothing, "deployments": nothing, "instances": nothing, "keep_sources": nothing,
        "keep_artifacts": nothing, "keep_logs": nothing, "keep_caches": nothing, "used_before": NOW - 3600,
    }  # fmt: skip
    return Garbage(**(fields | given))


def manifest(*blobs: str) -> Manifest:
    return Manifest.of(Entry(path=f"file-{blob}", size=1, sha256=blob) for blob in blobs)


def test_sweep_removes_what_is_neither_kept_nor_young() -> None:
    old, young = NOW - 3601, NOW - 3599
    artifacts = FakeShelf({"kept": old, "old": old, "young": young}, frees=1000)
    sources = FakeShelf(
        {"kept": old, "old": old, "young": young},
        manifests={"kept": manifest("a", "b"), "old": manifest("b", "c"), "young": manifest("d")},
    )
    blobs = FakeShelf({**dict.fromkeys("abcde", old), "f": young})
    logs = FakeShelf({"alive": old, "forgotten": old})
    caches = FakeShelf({"shop.web": old, "shop.gone": old, "shop.new": young})
    done = sweep(
        garbage(keep_artifacts={"kept"}, keep_sources={"kept"}, keep_logs={"alive"}, keep_caches={"shop.web"}),
        artifacts=artifacts, sources=sources, blobs=blobs, logs=logs, caches=caches,
    )  # fmt: skip
    assert set(artifacts.used_at) == set(sources.used_at) == {"kept", "young"}
    assert set(blobs.used_at) == {"a", "b", "d", "f"}, "those of sources that stay, and one that is just coming in"
    assert set(logs.used_at) == {"alive"}
    assert set(caches.used_at) == {"shop.web", "shop.new"}
    assert done.removed == {"artifacts": 1, "sources": 1, "logs": 1, "caches": 1, "blobs": 2}
    assert done.freed_bytes == 1000 + 10 + 10 + 10 + 20


def test_what_a_build_uses_while_the_sweep_runs_is_left() -> None:
    class Busy(FakeShelf):
        def remove(self, digest: str) -> int | None:
            self.used_at["second"] = NOW  # a build has found it in the meantime
            return super().remove(digest)

    artifacts = Busy({"first": 0.0, "second": 0.0})
    empty = FakeShelf({})
    sweep(garbage(), artifacts=artifacts, sources=empty, blobs=empty, logs=empty, caches=empty)
    assert set(artifacts.used_at) == {"second"}


def test_sweep_of_the_real_shelves(paths: Paths) -> None:
    blobs = Blobs(paths)
    sources = Sources(paths, blobs)
    digests = {text: hashlib.sha256(text.encode()).hexdigest() for text in ("kept", "shared", "gone")}
    for text, digest in digests.items():
        blobs.add(digest, [text.encode()])
    kept = sources.put(manifest(digests["kept"], digests["shared"]))
    gone = sources.put(manifest(digests["gone"], digests["shared"]))
    done = sweep(
        garbage(keep_sources={kept}, used_before=math.inf),
        artifacts=Artifacts(paths), sources=sources, blobs=blobs, logs=FakeShelf({}), caches=FakeShelf({}),
    )  # fmt: skip
    assert done.removed == {"artifacts": 0, "sources": 1, "logs": 0, "caches": 0, "blobs": 1}
    assert [found.digest for found in sources.list()] == [kept] != [gone]
    assert {found.digest for found in blobs.list()} == {digests["kept"], digests["shared"]}


def test_collect_deletes_the_rows(store: Store) -> None:
    add_service(store, service_row(release=1))
    with store.database.transaction():
        for number in range(2, 9):
            store.releases.add(release("web", number))
            store.builds.put(build("web", number))
        for _ in range(52):
            store.deployments.add(deployment())
        for number in range(7):
            store.instances.put(dead(f"dead-{number}", number))
        store.releases.add(release("gone", 1))
        store.instances.put(dead("gone-1", 1.0, service="left"))
        store.deployments.add(deployment("before"))
    assert scopes(store) == [("shop", name) for name in ("before", "gone", "left", "web")]
    in_use = InUse(sources={"mine"})
    decided = collect(store, in_use, NOW, "shop", "web")
    assert [row.number for row in store.releases.of("shop", "web")] == [8, 7, 6, 5, 4, 1]
    assert len(store.deployments.of("shop", "web")) == 50
    assert [row.id for row in store.instances.of("shop", "web")] == [f"dead-{number}" for number in range(5)]
    assert len(store.releases.of("shop", "gone")) == 1
    sources = {"mine", *(f"source-web-{number}" for number in (1, 4, 5, 6, 7, 8))}
    assert decided.keep_artifacts == {f"artifact-web-{number}" for number in (4, 5, 6, 7, 8)}
    assert decided.keep_sources == sources and decided.used_before == NOW - 3600
    again = collect(store, in_use, NOW, "shop", "web")
    assert not again.releases and not again.deployments and not again.instances
    both = together([again, collect(store, in_use, NOW, "shop", "gone")], in_use, NOW)
    assert both.keep_sources == sources | {"source-gone-1"}
    assert together([], in_use, NOW).keep_sources == {"mine"}


@unhurried
@given(histories())
def test_services_are_collected_by_themselves_as_together(history: History) -> None:
    """What is decided for each, put together, is what would be decided for all at once."""
    in_use = InUse(sources={"mine"}, instances={"i1"})
    parts = [
        decide(
            History(
                [row for row in history.services if row.name == name],
                [row for row in history.releases if row.service == name],
                [row for row in history.builds if row.service == name],
                [row for row in history.deployments if row.service == name],
                [row for row in history.instances if row.service == name],
            ),
            in_use,
            NOW,
        )
        for name in ("web", "api")
    ]
    assert together(parts, in_use, NOW) == decide(history, in_use, NOW)
