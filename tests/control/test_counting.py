"""How many instances a service is to have: what its file, its load and commands say, and who wins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fourfold.control.deploying.changes import Change, Wish
from fourfold.control.goals import desired, restored, rollback_point
from fourfold.control.scaling.counting import is_scaled, most_of, moved_with, set_to, with_scaling
from fourfold.control.scaling.status import scaling_view, told
from fourfold.plan.scaling import Decision
from fourfold.spec.fingerprint import fingerprint
from fourfold.spec.model import Service
from fourfold.store.model import ServiceRow
from tests.control.rig import Rig, rigged
from tests.control.test_changes import change, deployed
from tests.store.samples import build, service_row

FILE: dict[str, Any] = {"port": 80, "run": "x", "instances": {"min": 2, "max": 8, "per_instance": {"rps": 50}}}
SPEC = Service.model_validate(FILE)
assert SPEC.scaling is not None
SCALING = SPEC.scaling.model_dump(mode="json")
WISH = Wish("web", SPEC, "source", "")


def scaled(count: int | None = 4, **given: Any) -> ServiceRow:
    why = {"scaled_at": 100.0, "scaled_why": "busy"} if count is not None else {}
    return service_row("web", **({"instances": 2, "scaling": SCALING, "scaled": count} | why | given))


PINNED = {"instances": 5}


@pytest.mark.parametrize(
    ("row", "count", "most", "says"),
    [
        (service_row("web", instances=3), 3, 3, False),
        (scaled(), 4, 8, True),
        (scaled(None), 2, 8, True),
        (scaled(12), 8, 8, True),
        (scaled(overrides=PINNED), 5, 5, False),
        (scaled(overrides={"pattern": "function"}), 2, 2, False),
        (scaled(overrides={"pattern": "shared"}), 1, 2, False),
        (scaled(overrides={"pattern": "vm"}), 4, 8, True),
        (scaled(stopped=True), 4, 8, False),
    ],
)
def test_whose_word_counts(row: ServiceRow, count: int, most: int, says: bool) -> None:
    assert (desired(row), most_of(row), is_scaled(row)) == (count, most, says)


def test_commands() -> None:
    pinned = set_to(scaled(), 5, in_file=False)
    assert (desired(pinned), is_scaled(pinned)) == (5, False)
    freed = set_to(pinned, None, in_file=False)
    assert (desired(freed), freed.scaled_why, is_scaled(freed)) == (5, "", True), "it begins with as many as there are"
    assert set_to(scaled(), None, in_file=False) == scaled(), "nothing to take back"
    assert desired(set_to(scaled(), 2, in_file=False)) == 2, "two is the least, and now it is all"
    written = set_to(scaled(overrides=PINNED), 6, in_file=True)
    assert (written.instances, written.scaling, written.overrides) == (6, None, {})
    plain = service_row("web", instances=3, overrides=PINNED)
    assert set_to(plain, None, in_file=False).overrides == set_to(plain, 3, in_file=False).overrides == {}


def test_what_another_file_leaves_of_the_count() -> None:
    new = service_row("web", instances=2)
    assert with_scaling(new, SCALING, scaled()).scaled_why == "busy"
    assert desired(with_scaling(new, SCALING | {"max": 3}, scaled())) == 3
    assert desired(with_scaling(new, SCALING, service_row("web", instances=6))) == 6
    assert desired(with_scaling(new, SCALING, None)) == 2
    assert with_scaling(new, None, scaled()).scaled is None


def test_nothing_that_is_undone_brings_an_old_count_back() -> None:
    before = rollback_point(scaled(3))
    assert desired(restored(scaled(7), before)) == 7
    assert desired(restored(service_row("web", instances=6, scaled=7), before)) == 7
    assert desired(restored(service_row("web", instances=2), before)) == 3, "nor does it take any away"
    number = rollback_point(service_row("web", instances=3))
    assert desired(restored(scaled(7), number)) == 3
    del number["scaling"]  # stored by a version that had none
    assert desired(restored(scaled(7), number)) == 3
    old = scaled(3)
    assert moved_with(replace(old, release=2), old, scaled(6)).scaled == 6
    assert moved_with(replace(old, scaled=5), old, old).scaled == 5


@rigged
async def test_what_an_up_changes(rig: Rig) -> None:
    deployed(rig)
    with rig.registry.transaction():
        row = rig.registry.services["shop.web"]
        made = replace(rig.registry.release("shop.web", 2), number=3, spec=fingerprint(SPEC))
        rig.registry.add_release(made)
        rig.registry.put_build(build("web", 3))
        rig.registry.put_service(replace(row, release=3, instances=2, scaling=SCALING, scaled=4))
    assert change(rig, replace(WISH, counted=4)) == Change("web", "keep")
    wider = Service.model_validate(FILE | {"instances": FILE["instances"] | {"max": 9}})
    told = "instances 2-8 at 50 rps -> 2-9 at 50 rps"
    assert change(rig, replace(WISH, spec=wider, counted=4)) == Change("web", "scale", (told,))
    narrow = Service.model_validate(FILE | {"instances": FILE["instances"] | {"max": 3}})
    assert change(rig, replace(WISH, spec=narrow, counted=4)) == Change("web", "scale", ("instances 4 -> 3",))
    number = Service.model_validate(FILE | {"instances": 4})
    assert change(rig, replace(WISH, spec=number)) == Change("web", "scale", ("instances 2-8 at 50 rps -> 4",))
    assert change(rig, replace(WISH, spec=wider, overrides={"instances": 4})) == Change("web", "keep")


@pytest.mark.parametrize(
    ("row", "last", "found", "todo"),
    [
        (
            scaled(),
            Decision(4, "190 requests per second, 50 for each instance"),
            [
                "its load says how many there are, from 2 to 8 at 50 rps",
                "it has 4 since 1970-01-01T00:01:40Z: busy",
                "as last seen: 190 requests per second, 50 for each instance",
            ],
            [],
        ),
        (
            scaled(None),
            Decision(8, "much", 11),
            [
                "its load says how many there are, from 2 to 8 at 50 rps",
                "as last seen: much",
                "its load is for 11 instances, 8 is all it may have",
            ],
            ["raise instances.max of web"],
        ),
        (
            scaled(overrides=PINNED),
            None,
            ["its load does not say how many there are: a command set it to 5; "
             "`fourfold scale web=auto` lets its load say"],
            [],
        ),
        (
            scaled(overrides={"pattern": "shared"}),
            None,
            ["its load does not say how many there are: one of it runs in each instance of its group"],
            [],
        ),
    ],
)  # fmt: skip
def test_it_is_told(row: ServiceRow, last: Decision | None, found: list[str], todo: list[str]) -> None:
    view = scaling_view(row, (100.0, last) if last is not None else None)
    assert view is not None
    assert told(view, "web", 4) == (found, todo)
    assert scaling_view(service_row("web"), None) is None
