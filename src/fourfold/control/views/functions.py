"""Events that services get: invoked, kept, given up."""

from __future__ import annotations

from fourfold.control.views.base import View


class QueuedView(View):
    """An event that was kept to be delivered."""

    id: str
    """Its request id."""


class FailedView(View):
    """An event that was given up."""

    id: str
    service: str
    source: str
    """What it came from: invoke, schedule, s3, ses, on_failure."""
    created_at: str
    failed_at: str
    attempts: int
    reason: str
    """RetriesExhausted or EventAgeExceeded."""
    error: str
    """What the service last failed with: Unhandled, Handled, or a status."""
    payload: str
    """Its first 64 KiB, as text."""
    size_bytes: int
    answer: str
    """What the service last answered: its first 4 KiB, as text."""


class ReplayedView(View):
    ids: list[str]


class InvocationView(View):
    """How one event ended."""

    request_id: str
    status: int
    """200: it was answered, by the service or with `error`; 429: throttled; 503: it cannot run now."""
    payload: str
    """What the service answered, as a rule JSON; what went wrong, with `error`."""
    error: str | None
    """`Unhandled` or `Handled`."""
    log: str | None
    """The last 4 KiB of its log, when they were asked for."""
    version: str
