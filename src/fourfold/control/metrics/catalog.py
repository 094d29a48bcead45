"""Every metric: its name, kind, labels and meaning. docs/observability.md has the same list; names are stable.

Names and units follow https://prometheus.io/docs/practices/naming: base units, `_total` for what only grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds; the access log has milliseconds."""
WORK_BUCKETS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Of builds and deployments."""
SHORT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Of what the daemon itself does."""


@dataclass(frozen=True)
class Metric:
    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's, without `+Inf`."""


_SERVICE = ("app", "service")
_INSTANCE = ("app", "service", "instance")

SERVICE_INFO = Metric(
    "fourfold_service_info",
    "gauge",
    "1; the pattern and release that a service is to run",
    (*_SERVICE, "pattern", "release"),
)
DESIRED = Metric("fourfold_service_desired_instances", "gauge", "Instances that are to run", _SERVICE)
INSTANCES = Metric("fourfold_instances", "gauge", "Instances by state, as `status` shows it", (*_SERVICE, "state"))
RESTARTS = Metric("fourfold_instance_restarts_total", "counter", "Times that it was started again", _INSTANCE)
STARTED = Metric("fourfold_instance_start_time_seconds", "gauge", "When its run began, since the epoch", _INSTANCE)
CPU = Metric("fourfold_instance_cpu_seconds_total", "counter", "CPU time that this run of it took", _INSTANCE)
MEMORY = Metric(
    "fourfold_instance_memory_bytes", "gauge", "Working set, page cache that would go first left out", _INSTANCE
)
MEMORY_LIMIT = Metric("fourfold_instance_memory_limit_bytes", "gauge", "Limit of its memory, if it has one", _INSTANCE)
PROCESSES = Metric("fourfold_instance_processes", "gauge", "Processes", _INSTANCE)
THREADS = Metric("fourfold_instance_threads", "gauge", "Threads of all its processes", _INSTANCE)
FILES = Metric("fourfold_instance_open_fds", "gauge", "Open file descriptors of all its processes", _INSTANCE)
READ = Metric("fourfold_instance_read_bytes_total", "counter", "Bytes read from disks", _INSTANCE)
WRITTEN = Metric("fourfold_instance_written_bytes_total", "counter", "Bytes written to disks", _INSTANCE)

ANSWERED = Metric(
    "fourfold_instance_http_requests_total",
    "counter",
    "Requests that it answered, by class of status",
    (*_INSTANCE, "code"),
)
REQUESTS = Metric(
    "fourfold_http_requests_total",
    "counter",
    "Requests through the gateway, by class of status",
    (*_SERVICE, "route", "code"),
)
LATENCY = Metric(
    "fourfold_http_request_duration_seconds",
    "histogram",
    "From a request's first byte to its answer's last",
    (*_SERVICE, "route"),
    REQUEST_BUCKETS,
)
IN_FLIGHT = Metric("fourfold_http_requests_in_flight", "gauge", "Requests that are being answered", _SERVICE)
UNROUTED = Metric("fourfold_gateway_unrouted_requests_total", "counter", "Requests that reached no service", ("code",))
GATEWAY_UP = Metric("fourfold_gateway_up", "gauge", "1 while the gateway serves")
SKIPPED = Metric(
    "fourfold_gateway_log_skipped_bytes_total",
    "counter",
    "Of the access log, what was given back before it was counted",
)

INVOCATIONS = Metric(
    "fourfold_function_invocations_total", "counter", "Events that a function had since its invoker started",
    (*_INSTANCE, "ending"),
)  # fmt: skip
COLD = Metric("fourfold_function_cold_starts_total", "counter", "Events that waited for a sandbox to start", _INSTANCE)
SANDBOXES = Metric("fourfold_function_sandboxes", "gauge", "Sandboxes by state", (*_INSTANCE, "state"))
WAITING = Metric("fourfold_function_waiting_events", "gauge", "Events that have no sandbox yet", _INSTANCE)

EXITS = Metric(
    "fourfold_instance_exits_total", "counter", "Ends that nobody asked for, by reason", (*_SERVICE, "reason")
)
DEPLOYMENTS = Metric(
    "fourfold_deployments_total", "counter", "Deployments that ended, by result", (*_SERVICE, "result")
)
DEPLOYING = Metric(
    "fourfold_deployment_duration_seconds", "histogram", "Of deployments that ended well", _SERVICE, WORK_BUCKETS
)
UNDER_WAY = Metric("fourfold_deployments_running", "gauge", "Deployments under way", _SERVICE)
BUILDS = Metric("fourfold_builds_total", "counter", "Builds that ended, by result", (*_SERVICE, "result"))
BUILDING = Metric("fourfold_build_duration_seconds", "histogram", "Of builds that ended well", _SERVICE, WORK_BUCKETS)
BUILDS_NOW = Metric("fourfold_builds_running", "gauge", "Builds under way, those that wait for their turn included")
RUNS = Metric("fourfold_job_runs_total", "counter", "Runs of jobs that ended, by result", (*_SERVICE, "result"))
QUEUED = Metric("fourfold_queued_events", "gauge", "Events that wait to be delivered to a service", _SERVICE)
OPERATIONS = Metric("fourfold_operations", "gauge", "Changes at work, and waiting for their turn", ("state",))
EVENTS = Metric("fourfold_events_total", "counter", "Events as `fourfold events` shows them, by kind", ("app", "kind"))

HOOKED = Metric(
    "fourfold_webhook_deliveries_total", "counter", "Events for a webhook that are done with", ("app", "host", "result")
)
HOOKS_FAILING = Metric("fourfold_webhook_failing", "gauge", "1 while a webhook does not take events", ("app", "host"))

INFO = Metric("fourfold_daemon_info", "gauge", "1; the daemon's version", ("version",))
LAG = Metric(
    "fourfold_daemon_loop_lag_seconds",
    "histogram",
    "How late the daemon's event loop is, looked at each second",
    (),
    SHORT_BUCKETS,
)
COMMITS = Metric("fourfold_store_commit_seconds", "histogram", "Commits of the store, sync included", (), SHORT_BUCKETS)
DAEMON_CPU = Metric("process_cpu_seconds_total", "counter", "CPU time of the daemon")
DAEMON_MEMORY = Metric("process_resident_memory_bytes", "gauge", "Resident memory of the daemon")
DAEMON_THREADS = Metric("process_threads", "gauge", "Threads of the daemon")
DAEMON_FILES = Metric("process_open_fds", "gauge", "Open file descriptors of the daemon")
DAEMON_STARTED = Metric("process_start_time_seconds", "gauge", "When the daemon started, since the epoch")

METRICS: tuple[Metric, ...] = tuple(each for each in list(globals().values()) if isinstance(each, Metric))
BY_NAME = {metric.name: metric for metric in METRICS}
