"""Every route has a rule, and the rules are what docs/access.md says."""

from __future__ import annotations

from typing import cast

import pytest
from starlette.routing import Route, WebSocketRoute

from fourfold.api.app import create_app
from fourfold.api.network.matching import rule_name
from fourfold.api.network.rights import RULES, allows
from fourfold.control.facade import Facade

APP = create_app(cast(Facade, None))


def names() -> set[str]:
    found = set()
    for route in APP.router.routes:
        assert isinstance(route, Route | WebSocketRoute), f"{route} is of a kind that nobody guards"
        methods = route.methods or set() if isinstance(route, Route) else {""}
        found |= {rule_name(route, method) for method in methods}
    return found


def test_every_route_has_one_and_no_other() -> None:
    assert names() == set(RULES)


@pytest.mark.parametrize("name", sorted(RULES))
def test_who_only_reads_changes_nothing(name: str) -> None:
    method = name.partition(" ")[0]
    harmless = ("/cost", "/advice")
    if RULES[name].role == "read":
        assert method == "GET" or name.endswith(harmless)
    else:
        assert method != "GET" or name == "GET /v1/tokens" or "artifact" in name  # which has a whole source


def test_roles_are_in_order() -> None:
    assert [(a, b) for a in ("read", "deploy", "admin") for b in ("read", "deploy", "admin") if allows(a, b)] == [
        ("read", "read"), ("deploy", "read"), ("deploy", "deploy"),
        ("admin", "read"), ("admin", "deploy"), ("admin", "admin"),
    ]  # fmt: skip
