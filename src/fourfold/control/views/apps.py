"""Apps: what they are to become (`up`, `plan`), and how they are (`status`)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from fourfold.control.views.base import Request, View
from fourfold.control.views.services import ServiceView


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


class UpRequest(Request):
    """Bring an app to what its file says. `services` limits it to some (with `deploy`); None is all."""

    spec: dict[str, Any]
    """`spec.model.App` as JSON."""
    sources: dict[str, str]
    """Service -> digest of its source's manifest (`POST /v1/sources`)."""
    services: list[str] | None = None
    beside: bool = False
    """The app has other services too, of which `spec` says nothing: they stay as they are."""
    file: str = Field(default="", max_length=4096)
    certificate: str | None = Field(default=None, max_length=250_000, repr=False)
    """PEM: chain and key of `gateway.tls`; null: the daemon reads these files itself, relative to `file`."""
    actor: str = Field(default="", max_length=200)
    commit: str | None = Field(default=None, max_length=200)
    message: str | None = Field(default=None, max_length=2000)
    prune: bool = False
    reset: bool = False
    """Forget overrides: go back to what the file says."""
    rebuild: bool = False
    """Build anew what has not changed too, with dependencies resolved anew."""
    rebuilt: str = ""
    """What is asked for is what this operation, a `build` with `rebuild`, has built."""
    overrides: dict[str, dict[str, Any]] = {}
    """Service -> override, such as `{"catalog": {"instances": 3, "pattern": "container"}}`."""


Action = Literal["create", "deploy", "scale", "restart", "start", "stop", "remove", "keep", "not-in-file"]


class ChangeView(View):
    """One line of `plan`: what would happen to a service and why."""

    service: str
    action: Action
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
