"""Groups and members as control sees them: what a member has of its group, goals, counts, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fourfold.control.deploying.changes import Change, Wish, change_of
from fourfold.control.goals import goal_of
from fourfold.control.groups.groups import (
    check_groups,
    check_restart,
    check_rollback,
    check_scale,
    members,
    missing,
    spec_of,
)
from fourfold.control.reporting.status import Status
from fourfold.errors import UserError
from fourfold.launch.model import Powers
from fourfold.spec.app import App
from fourfold.spec.fingerprint import fingerprint
from fourfold.spec.parse import parse_json
from tests.control.rig import Rig, rigged
from tests.store.samples import build, deployment, instance, release, service_row

PAGES: dict[str, Any] = {"kind": "python", "env": {"LEVEL": "info"}}
MEMBER: dict[str, Any] = {"pattern": "shared", "port": 80, "shared": {"group": "pages"}}


def app_of(pages: dict[str, Any] = PAGES, **services: dict[str, Any]) -> App:
    return parse_json({"app": "shop", "groups": {"pages": pages}, "services": services or {"one": MEMBER}})


def wish(app: App, name: str, **overrides: Any) -> Wish:
    return Wish(name, spec_of(app, name), "source", "", overrides)


def deployed(rig: Rig, app: App, *names: str, number: int = 1, **given: Any) -> None:
    with rig.registry.transaction():
        for name in names:
            spec = spec_of(app, name)
            rig.registry.add_release(release(name, number, spec=fingerprint(spec), source="source"))
            rig.registry.put_build(build(name, number, pattern=spec.pattern))
            pattern, instances = spec.pattern, spec.instances
            rig.registry.put_service(
                service_row(name, **({"release": number, "pattern": pattern, "instances": instances} | given))
            )


def change(rig: Rig, wanted: Wish) -> Change:
    return change_of(rig.registry, "shop", wanted, lambda build: build is not None)


def test_a_member_has_its_groups_kind_mode_and_runtime_under_every_pattern() -> None:
    pages = {"kind": "python", "mode": "forked", "runtime": "python3.11"}
    moved_out = app_of(pages, one=MEMBER | {"pattern": "process"}, two={"run": "x"})
    inside = spec_of(app_of(pages), "one")
    assert (inside.shared.kind, inside.shared.mode, inside.runtime) == ("python", "forked", "python3.11")
    assert fingerprint(spec_of(moved_out, "one")) == fingerprint(inside), "moving it needs no new release"
    assert spec_of(moved_out, "two") == moved_out.services["two"]


@rigged
async def test_goals_of_hosts_and_guests(rig: Rig) -> None:
    deployed(rig, app_of(PAGES | {"instances": 2}), "pages", "one", instances=2)
    assert (goal_of(rig.registry, "shop.pages").host, goal_of(rig.registry, "shop.pages").count) == (None, 2)
    goal = goal_of(rig.registry, "shop.one")
    assert (goal.host, goal.count, goal.needs) == ("shop.pages", 1, ("shop.pages",))
    with rig.registry.transaction():
        rig.registry.put_service(replace(rig.registry.services["shop.one"], overrides={"pattern": "process"}))
    assert (goal_of(rig.registry, "shop.one").host, goal_of(rig.registry, "shop.one").count) == (None, 2)
    with rig.registry.transaction():
        rig.registry.put_service(replace(rig.registry.services["shop.one"], overrides={"instances": 0}))
    assert goal_of(rig.registry, "shop.one").count == 1, "it was scaled to that as a process"
    assert change(rig, wish(app_of(), "one", instances=0)).kind == "keep"


@rigged
async def test_what_a_changed_group_deploys(rig: Rig) -> None:
    app = app_of()
    deployed(rig, app, "pages", "one")
    assert change(rig, wish(app, "pages")).kind == change(rig, wish(app, "one")).kind == "keep"
    more = app_of(PAGES | {"instances": 2})
    assert change(rig, wish(more, "pages")) == Change("pages", "scale", ("instances 1 -> 2",))
    assert change(rig, wish(more, "one")).kind == "keep"
    larger = app_of(PAGES | {"resources": {"memory": "64Mi"}})
    assert change(rig, wish(larger, "pages")) == Change("pages", "deploy", ("resources.memory added",), True)
    assert change(rig, wish(larger, "one")).kind == "keep"
    forked = app_of(PAGES | {"mode": "forked"})
    assert change(rig, wish(forked, "one")) == Change("one", "deploy", ("shared.mode changed",), True)


@rigged
async def test_a_member_brings_its_group_where_that_does_not_run(rig: Rig) -> None:
    app = app_of(one=MEMBER, two=MEMBER | {"pattern": "process"})
    one, two = wish(app, "one"), wish(app, "two")
    assert missing(rig.registry, app, [one]) == ["pages"]
    assert missing(rig.registry, app, [two]) == missing(rig.registry, app, [wish(app, "pages"), one]) == []
    deployed(rig, app, "pages")
    assert missing(rig.registry, app, [one]) == []
    with rig.registry.transaction():
        rig.registry.add_deployment(deployment("pages", state="failed"))
    assert missing(rig.registry, app, [one]) == ["pages"]
    deployed(rig, app, "pages", number=2, stopped=True)
    assert missing(rig.registry, app, [replace(two, overrides={"pattern": "shared"})]) == ["pages"]


def considered(rig: Rig, app: App, *wishes: Wish) -> None:
    check_groups(rig.registry, app, wishes)


@pytest.mark.parametrize(
    ("services", "named", "why"),
    [
        ({"one": {"port": 80}}, ["one"], "cannot run one in a group: it does not say in which"),
        ({"one": MEMBER | {"pattern": "process", "runtime": "python3.1"}}, ["one"], "have the runtime of their group"),
        ({"one": MEMBER, "two": MEMBER | {"pattern": "process", "env": {"LEVEL": "debug"}}}, ["two"], None),
    ],
)
def test_refused_before_it_moves_in(
    services: dict[str, Any], named: Sequence[str], why: str | None, tmp_path: Any
) -> None:
    @rigged
    async def test(rig: Rig) -> None:
        app = app_of(PAGES, **services)
        wishes = [wish(app, name, pattern="shared") for name in named]
        if why is None:
            return considered(rig, app, *wishes)
        with pytest.raises(UserError, match=why) as refused:
            considered(rig, app, *wishes)
        assert refused.value.hint

    test(tmp_path)


@rigged
async def test_a_group_of_another_kind_needs_its_members_to_come_along(rig: Rig) -> None:
    deployed(rig, app_of(), "pages", "one")
    forked = app_of(PAGES | {"mode": "forked"})
    with pytest.raises(UserError, match="cannot deploy one without its group pages"):
        considered(rig, forked, wish(forked, "one"))
    with pytest.raises(UserError, match="cannot deploy group pages without one"):
        considered(rig, forked, wish(forked, "pages"))
    considered(rig, forked, wish(forked, "pages"), wish(forked, "one"))
    same = app_of(PAGES | {"env": {"LEVEL": "debug"}})
    considered(rig, same, wish(same, "pages"))


@rigged
async def test_members_are_not_scaled_nor_started_without_their_group(rig: Rig) -> None:
    deployed(rig, app_of(), "pages", "one")
    rows = rig.registry.services
    assert [row.name for row in members(rig.registry, "shop", "pages")] == ["one"]
    with pytest.raises(UserError, match="cannot scale one") as refused:
        check_scale(rig.registry, rows["shop.one"])
    assert "fourfold scale pages=2" in str(refused.value.hint)
    check_scale(rig.registry, rows["shop.pages"])
    check_restart(rig.registry, rows["shop.one"], ["one"])
    with rig.registry.transaction():
        rig.registry.put_service(replace(rows["shop.pages"], stopped=True))
    with pytest.raises(UserError, match="its group pages is stopped"):
        check_restart(rig.registry, rows["shop.one"], ["one"])
    check_restart(rig.registry, rows["shop.one"], ["one", "pages"])


@rigged
async def test_no_rollback_to_what_does_not_fit(rig: Rig) -> None:
    forked: dict[str, Any] = {"mode": "forked"}
    for number, had in enumerate(({}, forked | {"runtime": "python3.11"}, forked, forked), 1):
        deployed(rig, app_of(PAGES | had), "pages", "one", number=number)
    rows = rig.registry.services
    for name, why in (("pages", "that is of another kind"), ("one", "ran in is of another kind")):
        check_rollback(rig.registry, rows[f"shop.{name}"], 3)
        for past in (1, 2):
            with pytest.raises(UserError, match=why):
                check_rollback(rig.registry, rows[f"shop.{name}"], past)
    with rig.registry.transaction():
        rig.registry.put_service(replace(rows["shop.pages"], removed=True))
    with pytest.raises(UserError, match="is not there any more"):
        check_rollback(rig.registry, rows["shop.one"], 3)


@rigged
async def test_status(rig: Rig) -> None:
    deployed(rig, app_of(PAGES | {"instances": 2}), "pages", "one")
    with rig.registry.transaction():
        rig.registry.put_instance(instance("shop.one-1-a", "one", pattern="shared", host="shop.pages-1-a"))
    status = Status(rig.registry, Powers, lambda name: None, lambda app: None)
    pages, one = (status.service(rig.registry.services[f"shop.{name}"]) for name in ("pages", "one"))
    assert (pages.pattern, pages.kind, pages.group, pages.desired) == ("group", "python", None, 2)
    assert (one.pattern, one.kind, one.group, one.desired, one.ready) == ("shared", None, "pages", 2, 1)
    assert one.instances[0].host == "shop.pages-1-a"
    with rig.registry.transaction():
        rig.registry.put_service(replace(rig.registry.services["shop.pages"], stopped=True))
    one = status.service(rig.registry.services["shop.one"])
    assert (one.stopped, one.desired) == (True, 0)
