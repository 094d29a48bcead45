"""What a comparison takes away: its candidates, and never an app of a user, whatever it is called."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock, patch

import pytest

from fourfold.control.comparing.candidate import new_name
from fourfold.control.comparing.comparing import Comparing
from fourfold.control.comparing.left import TO_TAKE_AWAY, is_candidate, left
from fourfold.control.deploying.checks import refuse_candidate
from fourfold.errors import UserError
from tests.control.rig import Rig, rigged
from tests.store.samples import app_row

NAME = "compare-ab12-vm"


@rigged
async def test_an_app_of_a_user_that_is_called_like_one_is_left_alone(rig: Rig) -> None:
    with rig.registry.transaction():
        rig.registry.put_app(app_row(NAME))
    assert left(rig.store) == []
    refuse_candidate(rig.registry, NAME, None)


@rigged
async def test_a_candidate_is_for_nobody_to_bring_up_as_soon_as_it_is_built(rig: Rig) -> None:
    with rig.registry.transaction():
        rig.store.meta.put(TO_TAKE_AWAY + NAME, "shop")
    assert left(rig.store) == [NAME]
    with pytest.raises(UserError, match="that is what a comparison of shop runs now"):
        refuse_candidate(rig.registry, NAME, None)
    refuse_candidate(rig.registry, NAME, "shop")


def test_a_name_is_one_that_nobody_has() -> None:
    with patch("fourfold.control.comparing.candidate.random.token_hex", side_effect=["ab12", "cd34"]):
        assert new_name("vm", {NAME}.__contains__) == "compare-cd34-vm"


def test_who_calls_it_off_while_all_is_taken_away_waits_for_that_and_gets_no_comparison() -> None:
    async def run() -> bool:
        may_end, is_gone = asyncio.Event(), False

        async def take_all_away(names: list[str]) -> list[str]:
            nonlocal is_gone
            await may_end.wait()
            is_gone = True
            return []

        comparing = Comparing(Mock(), Mock())
        with patch.object(comparing, "_candidates", Mock(take_all_away=take_all_away)):
            leaving = asyncio.create_task(comparing._leave_nothing(Mock(names=[NAME])))
            for _ in range(2):  # twice: somebody loses patience
                await asyncio.sleep(0)
                leaving.cancel()
            await asyncio.sleep(0)
            assert not leaving.done()
            may_end.set()
            with pytest.raises(asyncio.CancelledError):
                await leaving
        return is_gone

    assert asyncio.run(run())


def test_what_cannot_be_taken_away_is_tried_again() -> None:
    """And nothing that a comparison has begun meanwhile."""
    there, tries = {NAME, "compare-ab12-process"}, []

    async def take_all_away(names: list[str]) -> list[str]:
        tries.append(names)
        there.discard(names[0])
        there.add("compare-cd34-vm")
        return [f"cannot take {name} away" for name in names if name in there]

    comparing = Comparing(Mock(), Mock())
    with (
        patch.object(comparing, "_candidates", Mock(take_all_away=take_all_away)),
        patch("fourfold.control.comparing.comparing.left", lambda store: sorted(there)),
        patch("fourfold.control.comparing.comparing.PAUSES", (0.0, 0.0)),
    ):
        asyncio.run(comparing.sweep())
    assert tries == [["compare-ab12-process", NAME], [NAME]]


def test_which_names_are_of_candidates() -> None:
    beside, users = app_row(NAME, candidate_of="shop"), app_row(NAME)
    assert is_candidate(NAME, {NAME: beside}) and is_candidate(NAME, {})
    assert not is_candidate(NAME, {NAME: users}) and not is_candidate("compare-us", {})
    assert is_candidate(new_name("container", lambda name: False), {})
