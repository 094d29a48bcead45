"""Instances: how they do, and what they take of this host."""

from __future__ import annotations

from typing import Literal

from fourfold.control.views.base import AnyPattern, View


class ExitView(View):
    code: int | None
    signal: int | None
    oom: bool
    at: str
    reason: str


class PastExitView(ExitView):
    instance: str
    asked: bool
    """Whether it ended because it was to; else by itself."""


How = Literal["measured", "estimated", "unknown"]
"""What a number is worth; unknown: it is null."""


class TrafficView(View):
    """What an instance was asked through the gateway, since it came up."""

    requests: int
    errors_5xx: int
    """And what it did not answer."""
    errors_4xx: int
    in_flight: int
    response_seconds: float
    """Mean of the last ones."""


class SandboxesView(View):
    """What an invoker does."""

    states: dict[str, int]
    """State -> sandboxes in it: `starting`, `busy`, `idle`, `frozen`, …"""
    waiting: int
    """Events that have no sandbox yet."""


State = Literal["starting", "running", "ready", "unready", "draining", "stopping", "backoff", "crash-loop"]
"""`running`: a job, or a program beside a service; they are never ready. `backoff`, `crash-loop`: it has ended, and is
started again after a while."""


class InstanceView(View):
    id: str
    release: int
    pattern: AnyPattern
    """The one it runs under; its service may be moving to another."""
    state: State
    address: str | None
    pid: int | None
    host: str | None
    """Instance of its group that it lives in; None: one of its own."""
    restarts: int
    started_at: str | None
    ready_after: float | None
    cpu_seconds: float | None
    memory_bytes: int | None
    exit: ExitView | None
    cpu: How = "measured"
    memory: How = "measured"
    traffic: TrafficView | None = None
    """A few seconds old. None: the gateway sends it nothing."""
    sandboxes: SandboxesView | None = None
    """Of pattern function, when it answers."""


class GuestView(View):
    """A virtual machine as it sees itself; what its processes on this host take stands beside it."""

    cpu_seconds: float
    """Of the service."""
    memory_bytes: int
    """Used by all in the guest."""
    memory_total: int
    processes: int


class TopRow(View):
    app: str
    service: str
    instance: str
    pattern: AnyPattern
    host: str | None = None
    """The instance whose process it shares, or whose child it is."""
    state: State
    cpu_percent: float | None
    """Of one core, since the last look."""
    cpu_seconds: float | None
    cpu: How = "measured"
    memory_bytes: int | None
    memory: How = "measured"
    memory_limit: int | None
    """Of the same as `memory_bytes`: of a virtual machine, all that it may take of this host."""
    processes: int | None
    """This and what follows is null where it has no process of its own."""
    threads: int | None
    descriptors: int | None
    read_bytes: int | None
    written_bytes: int | None
    traffic: TrafficView | None = None
    requests_per_second: float | None = None
    """Since the last look."""
    guest: GuestView | None = None
    """Of virtual machines that answer."""
