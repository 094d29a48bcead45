"""Whose build is next: round robin over any queue, and first come first served for each."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.control.bakery.turns import in_turn
from fourfold.store.tables.bakes import Bake

ACTORS = st.sampled_from(["ann", "bob", "cy", ""])


def queue(*actors: str) -> list[Bake]:
    """One build for each name, in that order: `ann0`, `bob1`, …"""
    return [
        Bake(f"{actor}{number}", "app", "web", "vm", "raw", "s", {}, actor, float(number))
        for number, actor in enumerate(actors)
    ]


@pytest.mark.parametrize(
    ("actors", "served", "order"),
    [
        ((), {}, []),
        (("ann", "ann", "ann", "bob"), {}, ["ann0", "bob3", "ann1", "ann2"]),
        (("ann", "ann", "bob"), {"ann": 5.0}, ["bob2", "ann0", "ann1"]),
        (("ann", "bob", "ann", "bob"), {"ann": 7.0, "bob": 5.0}, ["bob1", "ann0", "bob3", "ann2"]),
    ],
)
def test_in_turn(actors: tuple[str, ...], served: dict[str, float], order: list[str]) -> None:
    assert [row.id for row in in_turn(queue(*actors), served)] == order


@given(st.lists(ACTORS, max_size=30), st.dictionaries(ACTORS, st.floats(0, 1e9)))
def test_nobody_is_passed_over(actors: list[str], served: dict[str, float]) -> None:
    """Between two builds of one user, each of the others that waits has one; nothing is lost or made twice."""
    waiting = queue(*actors)
    order = in_turn(waiting, served)
    assert sorted(row.id for row in order) == sorted(row.id for row in waiting)
    for actor in set(actors):
        own = [row for row in order if row.actor == actor]
        assert own == [row for row in waiting if row.actor == actor]
        places = [order.index(row) for row in own]
        for first, second in pairwise(places):
            between = [row.actor for row in order[first + 1 : second]]
            assert len(set(between)) == len(between)
            assert set(between) == {row.actor for row in order[first + 1 :]} - {actor}
