"""What the API answers and takes: the shapes of `-o json`. Times RFC 3339 UTC, sizes in bytes, durations in seconds."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fourfold.control.scalingview import ScalingView
from fourfold.cost.comparison import Pattern
from fourfold.cost.results import ServiceCost


class View(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ExitView(View):
    code: int | None
    signal: int | None
    oom: bool
    at: str
    reason: str


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


class InstanceView(View):
    id: str
    release: int
    pattern: str
    """The one it runs under; its service may be moving to another."""
    state: str
    """starting | ready | draining | stopping | backoff | exited | crash-loop"""
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


class StepView(View):
    """Where a deployment with steps is (canary, blue-green)."""

    step: int
    """From 1."""
    steps: int
    weight: int
    """Percent of the requests that the new release gets; 0: none before it is promoted (blue-green)."""
    begun: bool
    """Its instances are there, and get that part."""
    manual: bool
    """It stays there until somebody promotes it."""
    seconds_left: float | None
    """Of its pause."""
    requests: int
    """Of the new release, in this step."""
    errors: int
    old_requests: int
    old_errors: int
    min_requests: int
    max_errors: float
    waits_for: str
    """In words."""


class DeploymentView(View):
    state: str
    reason: str | None
    step: StepView | None = None


class RunView(View):
    """A run of a job, with all its tries."""

    id: str
    """Of its instance too: what `logs` names its lines by."""
    service: str
    release: int
    pattern: str
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


class ServiceView(View):
    name: str
    pattern: str
    """The one it is to run under: an override, or as the file says."""
    target: str
    release: int
    desired: int
    ready: int
    stopped: bool
    overrides: dict[str, Any]
    deployment: DeploymentView
    routes: list[str]
    """As given: `/catalog`, `shop.example.com/`, `POST /orders`."""
    urls: list[str]
    """Where a person can open it through the gateway."""
    limits_missing: dict[str, str]
    """Limits asked for that this host cannot enforce, with the reason."""
    instances: list[InstanceView]
    job: JobView | None = None
    """Of services that run to their end."""
    group: str | None = None
    """Of pattern shared: the group that it lives in."""
    kind: str | None = None
    """Of a group: what its members share. Its instances are their hosts."""
    scaling: ScalingView | None = None
    """Of one whose file has `instances` as a map."""
    maintenance: MaintenanceView | None = None
    """The gateway answers a page in its place."""


class CertificateView(View):
    names: list[str]
    """Hosts that it is for."""
    issuer: str
    begins_at: str
    ends_at: str
    days: int
    """Until its end; negative after that."""
    files: list[str]
    """Where `up` had the certificate and its key from."""
    watched: bool
    """The daemon's machine has these files: what is renewed there is served within seconds."""


class MaintenanceView(View):
    since: str
    actor: str
    retry_after: float
    allowed: list[str]
    """Networks whose clients reach the service all the same."""
    whole_app: bool


class DaemonView(View):
    pid: int
    version: str


class StatusView(View):
    app: str
    gateway: str | None
    gateway_problem: str | None = None
    """Why the gateway does not serve this app's routes."""
    daemon: DaemonView
    lambda_api: str | None = None
    """Where AWS Lambda's API answers."""
    file: str
    services: list[ServiceView]
    not_in_file: list[str]
    """Services still running that the file no longer has; `up --prune` removes them."""


class AppView(View):
    name: str
    services: int
    ready: int
    desired: int
    gateway: str | None
    file: str
    updated_at: str


class UpRequest(View):
    """Bring an app to what its file says. `services` limits it to some (with `deploy`); None is all."""

    spec: dict[str, Any]
    """`spec.model.App` as JSON."""
    sources: dict[str, str]
    """Service -> digest of its source's manifest (`POST /v1/sources`)."""
    services: list[str] | None = None
    beside: bool = False
    """The app has other services too, of which `spec` says nothing: they stay as they are."""
    file: str = ""
    certificate: str | None = Field(default=None, max_length=250_000, repr=False)
    """PEM: chain and key of `gateway.tls`; null: the daemon reads these files itself, relative to `file`."""
    actor: str = ""
    commit: str | None = None
    message: str | None = None
    prune: bool = False
    reset: bool = False
    """Forget overrides: go back to what the file says."""
    rebuild: bool = False
    """Build anew what has not changed too, with dependencies resolved anew."""
    rebuilt: str = ""
    """What is asked for is what this operation, a `build` with `rebuild`, has built."""
    overrides: dict[str, dict[str, Any]] = {}
    """Service -> override, such as `{"catalog": {"instances": 3, "pattern": "container"}}`."""


class ChangeView(View):
    """One line of `plan`: what would happen to a service and why."""

    service: str
    action: Literal["create", "deploy", "scale", "restart", "stop", "remove", "keep", "not-in-file"]
    reasons: list[str]
    """`source changed`, `env.LOG_LEVEL changed`, `instances 2 -> 4`, `secret API_KEY changed`, …"""
    release: int | None
    """The release it is on now."""
    instances: int
    overrides: dict[str, Any]
    strategy: str | None = None
    """How it would go by steps: `canary: 5 % for 60 s, 50 % until it is promoted`."""


class PlanView(View):
    app: str
    changes: list[ChangeView]

    @property
    def empty(self) -> bool:
        return all(change.action in ("keep", "not-in-file") for change in self.changes)


class OperationView(View):
    """One accepted change. Follow it with `GET /v1/events?operation=ID`; it ends with `operation.done` or `.failed`."""

    id: str
    app: str
    kind: str
    """up | deploy | rollback | scale | restart | stop | remove | down | build | compare; deployment: of one that is
    promoted or aborted, whichever it was"""
    services: list[str]
    after: int
    """Events of this operation have a greater `seq` than this."""
    waiting_for: str | None = None
    """The operation that must end first: `up by alice, for 12 s`."""
    hint: str | None = None
    """What can be done about that."""


class EventView(View):
    seq: int
    at: str
    app: str | None
    service: str | None
    instance: str | None
    kind: str
    message: str
    actor: str | None
    data: dict[str, Any]


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


class ReleaseView(View):
    service: str
    number: int
    current: bool
    actor: str
    commit: str | None
    message: str | None
    created_at: str
    source: str
    patterns: list[str]
    """What it was built for."""
    deployments: list[str]
    """How each deployment of it ended: `done`, `failed: exit code 3`, …"""


class ExplainView(View):
    """Why a service is not well (or that it is), most important finding first."""

    service: str
    well: bool
    summary: str
    findings: list[str]
    what_to_do: list[str]
    deployment: DeploymentView
    exits: list[ExitView]
    probe_error: str | None
    last_lines: list[str]
    """Of the last instance that died, or of the one that does not get ready."""


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
    pattern: str
    host: str | None = None
    """The instance whose process it shares, or whose child it is."""
    state: str
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


class RouteView(View):
    service: str
    route: str
    """As in `status`; empty: calls from other services."""
    requests: int
    errors_5xx: int
    errors_4xx: int
    in_flight: int
    response_seconds: float
    refused: int = 0
    """Of the 4xx: by the gateway, for limits or for want of a password."""


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


class FunctionCostView(View):
    """What a function took in a month, and what that would cost on AWS Lambda."""

    service: str
    requests: int
    failed: int
    """Of those: ended by an error, a timeout or a crash. They are billed too."""
    billed_ms: int
    gb_seconds: float
    """Seconds billed times GiB allotted."""
    requests_usd: float
    duration_usd: float
    total_usd: float


class PriceText(View):
    """A price file, laid over the one that comes with Fourfold."""

    name: str = Field(max_length=4096)
    text: str = Field(max_length=1024 * 1024)


class CostRequest(View):
    """What `cost` is asked."""

    service: str | None = None
    """Of that one only."""
    month: str | None = None
    """Of what functions took; null: the present one."""
    curves: bool = False
    """Costs over requests a month too."""
    prices: PriceText | None = None
    """In place of the daemon's own price file."""


class PricesView(View):
    """What money was reckoned with."""

    as_of: dict[str, str]
    """Place -> `2026-06`: since then its prices may have changed."""
    sources: dict[str, str]
    """Place -> the address of its price list, or in words."""
    file: str | None
    """The user's own, laid over those that come with Fourfold."""


class PricedView(View):
    """What services cost in a month, under the pattern that they run under and under all others. US dollars."""

    prices: PricesView
    services: list[ServiceCost]


class CostView(PricedView):
    app: str
    month: str
    """Of `functions`: `2026-11`, by UTC."""
    price_gb_second: float
    """US dollars."""
    price_request: float
    functions: list[FunctionCostView]
    """What they were asked for in the month, to the millisecond."""
    total_usd: float
    """Of `functions`."""


class HourView(View):
    """Of a service under one pattern; what `cost --usage` reads. Of one that is not all known, as if it went on so."""

    hour: str
    """Its beginning."""
    service: str
    pattern: Pattern
    requests: float
    """And events, and runs of a job."""
    cpu_seconds: float | None
    memory_bytes: float | None
    """Mean, of all instances together."""
    response_seconds: float | None
    """Mean of a request; null where there was none."""
    instances: float | None
    """Mean number."""


class UsageView(View):
    app: str
    hours: list[HourView]
    """By service, then by pattern and time; without those in which nothing of it was there."""


class SecretView(View):
    name: str
    updated_at: str


class LayerView(View):
    """A layer of a base, unpacked."""

    digest: str
    size_bytes: int


class ArtifactView(View):
    """What a service was built into."""

    service: str
    pattern: str
    digest: str
    runtime: str | None
    argv: list[str]
    size_bytes: int
    """Of its own files; those of `base` come on top."""
    base: list[LayerView]
    """Of patterns container and vm, lowest first."""
    disks: list[LayerView] = []
    """What it boots: kernel, initial file system, then its disks, lowest first."""


class ImageView(View):
    """An image that was pushed."""

    digest: str
    """Of its manifest, `sha256:…`: what registries know it by."""
    size_bytes: int
    reference: str


class GcView(View):
    removed: dict[str, int]
    """Kind -> how many: releases, artifacts, sources, blobs, logs, caches, events, …"""
    freed_bytes: int
    kept: dict[str, int] = {}
    """Of what has quotas, the bytes that are there now: artifacts, logs, baked files."""


class CheckView(View):
    """One line of `doctor`."""

    name: str
    state: Literal["ok", "warning", "failed"]
    message: str
    hint: str | None = None


class SpawnerView(View):
    """The parent of all instances, which outlives daemons."""

    pid: int
    version: str


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


class InfoView(View):
    version: str
    pid: int
    user: str
    home: str
    apps: list[str]
    started_at: str
    lambda_api: str | None = None
    """Where AWS Lambda's API answers."""
    region: str = "us-east-1"
    """Of its ARNs."""
    spawner: SpawnerView | None = None
