"""Webhooks."""

from __future__ import annotations

from fourfold.control.views.base import View


class HookView(View):
    """A webhook of an app, and how it does."""

    host: str
    """`https://hooks.example.com`: what is shown of its url."""
    on: list[str]
    format: str
    signed: bool
    delivered: int
    given_up: int
    """Events that it never took."""
    failing_since: str | None
    """None: it took the last one."""
    error: str | None


class HookTestView(View):
    """What came of sending a test event to a webhook."""

    host: str
    error: str | None
    """None: it was taken."""
