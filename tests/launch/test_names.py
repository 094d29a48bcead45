from __future__ import annotations

import pytest

from fourfold.launch.names import HostNames, hostname, hosts, resolv_conf, service_address

STUB = "# by systemd\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan example.com\n"


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        ("shop.catalog-3-k7f2", "catalog-3-k7f2"),
        ("shop.catalog-run-1a2b3c", "catalog-run-1a2b3c"),
        (f"shop.{'a' * 60}-12-k7f2", f"{'a' * 55}-12-k7f2"),
        (f"shop.a-{'b' * 62}", "b" * 62),
    ],
)
def test_host_names(instance: str, expected: str) -> None:
    assert hostname(instance) == expected and len(expected) < 64


def test_it_knows_itself_and_whom_the_host_knows() -> None:
    host = "127.0.0.1 localhost\n127.0.1.1 laptop\n::1 ip6-localhost\nff02::1 ip6-allnodes\n"
    host += "10.0.0.7  db.internal db # the old one\n# 10.0.0.8 gone\n10.0.0.9\nnonsense here\n"
    assert hosts("shop.web-1-a", "10.177.0.5", HostNames(host)).splitlines() == [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "10.177.0.5\tweb-1-a",
        "10.0.0.7\tdb.internal db",
    ]


def test_services_are_called_by_their_names() -> None:
    services = {"order-desk": service_address(19_001), "db": service_address(20_255)}
    assert hosts("shop.web-1-a", "10.177.0.5", HostNames(), services).splitlines()[3:] == [
        "198.18.74.57\torder-desk order_desk",
        "198.18.79.31\tdb",
    ]


def test_a_resolver_on_an_address_of_the_host_is_not_reached() -> None:
    host = HostNames("", "nameserver 192.0.2.9\n", "nameserver 192.0.2.9\n", frozenset({"192.0.2.9"}))
    assert not host.reachable and resolv_conf(host) == ""
    assert "192.0.2.1" in resolv_conf(HostNames("", host.resolv_conf, "nameserver 192.0.2.1\n", host.addresses))


@pytest.mark.parametrize(
    ("given", "upstream", "expected"),
    [
        ("nameserver 192.0.2.53\n", "", ["nameserver 192.0.2.53"]),
        (
            STUB,
            "nameserver 192.0.2.1\nnameserver 192.0.2.2\n",
            ["nameserver 192.0.2.1", "nameserver 192.0.2.2", "options edns0 trust-ad", "search lan example.com"],
        ),
        ("nameserver 127.0.0.1\nnameserver 192.0.2.3\n", "nameserver 192.0.2.1\n", ["nameserver 192.0.2.3"]),
        ("nameserver ::1\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\n", "", []),
        ("nameserver\nnonsense\n; nameserver 192.0.2.1\n", "", []),
        ("", "", []),
    ],
)
def test_resolvers_are_those_that_are_reached_from_the_bridge(given: str, upstream: str, expected: list[str]) -> None:
    host = HostNames(resolv_conf=given, upstream=upstream)
    assert resolv_conf(host).splitlines() == expected
    assert host.reachable == any(line.startswith("nameserver") for line in expected)
