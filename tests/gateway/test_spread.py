"""What each route's own backend of HAProxy has to know of the other routes of its service."""

from __future__ import annotations

import pytest

from fourfold.gateway.model import Auth, Backend, Rule
from fourfold.gateway.spread import spread

STAFF = Auth("shop", "key", ())


@pytest.mark.parametrize(
    ("host", "guarded", "holds"),
    [
        (None, None, True), (None, "a.test", True), ("a.test", None, True), ("a.test", "a.test", True),
        ("a.test", "b.test", False), ("*.test", "a.test", True), ("a.test", "*.test", True),
        ("a.test", "*.other", False), ("b.a.test", "*.test", False), ("*.test", "*.other", False),
    ],
)  # fmt: skip
def test_a_route_holds_back_what_a_guarded_one_below_it_may_be_asked(
    host: str | None, guarded: str | None, holds: bool
) -> None:
    """Where none may be, a path is nobody's business: programs may like `..` in it."""
    rules = [Rule("shop.web", host=host, path="/a"), Rule("shop.web", host=guarded, path="/a/admin", auth=STAFF)]
    first, second = spread([Backend("shop.web", ())], rules)
    assert [rule.path for rule in first.guarded] == (["/a/admin"] if holds else [])
    assert second.guarded == ()
