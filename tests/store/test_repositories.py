"""The repositories: what each one promises beyond storing rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fourfold.errors import NotFoundError, UserError
from fourfold.paths import Paths
from fourfold.store.store import Store
from fourfold.store.tables.events import Which
from tests.store import samples
from tests.store.samples import (
    FixedClock,
    add_event,
    add_service,
    app_row,
    build,
    deployment,
    instance,
    release,
    service_row,
)


def test_apps(store: Store) -> None:
    rows = [app_row("blog"), app_row("shop", gateway={"listen": ":80"})]
    for row in reversed(rows):
        store.apps.put(row)
    assert store.apps.all() == rows
    assert store.apps.need("shop") == rows[1]
    assert store.apps.remove("shop") and not store.apps.remove("shop")
    with pytest.raises(NotFoundError, match="cannot find app shop: apps here are blog"):
        store.apps.need("shop")
    store.apps.remove("blog")
    with pytest.raises(NotFoundError, match="there is none here"):
        store.apps.need("shop")


def test_services(store: Store) -> None:
    for row in (service_row("web"), service_row("api", depends_on=("web",)), service_row("web", app="blog")):
        add_service(store, row)
    assert [row.name for row in store.services.of("shop")] == ["api", "web"]
    assert [(row.app, row.name) for row in store.services.all()] == [("blog", "web"), ("shop", "api"), ("shop", "web")]
    store.services.put(replace(service_row("web"), instances=4, overrides={"instances": 4}))
    assert store.services.need("shop", "web").overrides == {"instances": 4}
    assert store.services.remove("shop", "web")
    with pytest.raises(NotFoundError, match="service web of app shop: its services are api"):
        store.services.need("shop", "web")


def test_releases_are_numbered_per_service(store: Store) -> None:
    assert store.releases.next_number("shop", "web") == 1
    for number in (1, 2, 3):
        store.releases.add(release("web", number))
    store.releases.add(release("api", 1))
    assert store.releases.next_number("shop", "web") == 4
    assert store.releases.latest("shop", "web") == release("web", 3)
    assert [row.number for row in store.releases.of("shop", "web")] == [3, 2, 1]
    store.releases.remove("shop", "web", 1)
    with pytest.raises(NotFoundError, match="release 1 of service web: kept are 3, 2"):
        store.releases.need("shop", "web", 1)
    assert store.releases.remove_app("shop") == 3
    assert store.releases.latest("shop", "web") is None


def test_builds_go_with_their_release(store: Store) -> None:
    with store.database.transaction():
        for number in (1, 2):
            store.builds.put(build("web", number))
            store.releases.add(release("web", number))
        store.builds.put(build("web", 2, pattern="container", artifact="image"))
    store.builds.put(build("web", 1, artifact="made again"))
    assert [(row.number, row.pattern, row.artifact) for row in store.builds.of("shop", "web")] == [
        (2, "container", "image"), (2, "process", "artifact-web-2"), (1, "process", "made again"),
    ]  # fmt: skip
    store.releases.remove("shop", "web", 2)
    assert store.builds.of("shop", "web") == [build("web", 1, artifact="made again")]
    assert store.builds.get("shop", "web", 1, "container") is None
    with pytest.raises(Exception, match="FOREIGN KEY"):
        store.builds.put(build("web", 9))


def test_the_release_a_service_is_on_cannot_be_deleted(store: Store) -> None:
    add_service(store, service_row("web"))
    with pytest.raises(Exception, match="FOREIGN KEY"):
        store.releases.remove("shop", "web", 1)
    assert store.releases.get("shop", "web", 1)


def test_deployments(store: Store) -> None:
    first = store.deployments.add(deployment(state="running", operation="op-1", previous={"release": 2}))
    second = store.deployments.add(deployment(state="rolling-back", operation="op-2"))
    other = store.deployments.add(deployment("api", state="failed", operation="op-1"))
    assert first.id < second.id < other.id
    assert store.deployments.get(first.id) == first
    assert store.deployments.latest("shop", "web") == second
    assert store.deployments.running() == [first, second]
    assert store.deployments.of_operation("op-1") == [first, other]
    ended = replace(second, state="rolled-back", reason="exit code 3", finished_at=9.0)
    store.deployments.update(ended)
    assert store.deployments.of("shop", "web") == [ended, first]
    assert store.deployments.running() == [first]
    assert store.deployments.remove_app("shop") == 3


def test_instances(store: Store) -> None:
    rows = [instance("b", created_at=1.0), instance("a", created_at=2.0), instance("c", "api", created_at=3.0)]
    for row in reversed(rows):
        store.instances.put(row)
    assert store.instances.all() == rows
    assert store.instances.of("shop", "web") == rows[:2]
    store.instances.put(replace(rows[0], state="draining"))
    assert store.instances.get("b") == replace(rows[0], state="draining")
    assert store.instances.remove("b") and store.instances.get("b") is None
    store.instances.put(instance("d", app="blog"))
    assert store.instances.remove_app("shop") == 2
    assert [row.id for row in store.instances.all()] == ["d"]


def test_events_are_read_from_where_one_stopped(store: Store, clock: FixedClock) -> None:
    started = add_event(store.events, "deploy.started", "web is deployed", app="shop", data={"operation": "op-1"})
    clock.time += 5
    other = add_event(store.events, "daemon.started", "the daemon is up")
    done = add_event(store.events, "deploy.done", "web is up", app="shop", service="web", data={"operation": "op-2"})
    assert [event.at for event in (started, done)] == [1_000_000.0, 1_000_005.0]
    assert store.events.after(0) == [started, other, done]
    assert store.events.after(started.seq, limit=1) == [other]
    assert store.events.after(0, "shop") == [started, done]
    assert store.events.after(0, "shop", operation="op-2") == [done]
    assert store.events.after(0, which=Which(("deploy.*",))) == [started, done]
    assert store.events.after(0, which=Which(("daemon.started", "deploy.done"))) == [other, done]
    assert store.events.after(0, which=Which(("deploy.*",), since=1_000_005.0)) == [done]
    assert store.events.after(0, which=Which(("deploy",))) == []
    assert store.events.before(1, which=Which(("deploy.*",))) == started.seq
    assert store.events.last() == done.seq


def test_lines_of_builds_push_nothing_else_out(store: Store) -> None:
    kinds = ["deploy.done", *["build.log"] * 5, "deploy.done", *["build.log"] * 5, "deploy.done"]
    for kind in kinds:
        add_event(store.events, kind, "")
    assert store.events.trim(2, 6, 9) == 5
    assert [event.seq for event in store.events.after(0)] == [6, 7, 8, 9, 10, 11, 12, 13]


def test_a_job_that_runs_each_second_pushes_nothing_else_out(store: Store) -> None:
    add_event(store.events, "deploy.done", "", app="shop", service="tick")
    add_event(store.events, "run.failed", "", app="shop", service="nightly")
    for _ in range(20):
        for kind in ("run.started", "run.done"):
            add_event(store.events, kind, "", app="shop", service="tick")
    assert store.events.trim(10, 0, 3) == 34
    kept = [(event.service, event.kind) for event in store.events.after(0)]
    ticks = [("tick", "run.started"), ("tick", "run.done")] * 3
    assert kept == [("tick", "deploy.done"), ("nightly", "run.failed"), *ticks]
    assert store.events.trim(3, 0, 3) == 4


def test_the_newest_events(store: Store) -> None:
    for app, operation in (("shop", "a"), ("blog", "b"), ("shop", "c"), ("shop", "a")):
        add_event(store.events, "x", "", app=app, data={"operation": operation})
    assert [store.events.before(count) for count in (0, 1, 3, 4, 9)] == [4, 3, 1, 0, 0]
    assert store.events.before(2, "shop") == 1 and store.events.before(1, None, "a") == 1


def test_the_newest_of_a_kind(store: Store) -> None:
    for kind, service in (("build.done", "web"), ("build.failed", "web"), ("build.log", "web"), ("build.done", "api")):
        add_event(store.events, kind, "", app="shop", service=service)
    add_event(store.events, "operation.done", "", app="shop")
    found = store.events.newest("shop", "web", "build.done", "build.failed")
    assert found is not None and (found.kind, found.seq) == ("build.failed", 2)
    assert store.events.newest("shop", "web", "operation.done") is None
    assert store.events.newest("blog", None, "operation.done") is None
    done = store.events.newest("shop", None, "operation.done")
    assert done is not None and done.seq == 5


def test_trimmed_events_do_not_give_their_numbers_away(store: Store) -> None:
    added = [add_event(store.events, "build.log", str(number)) for number in range(10)]
    assert store.events.trim(0, 20, 0) == 0
    assert store.events.trim(0, 3, 0) == 7
    assert store.events.after(0) == added[7:]
    assert store.events.trim(0, 0, 0) == 3
    assert add_event(store.events, "build.log", "next").seq == added[-1].seq + 1


def test_an_event_comes_back_as_it_was_added_even_with_bytes_that_are_no_text(store: Store) -> None:
    added = add_event(
        store.events, "build.log", "caf\udce9", app="shop", data={"path": "caf\udce9", "argv": ("a", "\udce9")}
    )
    assert store.events.after(0) == [added]
    assert added.message == "caf\\udce9"
    assert added.data == {"path": "caf\\udce9", "argv": ["a", "\\udce9"]}


def test_uids_are_kept_for_ever_and_never_shared(store: Store, paths: Paths) -> None:
    among = range(790000, 790002)
    web = store.uids.of("shop", "web", among)
    api = store.uids.of("shop", "api", among)
    assert {web, api} == {790000, 790001}
    store.database.close()
    again = samples.open_in(paths)
    assert again.uids.of("shop", "web", range(5000, 5001)) == web, "kept though the range is another now"
    with pytest.raises(UserError, match="all 2 uids of the range are in use") as caught:
        again.uids.of("blog", "web", among)
    assert "widen the range" in (caught.value.hint or "")
    assert again.uids.of("blog", "web", range(790000, 790003)) == 790002


def test_ports_avoid_what_others_have_taken(store: Store) -> None:
    among = range(20000, 20003)
    taken = {20000}
    web = store.ports.of("shop", "web", among, taken.__contains__)
    assert web == 20001
    taken.add(web)  # by our own gateway
    assert store.ports.of("shop", "web", among, taken.__contains__) == web
    assert store.ports.of("shop", "api", among, taken.__contains__) == 20002
    with pytest.raises(UserError, match="all of 20000 to 20002 are in use"):
        store.ports.of("shop", "docs", among, taken.__contains__)
    store.ports.forget("shop", "web")
    taken.clear()
    assert store.ports.of("shop", "docs", among, taken.__contains__) == 20000


def test_meta(store: Store) -> None:
    assert store.meta.get("boot") is None
    store.meta.put("boot", "1")
    store.meta.put("boot", "2")
    assert store.meta.get("boot") == "2"
    store.meta.remove("boot")
    assert store.meta.get("boot") is None
