"""What is stored, as values. Times are epoch seconds. Who writes what: see ARCHITECTURE.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

InstanceState = Literal["starting", "ready", "unready", "draining", "stopping", "killing", "exited", "gone"]
"""`exited`: the process has ended and may be started again; `gone`: it will not be, kept for logs and `explain`."""
DeploymentState = Literal["running", "done", "failed", "rolling-back", "rolled-back", "superseded"]
Role = Literal["serve", "before", "run"]


@dataclass(frozen=True)
class AppRow:
    name: str
    gateway: dict[str, Any]
    externals: dict[str, Any]
    file: str
    """Where the service file was on the client that last brought it up."""
    services: tuple[str, ...]
    """Names of the services that this file had."""
    updated_at: float
    candidate_of: str | None = None
    """The app that it runs beside for a comparison, which takes it away again: it calls that one's services."""


@dataclass(frozen=True)
class Release:
    """Immutable: what to run. Numbered per service from 1."""

    app: str
    service: str
    number: int
    spec: dict[str, Any]
    """`spec.model.Service` as JSON, without pattern and instances."""
    source: str
    """Digest of the source's manifest."""
    actor: str
    commit: str | None
    message: str | None
    created_at: float


@dataclass(frozen=True)
class Build:
    """What a release was built into, for one pattern. It may come long after the release: with the first move there."""

    app: str
    service: str
    number: int
    """Of the release."""
    pattern: str
    artifact: str
    """Digest of the artifact."""
    argv: tuple[str, ...]
    """What the builder found to run, or `run` as given."""
    made_at: float


@dataclass(frozen=True)
class ServiceRow:
    """Desired state of one service: what the file says, and what commands said over it."""

    app: str
    name: str
    release: int
    pattern: str
    """As the file says."""
    instances: int
    """As the file says; of a service that its load scales, how many there are at least."""
    depends_on: tuple[str, ...]
    uid: int
    """Kept for the service's whole life, volumes belong to it."""
    internal_port: int | None
    stopped: bool = False
    removed: bool = False
    """`down` or `--prune`: stop it, then forget it (`down` keeps history and volumes)."""
    restart_nonce: int = 0
    """Grows with each `restart`: part of the revision, so a restart is a rolling deployment like any other."""
    secrets_digest: str = ""
    """Of the values its release uses, as of the last `up`; part of the revision too."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """`{"instances": 4, "pattern": "container"}`: what a command changed and the file does not say."""
    scaling: dict[str, Any] | None = None
    """`spec.scaling.Scaling` as JSON, where its load is to say how many there are."""
    scaled: int | None = None
    """How many that asked for last. Nothing that is undone puts it back: today's load is asked of whatever runs."""
    scaled_at: float | None = None
    scaled_why: str = ""


@dataclass(frozen=True)
class Deployment:
    id: int
    app: str
    service: str
    operation: str
    """What asked for it: ends when all its deployments have ended."""
    revision: str
    release: int
    previous: dict[str, Any]
    """Fields of the `ServiceRow` to put back when it is rolled back; empty for a first deployment."""
    state: DeploymentState
    reason: str | None
    before_done: bool
    actor: str
    started_at: float
    progressed_at: float
    finished_at: float | None = None
    pattern: str = "process"
    """What `release` is to run under."""
    staged: bool = False
    """It goes through the steps of its release's strategy."""
    step: int = 0
    """Which one it is at, from 0; as many as there are: all are passed."""
    step_at: float | None = None
    """Since when that one's instances are there and get its part of the requests."""
    promoted: bool = False
    """Somebody has asked to go on to the next step."""
    aborted: str | None = None
    """By whom."""
    marks: dict[str, Any] = field(default_factory=dict)
    """Instance -> [requests, errors] that it had answered when this step began."""


@dataclass(frozen=True)
class InstanceRow:
    """One instance that was asked for. Written before its spawn, so that a new daemon knows what was intended."""

    id: str
    app: str
    service: str
    release: int
    revision: str
    role: Role
    state: InstanceState
    created_at: float
    changed_at: float
    """When `state` was entered."""
    pattern: str = "process"
    """The one that it was started under: its service may be moving to another."""
    port: int | None = None
    """Where it listens, at its `address`."""
    address: str | None = None
    """Its own on the bridge; None: it shares the host's loopback."""
    block: str | None = None
    """Of pattern function: the addresses on the bridge that its sandboxes have, such as `10.177.128.16/28`."""
    pid: int | None = None
    start_time: int | None = None
    boot_id: str | None = None
    host: str | None = None
    run: int = 0
    """How often it was spawned; names the log of each run."""
    restarts: int = 0
    failures: int = 0
    """Exits in a row without having been well for long; drives backoff and the verdict crash loop."""
    started_at: float | None = None
    ready_at: float | None = None
    exit: dict[str, Any] | None = None
    """Of the last run: `{"code", "signal", "oom", "at", "reason", "asked"}`."""

    @property
    def reached_at(self) -> str:
        """The IP address where this host reaches what it listens on."""
        return self.address or "127.0.0.1"


@dataclass(frozen=True)
class ComparisonRow:
    """One comparison of a service under several patterns."""

    id: str
    """Of the operation that made it."""
    app: str
    service: str
    release: int
    made_at: float
    document: str
    """`cost.comparison.Comparison` as JSON."""


@dataclass(frozen=True)
class UsageHour:
    """What a service took and answered in one hour under one pattern."""

    app: str
    service: str
    hour: int
    """Epoch seconds of its beginning."""
    pattern: str
    requests: int
    errors: int
    """Of those: 5xx, or not answered."""
    response_seconds: float
    """Sum over the requests."""
    cpu_seconds: float
    memory_byte_seconds: float
    instance_seconds: float


@dataclass(frozen=True)
class UsageMark:
    """Up to where what an instance took and answered is in the hours of its service."""

    instance: str
    app: str
    service: str
    pattern: str
    host: str | None
    run: int
    at: float
    """Time and memory are counted up to then."""
    cpu_seconds: float
    """Counted, of what this run of it has taken."""
    memory_bytes: int
    """As last seen."""
    requests: int
    """Counted, of what the gateway says of all runs of it."""
    errors: int
    ended: bool = False
    """Only what the gateway may still tell of it is left to count."""


@dataclass(frozen=True)
class MetricCount:
    """One series of a counter or histogram of `GET /metrics`."""

    metric: str
    labels: tuple[str, ...]
    """Their values, in the order of the metric's labels."""
    counts: tuple[float, ...]
    """`(value,)`; of a histogram `(sum, count of bucket, …, count beyond)`."""


@dataclass(frozen=True)
class MaintenanceRow:
    """In place of a service the gateway answers a page, with status 503."""

    app: str
    service: str
    """Empty: all of the app."""
    page: str
    content_type: str
    retry_after: float
    """Seconds."""
    allowed: tuple[str, ...]
    """Networks whose clients reach the service all the same."""
    actor: str
    since: float


@dataclass(frozen=True)
class Event:
    seq: int
    at: float
    app: str | None
    service: str | None
    instance: str | None
    kind: str
    """Dotted: `deploy.started`, `deploy.failed`, `instance.ready`, `instance.exited`, `build.log`, …"""
    message: str
    actor: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SecretInfo:
    """All that is ever told about a secret."""

    app: str
    name: str
    updated_at: float
