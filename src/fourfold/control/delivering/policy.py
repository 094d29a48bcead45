"""How events of a service are delivered, as its rows say now."""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.control.goals import wanted_count
from fourfold.control.registry import Registry
from fourfold.store.model import ServiceRow
from fourfold.store.tables.deployments import OPEN

MOST_AT_ONCE = 100
"""Deliveries to one function; fewer when its `concurrency` is less."""
TO_A_SERVER = 10
"""Deliveries to a web service, or to a handler behind a server."""
UNKNOWN_MAX_AGE = 21_600.0
"""Seconds, of events for a service that is not there any more."""


@dataclass(frozen=True)
class Policy:
    """Of a service that is not there: what its events get until they are too old."""

    live: bool = False
    """It takes events: deployed, and neither stopped nor removed."""
    ready: int = 0
    """Instances that are ready: one more, and what waits is tried at once."""
    parallel: int = 1
    retries: int = 0
    max_age: float = UNKNOWN_MAX_AGE
    on_failure: str | None = None
    fails_to_service: bool = False
    """`on_failure` names a service of the app, not an SQS queue."""


def policy_of(registry: Registry, line: str) -> Policy:
    """`line`: `store.tables.queue.line_of`."""
    key, _, target = line.partition(">")
    row = registry.services.get(key)
    if row is None:
        return Policy()
    if target:
        return Policy(live=True)
    spec = registry.spec(key, row.release)
    function = spec.function
    ready = sum(each.state == "ready" and each.role == "serve" for each in registry.of_service(key))
    as_function = row.overrides.get("pattern", row.pattern) == "function"
    return Policy(
        live=live_release(registry, row) is not None,
        ready=ready,
        parallel=max(1, min(function.concurrency, MOST_AT_ONCE)) if as_function else TO_A_SERVER,
        retries=function.retries,
        max_age=function.max_age,
        on_failure=function.on_failure,
        fails_to_service=f"{row.app}.{function.on_failure}" in registry.services,
    )


def live_release(registry: Registry, row: ServiceRow) -> int | None:
    """The release whose triggers count: the new one once its deployment is done, the one before it until then.

    None: the service is stopped or removed, or its first deployment has not succeeded.
    """
    if row.stopped or row.removed:
        return None
    deployment = registry.deployments.get(f"{row.app}.{row.name}")
    if deployment is not None and deployment.state == "running":
        before = deployment.previous
        return None if not before or before.get("stopped") or before.get("removed") else int(before["release"])
    if deployment is not None and deployment.state not in OPEN and not _has_worked(row, registry):
        return None
    return row.release


def _has_worked(row: ServiceRow, registry: Registry) -> bool:
    deployment = registry.deployments[f"{row.app}.{row.name}"]
    return deployment.state != "failed" or bool(deployment.previous) or wanted_count(row, deployment) > 0
