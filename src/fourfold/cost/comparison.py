"""One service under several patterns, as measured: what `compare -o json` prints, and what cost and advice draw upon.

Durations in seconds, sizes in bytes, money in US dollars a month, times RFC 3339 UTC. A number that was not measured
is null: its pattern was not available, or the service has nothing to be measured so (no port, no source of its own).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fourfold.spec.base import Model

Pattern = Literal["process", "shared", "container", "vm", "function"]
PATTERNS: tuple[Pattern, ...] = ("process", "shared", "container", "vm", "function")


class Load(Model):
    """What the service was asked while it was measured."""

    source: Literal["described", "file", "recorded", "default"]
    """`--rps`; `--requests FILE`; the access log of the live service; nothing was known of it."""
    requests_per_second: float
    """0: nothing, as it has no port."""
    duration_seconds: float
    """Of each round."""
    distinct_requests: int
    examples: tuple[str, ...] = ()
    """`GET /items/1`, at most five."""


class Machine(Model):
    """Where it was measured."""

    cores: int
    memory_bytes: int
    kernel: str
    accelerator: str | None = None
    """What virtual machines ran under: `kvm` or `tcg`, which is emulation and many times slower."""


class Latency(Model):
    p50: float
    p95: float
    p99: float
    curve: tuple[tuple[float, float], ...] = ()
    """(Share of the requests, seconds within which they were answered), rising."""


class Range(Model):
    """Of the rounds in which something was measured."""

    low: float
    high: float
    rounds: int


class Facts(Model):
    """What an instance was seen to have of its own. Null: this host does not let us see."""

    own_process: bool | None = None
    own_user: bool | None = None
    own_file_system: bool | None = None
    own_network: bool | None = None
    own_kernel: bool | None = None
    kernel: str | None = None
    limits_enforced: tuple[str, ...] = ()
    limits_missing: dict[str, str] = Field(default={})
    """Limit -> why it is not enforced here."""
    setuid_files: int | None = None
    """That a program in it could reach."""
    packages: int | None = None
    """In the artifact with its base: of the system and of the language."""
    open_ports: tuple[int, ...] = ()
    files_written: tuple[str, ...] = ()
    """On its own disk while it was measured, outside volumes and /tmp: at most twenty. Gone with the instance."""
    unseen: tuple[str, ...] = ()
    """Which of `open_ports` and `files_written` say nothing, as this host does not let us see."""


class Costs(Model):
    """What it would cost in the cloud over how much traffic it has."""

    place: str
    """Where: `EC2 host` (a share of a machine that others share), `EC2`, `Fargate`, `Lambda`."""
    as_of: str | None = None
    """Year and month of the prices: `2026-11`."""
    points: tuple[tuple[float, float], ...]
    """(Requests a month, dollars a month), rising in requests."""


class BreakEven(Model):
    between: tuple[Pattern, Pattern]
    """The cheaper one below, then the cheaper one above."""
    requests_per_month: float


class PatternResult(Model):
    pattern: Pattern
    available: bool
    reason: str | None = None
    """Why it is not, or why it could not be measured to its end."""
    live: bool = False
    """The service runs under this one now."""
    build_seconds: float | None = None
    """Of everything but the shared base."""
    rebuild_seconds: float | None = None
    """After an edit of one file."""
    artifact_bytes: int | None = None
    base_bytes: int | None = None
    """Of what it shares with other artifacts; not in `artifact_bytes`."""
    start_seconds: float | None = None
    """From the start to the first good answer, as instances usually start: from a template, if there is one."""
    cold_start_seconds: float | None = None
    """The very first one of a release."""
    restart_seconds: float | None = None
    """From asking for a restart until the new instance has all the traffic."""
    idle_memory_bytes: int | None = None
    """Proportional set size (proc(5)) of all processes that belong to the instance, before it was asked anything."""
    loaded_memory_bytes: int | None = None
    """The same, after it was asked what `Load` says."""
    next_instance_memory_bytes: int | None = None
    """What one more takes beside the first; of pattern function, one more sandbox; of shared, one more member."""
    cpu_seconds_per_1000_requests: float | None = None
    requests_per_second: float | None = None
    """As many as one instance answers when it is asked for more than it can."""
    latency_seconds: Latency | None = None
    """Under `Load`, which keeps its rate whatever the answers do."""
    requests: int = 0
    errors: int = 0
    deploy_seconds: float | None = None
    """From the edit's upload to the end of its deployment, under load."""
    requests_lost_in_deploy: int | None = None
    monthly_cost: float | None = None
    """In the cloud (`costs.place`), at the traffic that the service has, or that `Load` describes."""
    own_hardware_monthly_cost: float | None = None
    """Of the share that it takes of own hardware, at the same traffic."""
    facts: Facts | None = None
    costs: Costs | None = None
    spread: dict[str, Range] = Field(default={})
    """Name of a field above -> the range of its rounds; the field has their median."""
    too_noisy: tuple[str, ...] = ()
    """Fields whose rounds differ too much to tell patterns apart by them."""
    notes: tuple[str, ...] = ()
    """What somebody must know to read the figures: `virtual machines are emulated here`."""


class Comparison(Model):
    app: str
    service: str
    release: int
    made_at: str
    quick: bool
    rounds: int
    seconds: float
    """That it took."""
    machine: Machine
    load: Load
    patterns: tuple[PatternResult, ...]
    requests_per_month: float | None = None
    """That monthly costs are for: the service's own, or those of `load`, day and night, where nobody counted."""
    break_even: tuple[BreakEven, ...] = ()
    """In the cloud."""
    noise: str | None = None
    """Why the machine was too busy for the figures to be trusted: what else took CPU, and how much."""
