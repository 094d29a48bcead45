"""What the gateway serves."""

from __future__ import annotations

from fourfold.control.views.base import View


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
    shared: bool
    """Other apps on its address have it too."""
    watched: bool
    """The daemon's machine has these files: what is renewed there is served within seconds."""


class MaintenanceView(View):
    since: str
    actor: str
    retry_after: float
    allowed: list[str]
    """Networks whose clients reach the service all the same."""
    whole_app: bool


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
