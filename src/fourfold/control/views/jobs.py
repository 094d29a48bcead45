"""Jobs and their runs."""

from __future__ import annotations

from typing import Literal

from fourfold.control.views.base import View
from fourfold.spec.model import Pattern


class RunView(View):
    """A run of a job, with all its tries."""

    id: str
    """Of its instance too: what `logs` names its lines by."""
    service: str
    release: int
    pattern: Pattern
    source: str
    """What it comes from: run, schedule, s3, …"""
    actor: str
    state: Literal["running", "retrying", "ok", "failed", "timeout", "stopped"]
    attempts: int
    created_at: str
    ended_at: str | None
    seconds: float
    """Up to now, while it is under way."""
    code: int | None
    """Exit code of the last try that has ended."""
    reason: str | None
    """Why it failed, or was stopped."""


class JobView(View):
    """What a job does, in `status`."""

    running: int
    last: RunView | None
    """The newest run that has ended."""
    next_at: str | None
    """When a schedule starts the next one."""
