"""Deployments with steps in rows: who gets which part of the requests, and what other commands make of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from fourfold.control.delivering.turns import Turns
from fourfold.control.deploying import stages
from fourfold.control.deploying.canaries import Canaries
from fourfold.control.deploying.promoting import Promoting
from fourfold.control.goals import rollback_point, shares
from fourfold.control.scaling.counting import with_scaling
from fourfold.errors import ConflictError
from fourfold.gateway.model import InstanceStats
from fourfold.plan import model as m
from fourfold.spec.deploy import Deploy
from fourfold.store.model import InstanceRow
from tests.control.life import Life, Want, lived
from tests.store.samples import deployment, instance, service_row

KEY = "shop.web"
MANUAL: dict[str, Any] = {"strategy": "canary", "steps": [{"weight": 20}, {"weight": 50}], "min_requests": 0}
BLUE_GREEN: dict[str, Any] = {"strategy": "blue-green", "promote": "manual"}


def rows(**counts: int) -> list[InstanceRow]:
    """`new`, `old`, `left`: ready ones of a revision."""
    return [
        instance(f"{revision}{number}", revision=revision, state="ready")
        for revision, count in counts.items()
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("there", "part", "back", "expected"),
    [
        ({"old": 4, "new": 1}, 20, False, {"old": 1, "new": 1}),
        ({"old": 4, "new": 1}, 0, False, {"old": 1, "new": 0}),
        ({"old": 4, "new": 4}, None, False, {"old": 1, "new": 1}),
        ({"new": 1}, 5, False, {"new": 1}),
        ({"old": 4}, 5, False, {"old": 1}),
        # what an earlier canary left gets nothing, unless it is needed
        ({"old": 4, "new": 1, "left": 1}, 50, False, {"old": 1, "new": 4, "left": 0}),
        ({"old": 3, "new": 1, "left": 1}, 50, False, {"old": 1, "new": 4, "left": 1}),
        # going back: what failed gets nothing as soon as the others can carry it
        ({"new": 4, "old": 1}, None, True, {"new": 1, "old": 0}),
        ({"new": 3, "old": 1}, None, True, {"new": 1, "old": 1}),
        ({"new": 1, "old": 1}, 5, True, {"new": 1, "old": 0}),
        ({"old": 1}, 5, True, {"old": 1}),
    ],
)
def test_parts(there: dict[str, int], part: int | None, back: bool, expected: dict[str, int]) -> None:
    found = stages.shares(rows(**there), "new", "old", part, 4, back)
    assert {name[:-1]: weight for name, weight in found.items()} == expected
    assert len(found) == sum(there.values())


def test_answers_count_from_the_beginning_of_the_step() -> None:
    at = deployment(revision="new", marks={"new0": [10, 1], "old0": [100, 0]})
    answers = {"new0": (15, 2), "old0": (130, 3), "old1": (7, 0), "other": (9, 9)}
    assert stages.answered(at, rows(new=1, old=2), answers) == (m.Answered(5, 1), m.Answered(37, 3))
    assert stages.answered(at, rows(new=1), {}) == (m.Answered(), m.Answered())
    assert stages.forgotten([at], {"new0": (3, 1), "old0": (130, 0)}) == {"new0": (7, 0)}
    assert stages.added({"a": (1, 0)}, {"a": (2, 2), "b": (1, 1)}) == {"a": (3, 2), "b": (1, 1)}


@pytest.mark.parametrize(
    ("changes", "kind", "expected"),
    [
        ({"release": 2}, "up", True),
        ({"overrides": {"pattern": "container"}}, "deploy", True),
        ({"secrets_digest": "x"}, "up", True),
        ({"restart_nonce": 1}, "restart", False),
        ({"instances": 5}, "scale", False),
        ({"release": 2}, "rollback", False),
        ({"stopped": True, "release": 2}, "stop", False),
    ],
)
def test_what_goes_by_steps(changes: dict[str, Any], kind: str, expected: bool) -> None:
    before = service_row()
    points = rollback_point(before), rollback_point(replace(before, **changes))
    assert stages.goes_by_steps(Deploy(strategy="canary"), *points, kind) == expected
    assert not stages.goes_by_steps(Deploy(), *points, kind)
    assert not stages.goes_by_steps(Deploy(strategy="canary"), {}, points[1], kind)


def canary(life: Life, deploy: dict[str, Any] | None = None, count: int = 4) -> Promoting:
    """At the first step of release 2."""
    wanted = Want("web", ("/",), deploy=deploy or MANUAL, instances=count)
    life.up(wanted)
    life.settle()
    life.up(wanted)
    life.settle()
    return Promoting(life.registry, life.bus, life.clock, lambda: None)


def releases(life: Life) -> dict[int, int]:
    found: dict[int, int] = {}
    for row in life.registry.of_service(KEY):
        if row.state == "ready":
            found[row.release] = found.get(row.release, 0) + 1
    return found


def weights(life: Life) -> dict[int, set[int]]:
    """Release -> weights that its servers have in the gateway."""
    found: dict[int, set[int]] = {}
    for server in life.config().backends[0].servers:
        found.setdefault(life.registry.instances[server.name].release, set()).add(server.weight)
    return found


@lived
def test_promoted_from_step_to_step(life: Life) -> None:
    promoting = canary(life)
    assert releases(life) == {1: 4, 2: 1} and weights(life) == {1: {1}, 2: {1}}
    promoting.promote(KEY, full=False, actor="ann")
    life.settle()
    assert releases(life) == {1: 4, 2: 2} and weights(life) == {1: {1}, 2: {2}}
    promoting.promote(KEY, full=False, actor="ann")
    life.settle()
    assert releases(life) == {2: 4} and weights(life) == {2: {1}}
    with pytest.raises(ConflictError, match="none is under way"):
        promoting.promote(KEY, full=False, actor="ann")


@lived
def test_promoted_past_all_steps(life: Life) -> None:
    canary(life).promote(KEY, full=True, actor="ann")
    life.settle()
    assert releases(life) == {2: 4} and life.deployment(KEY).state == "done"


@lived
def test_aborted(life: Life) -> None:
    """Also with `rollback: off`: who aborts has not asked for a mess."""
    promoting = canary(life, MANUAL | {"rollback": "off"})
    promoting.abort(KEY, "ann")
    life.settle(lambda: None if life.answers("/") != "503" else pytest.fail("nobody answers"))
    ended = life.deployment(KEY)
    assert (releases(life), ended.state, ended.reason) == ({1: 4}, "rolled-back", "aborted by ann")
    with pytest.raises(ConflictError, match="none is under way"):
        promoting.abort(KEY, "ann")


@lived
def test_blue_green(life: Life) -> None:
    promoting = canary(life, BLUE_GREEN)
    assert releases(life) == {1: 4, 2: 4} and weights(life) == {1: {1}, 2: {0}}
    promoting.promote(KEY, full=False, actor="ann")
    life.step()
    assert {row.state for row in life.registry.of_service(KEY) if row.release == 1} == {"draining"}
    life.settle()
    assert releases(life) == {2: 4} and weights(life) == {2: {1}}


@lived
def test_scaled_meanwhile_it_stays_at_its_step(life: Life) -> None:
    promoting = canary(life)
    life.rescale("web", 10)
    life.settle()
    assert releases(life) == {1: 10, 2: 2} and life.deployment(KEY).step_at is not None
    told = next(event for event in life.bus.since(0, "shop", None) if "10 instances are wanted" in event.message)
    assert told.data["operation"] != life.deployment(KEY).operation, "who scales is told"
    promoting.abort(KEY, "ann")
    life.settle()
    assert releases(life) == {1: 10}


@lived
def test_its_load_asks_for_more_while_it_fails(life: Life) -> None:
    """What failed gets nothing more while the old ones are too few, and the count stays that of the load."""
    life.up(Want("web", ("/",), deploy=MANUAL))
    life.loaded("web", 4)
    life.settle()
    life.up(Want("web", ("/",), deploy=MANUAL))
    life.settle()
    promoting = Promoting(life.registry, life.bus, life.clock, lambda: None)
    life.slow.add("web")
    life.loaded("web", 10)
    life.settle()
    starting = [row.release for row in life.registry.of_service(KEY) if row.state == "starting"]
    assert sorted(starting) == [1] * 6 + [2] and releases(life) == {1: 4, 2: 1}
    promoting.abort(KEY, "ann")
    life.step()
    assert weights(life)[2] == {0}
    life.settle()
    assert weights(life) == {1: {1}}, "and it goes while those start"
    life.slow.clear()
    life.settle()
    assert (releases(life), life.deployment(KEY).state) == ({1: 10}, "rolled-back")


@lived
def test_the_machine_restarts_at_a_step(life: Life) -> None:
    """All comes back as it was, also what depends on it: at the step, which goes on by hand."""
    life.up(Want("shop", port=None, depends_on=("web",)))
    promoting = canary(life)
    life.reboot()
    life.settle()
    assert releases(life) == {1: 4, 2: 1} and weights(life) == {1: {1}, 2: {1}}
    assert [row.state for row in life.registry.of_service("shop.shop")] == ["ready"]
    promoting.promote(KEY, full=True, actor="ann")
    life.settle()
    assert (releases(life), life.deployment(KEY).state) == ({2: 4}, "done")


@lived
def test_bounds_that_are_set_meanwhile_stay_when_it_goes_back(life: Life) -> None:
    promoting = canary(life)
    row = life.registry.services[KEY]
    bounds = {"min": 2, "max": 8, "per_instance": {"rps": 9}}
    life.deployer._commit(life._operation("shop", "up"), [(row, with_scaling(row, bounds, row))])
    promoting.abort(KEY, "ann")
    life.settle()
    assert releases(life) == {1: 4} and life.registry.services[KEY].scaling == bounds


@lived
def test_stopped_meanwhile_what_served_before_starts_again(life: Life) -> None:
    canary(life)
    for work, state in ((life.deployer.stop, {}), (life.deployer.restart, {1: 4})):
        with suppress(StopIteration):
            work([KEY], life._operation("shop", "stop")).send(None)
        life.settle()
        assert releases(life) == state and life.deployment(KEY).release == 1


@lived
def test_what_failed_at_a_step_is_known_by_its_own_steps(life: Life) -> None:
    """Those of the release that it goes back to are others, or none."""
    life.up(Want("web", ("/",), instances=4))
    life.settle()
    life.up(Want("web", ("/",), deploy=MANUAL, instances=4))
    life.settle()
    lost = next(row for row in life.registry.of_service(KEY) if row.release == 1)
    life._end(lost)
    Promoting(life.registry, life.bus, life.clock, lambda: None).abort(KEY, "ann")
    life.slow.add("web")
    life.step()
    life.step()
    assert releases(life) == {1: 3}, "the canary goes before the fourth old one is there"


@lived
def test_steps_that_are_skipped_are_not_told_as_passed(life: Life) -> None:
    canary(life)
    life.broken.add(("web", 1))
    for row in life.registry.of_service(KEY):
        if row.release == 1:
            life._end(row)
    life.settle()
    told = [event.message for event in life.bus.since(0, "shop", None) if event.kind == "deploy.step"]
    assert told[-1] == "steps are skipped, nothing of the old release stays up: release 2 takes over"


@lived
def test_another_release_takes_its_place(life: Life) -> None:
    """What the canary leaves goes, and the way back is the one to what served before both."""
    promoting = canary(life)
    life.registry.answered[KEY] = (m.Answered(1000, 100), m.Answered(1000))
    life.up(Want("web", ("/",), deploy=MANUAL, instances=4))
    assert life.registry.answered == {}, "it is not judged by what the one before answered"
    assert shares(life.registry, KEY) and set(weights(life)[2]) == {0}
    life.settle()
    assert releases(life) == {1: 4, 3: 1}
    promoting.abort(KEY, "ann")
    life.settle()
    assert releases(life) == {1: 4}


@lived
def test_events_are_shared_out_by_the_same_weights(life: Life) -> None:
    canary(life, MANUAL | {"steps": [{"weight": 10}]})
    turns = Turns(life.registry)
    ready = life.registry.of_service(KEY)
    given = [turns.next(KEY, ready) for _ in range(200)]
    for row in given:
        assert row is not None
        turns.ended(row, failed=row.release == 2)
    assert sum(row.release == 2 for row in given if row is not None) in (18, 19, 20, 21)
    assert sum(errors for _, errors in turns.answers.values()) in (18, 19, 20, 21)
    assert turns.next("shop.other", []) is None


@lived
def test_a_release_that_fails_is_found_out_and_what_it_answers_is_told(life: Life) -> None:
    canary(life)
    served: dict[str, InstanceStats] = {}

    async def answered() -> dict[str, InstanceStats]:
        return served

    changes: list[int] = []
    watching = Canaries(life.registry, answered, life.bus, life.clock, lambda: changes.append(1))

    def look(requests: int, errors: int) -> None:
        for row in life.registry.of_service(KEY):
            served[row.id] = InstanceStats(row.id, requests, errors if row.release == 2 else 0, 0, 0, 0.1)
        coroutine = watching.look()
        with suppress(StopIteration):
            coroutine.send(None)

    look(50, 0)
    assert life.registry.answered[KEY] == (m.Answered(50), m.Answered(200)) and changes == [1]
    look(50, 0)
    assert changes == [1], "nothing new"
    life.clock.time += 11
    look(60, 0)
    told = [event.message for event in life.bus.since(0, "shop", None) if event.kind == "deploy.progress"]
    assert told == [
        "step 1 of 2 (20 %): 60 requests, 0 failed (old: 240, 0 failed); "
        "waits for `fourfold deploy web --promote` (or `--abort`)"
    ]
    look(70, 15)
    life.settle()
    ended = life.deployment(KEY)
    assert ended.state == "rolled-back" and "15 of 70 requests to the new release failed" in str(ended.reason)
    look(80, 15)
    assert life.registry.answered == {}


@lived
def test_events_that_only_the_daemon_before_had_counted_are_none_of_the_next_one_s(life: Life) -> None:
    promoting = canary(life)
    (new,) = [row.id for row in life.registry.of_service(KEY) if row.release == 2]
    life.registry.answers = {new: (100, 0)}
    promoting.promote(KEY, full=False, actor="ann")
    life.settle()
    events: dict[str, tuple[int, int]] = {}

    async def nothing() -> dict[str, InstanceStats]:
        return {}

    watching = Canaries(life.registry, nothing, life.bus, life.clock, lambda: None, lambda: events)
    for counted in ((0, 0), (40, 1), (103, 3)):
        events[new] = counted
        with suppress(StopIteration):
            watching.look().send(None)
        assert life.registry.answered[KEY][0] == m.Answered(*counted)
