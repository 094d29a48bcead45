"""What an `up` would do to one service, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fourfold.control.deploying.changes import Change, Wish, change_of, overrides_for
from fourfold.spec.fingerprint import fingerprint
from fourfold.spec.model import Service
from fourfold.store.model import Build
from tests.control.rig import Rig, rigged
from tests.store.samples import build, release, service_row

SERVICE = Service.model_validate({"source": "./x", "run": "x"})
WISH = Wish("web", SERVICE, "source", "")
CONTAINER = {"pattern": "container"}


def deployed(rig: Rig, *patterns: str, **given: Any) -> None:
    made = release("web", 2, spec=fingerprint(SERVICE), source="source")
    with rig.registry.transaction():
        rig.registry.add_release(made)
        for pattern in patterns or ("process",):
            rig.registry.put_build(build("web", 2, pattern=pattern))
        rig.registry.put_service(service_row("web", release=2, **given))


def change(rig: Rig, wish: Wish, *lost: str) -> Change:
    def is_there(build: Build | None) -> bool:
        return build is not None and build.pattern not in lost

    return change_of(rig.registry, "shop", wish, is_there)


@rigged
async def test_nothing(rig: Rig) -> None:
    deployed(rig)
    assert change(rig, WISH) == Change("web", "keep")


@rigged
async def test_what_was_built_is_lost(rig: Rig) -> None:
    deployed(rig)
    assert change(rig, WISH, "process") == Change("web", "deploy", ("what was built of it is lost",), True)


@rigged
async def test_it_is_to_be_built_again(rig: Rig) -> None:
    deployed(rig)
    assert change(rig, replace(WISH, rebuild=True)) == Change("web", "deploy", ("built again",), True)


@rigged
async def test_the_first_move_builds_for_the_other_pattern_and_those_after_it_do_not(rig: Rig) -> None:
    wish = replace(WISH, overrides=CONTAINER)
    moves = ("pattern process -> container",)
    deployed(rig)
    assert change(rig, wish) == Change("web", "deploy", moves, build=True)
    with rig.registry.transaction():
        rig.registry.put_build(build("web", 2, pattern="container"))
    assert change(rig, wish) == Change("web", "deploy", moves, build=False)
    assert change(rig, wish, "container") == Change("web", "deploy", moves, build=True)
    assert change(rig, wish, "process") == Change("web", "deploy", moves, build=False)


@rigged
async def test_it_moves_as_the_file_says_or_back_when_overrides_are_forgotten(rig: Rig) -> None:
    deployed(rig, "process", "container", overrides=CONTAINER)
    assert change(rig, replace(WISH, overrides=CONTAINER)) == Change("web", "keep")
    assert change(rig, WISH) == Change("web", "deploy", ("pattern container -> process",))
    in_file = replace(WISH, spec=SERVICE.model_copy(update=CONTAINER))
    assert change(rig, in_file) == Change("web", "keep")


@rigged
async def test_the_block_of_another_pattern_changes_nothing_until_it_is_used(rig: Rig) -> None:
    deployed(rig, "process", "container")
    wish = replace(WISH, spec=Service.model_validate({**SERVICE.model_dump(), "container": {"base": "scratch"}}))
    assert change(rig, wish) == Change("web", "keep")
    reasons = ("container.base changed", "pattern process -> container")
    assert change(rig, replace(wish, overrides=CONTAINER)) == Change("web", "deploy", reasons, build=True)


@rigged
async def test_a_release_from_before_a_key_there_was_is_like_one_with_its_default(rig: Rig) -> None:
    old = {key: value for key, value in fingerprint(SERVICE).items() if key not in ("container", "image")}
    with rig.registry.transaction():
        rig.registry.add_release(release("web", 2, spec=old, source="source"))
        rig.registry.put_build(build("web", 2))
        rig.registry.put_service(service_row("web", release=2))
    assert change(rig, WISH) == Change("web", "keep")
    moved = change(rig, replace(WISH, overrides=CONTAINER))
    assert moved == Change("web", "deploy", ("pattern process -> container",), build=True)


@pytest.mark.parametrize(
    ("kept", "given", "reset", "result"),
    [
        ({}, {}, False, {}),
        ({"instances": 4}, CONTAINER, False, {"instances": 4, "pattern": "container"}),
        ({"instances": 4}, CONTAINER, True, CONTAINER),
        (CONTAINER, {"pattern": "process"}, False, {}),
        ({"instances": 1}, {}, False, {}),
    ],
)
def test_overrides(kept: dict[str, Any], given: dict[str, Any], reset: bool, result: dict[str, Any]) -> None:
    """What a command gives wins over what is kept; what the file says too is none."""
    assert overrides_for(service_row("web", overrides=kept), given, reset, SERVICE) == result
