from __future__ import annotations

from ipaddress import IPv4Interface

import pytest

from fourfold.control.instances.addresses import block_size, last_block, last_given, next_block, next_free
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


@pytest.mark.parametrize(
    ("concurrency", "provisioned", "expected"), [(0, 0, 4), (1, 0, 4), (2, 0, 4), (10, 0, 16), (14, 0, 16), (15, 0, 32)]
)
def test_how_many_addresses_an_invoker_needs(concurrency: int, provisioned: int, expected: int) -> None:
    assert block_size(concurrency, provisioned) == expected


@pytest.mark.parametrize(
    ("size", "used", "blocks", "last", "expected"),
    [
        (16, "", "", None, "10.0.0.128/28"),
        (16, "", "", "10.0.0.128/28", "10.0.0.144/28"),
        (16, "", "10.0.0.144/28", "10.0.0.128/28", "10.0.0.160/28"),
        (16, "10.0.0.130", "10.0.0.144/29 10.0.0.168/29", None, "10.0.0.176/28"),
        (16, "", "", "10.0.0.224/28", "10.0.0.128/28"),
        (16, "", "", "10.9.0.0/28", "10.0.0.128/28"),
        (64, "", "", None, "10.0.0.128/26"),
        (64, "", "10.0.0.140/30", None, None),
        (128, "", "", None, None),
        (512, "", "", None, None),
    ],
)
def test_the_next_block(size: int, used: str, blocks: str, last: str | None, expected: str | None) -> None:
    """The last one is not given: the network's broadcast address is in it."""
    bridge = IPv4Interface("10.0.0.1/24")
    assert next_block(bridge, size, used.split(), blocks.split(), last) == expected


def test_a_bridge_in_the_upper_half_keeps_its_address() -> None:
    assert next_block(IPv4Interface("10.0.0.129/24"), 16, (), (), None) == "10.0.0.144/28"


def test_addresses_of_sandboxes_are_no_containers() -> None:
    bridge = IPv4Interface("10.0.0.1/24")
    assert next_free(bridge, (), "10.0.0.127", ["10.0.0.128/28", "10.0.0.144/30"]) == "10.0.0.148"
    assert last_block([instance("a"), instance("b", block="10.0.0.144/28")]) == "10.0.0.144/28"
