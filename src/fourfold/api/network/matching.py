"""Which route a request is for, found once, before it is let in."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.routing import Match, Route, WebSocketRoute

from fourfold.api.network.rights import ADMIN, RULES, Rule

Scope = MutableMapping[str, Any]
KEPT = "fourfold.matched"
"""Where in the scope it is kept."""


@dataclass(frozen=True)
class Matched:
    rule: Rule
    parameters: dict[str, str]
    """Of the path, decoded."""


def match(app: FastAPI, scope: Scope) -> Matched | None:
    """None: there is nothing at that path, or nothing with that method."""
    if KEPT not in scope:
        scope[KEPT] = _find(app, scope)
    found = scope[KEPT]
    assert found is None or isinstance(found, Matched)
    return found


def methods(app: FastAPI, scope: Scope) -> list[str]:
    """Those that the path of a request can be asked with."""
    routes = [each for each in app.router.routes if isinstance(each, Route)]
    found = [each.methods or set() for each in routes if each.matches(scope)[0] is not Match.NONE]
    return sorted(set().union(*found))


def _find(app: FastAPI, scope: Scope) -> Matched | None:
    for route in app.router.routes:
        if not isinstance(route, Route | WebSocketRoute):
            continue
        how, child = route.matches(scope)
        if how is Match.FULL:
            return Matched(RULES.get(rule_name(route, scope.get("method", "")), ADMIN), child["path_params"])
    return None


def rule_name(route: Route | WebSocketRoute, method: str) -> str:
    """As in `RULES`; HEAD is asked for what GET is."""
    if isinstance(route, WebSocketRoute):
        return f"WEBSOCKET {route.path}"
    return f"{'GET' if method == 'HEAD' else method} {route.path}"
