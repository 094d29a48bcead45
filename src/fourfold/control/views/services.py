"""Services of an app, and their deployments."""

from __future__ import annotations

from typing import Any, Literal

from fourfold.control.scaling.view import ScalingView
from fourfold.control.views.base import AnyPattern, View
from fourfold.control.views.gateway import MaintenanceView
from fourfold.control.views.instances import InstanceView, PastExitView
from fourfold.control.views.jobs import JobView
from fourfold.store.model import DeploymentState


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
    state: Literal["none", DeploymentState]
    reason: str | None
    step: StepView | None = None


class ServiceView(View):
    name: str
    pattern: AnyPattern
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


class ReleaseView(View):
    service: str
    number: int
    current: bool
    actor: str
    commit: str | None
    message: str | None
    created_at: str
    source: str
    patterns: list[AnyPattern]
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
    exits: list[PastExitView]
    probe_error: str | None
    last_lines: list[str]
    """Of the last instance that died, or of the one that does not get ready."""
    last_lines_of: str | None = None
    """The instance that wrote them."""
