"""What a comparison takes away: its candidates, and never an app of a user, whatever it is called."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from fourfold.control.checks import refuse_candidate
from fourfold.control.comparing.candidate import new_name
from fourfold.control.comparing.left import TO_TAKE_AWAY, left
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
