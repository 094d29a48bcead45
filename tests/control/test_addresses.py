from __future__ import annotations

from ipaddress import IPv4Interface

import pytest

from fourfold.control.addresses import last_given, next_free
from tests.store.samples import instance

SMALL = IPv4Interface("10.0.0.1/29")
"""Six hosts, the bridge among them."""


@pytest.mark.parametrize(
    ("used", "last", "expected"),
    [
        ("", None, "10.0.0.2"),
        ("2 3", None, "10.0.0.4"),
        ("2", "10.0.0.4", "10.0.0.5"),
        ("", "10.0.0.6", "10.0.0.2"),
        ("6 2", "10.0.0.5", "10.0.0.3"),
        ("2 3 4 6", "10.0.0.2", "10.0.0.5"),
        ("2 3 4 5 6", "10.0.0.2", None),
        ("", "10.9.9.9", "10.0.0.2"),
    ],
)
def test_the_next_one(used: str, last: str | None, expected: str | None) -> None:
    assert next_free(SMALL, {f"10.0.0.{number}" for number in used.split()}, last) == expected


def test_all_are_given_before_one_is_given_again() -> None:
    bridge, last, given = IPv4Interface("10.0.5.9/24"), None, []
    for _ in range(253):
        last = next_free(bridge, (), last)
        assert last is not None
        given.append(last)
    assert len(set(given)) == 253 and "10.0.5.9" not in given
    assert next_free(bridge, (), last) == given[0]


def test_a_new_daemon_goes_on_after_the_one_that_came_last() -> None:
    rows = [
        instance("a", created_at=1.0, address="10.0.0.6"),
        instance("b", created_at=3.0, address="10.0.0.3", state="exited"),
        instance("c", created_at=2.0, address="10.0.0.5"),
        instance("d", created_at=4.0),
    ]
    assert last_given(rows) == "10.0.0.3"
    assert last_given(rows[3:]) is None
