"""What the gateway is to do, as values. `Gateway.apply` makes it so; `render` writes it as HAProxy configuration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Server:
    """One instance behind a backend."""

    name: str
    """Instance id."""
    host: str
    port: int
    draining: bool = False
    """Requests in flight end; no new ones arrive."""


@dataclass(frozen=True)
class Backend:
    """One service: its servers, and the internal port where other services reach it (`<NAME>_URL`)."""

    name: str
    """`app.service`."""
    servers: tuple[Server, ...] = ()
    internal_port: int | None = None


@dataclass(frozen=True)
class Rule:
    """One route: where a request must match, and the backend it goes to. Longest path wins; a host beats no host."""

    backend: str
    host: str | None = None
    """`shop.example.com`, `*.example.com`, or None for any."""
    path: str = "/"
    """A prefix of whole path segments: `/catalog` matches `/catalog` and `/catalog/x`, not `/catalogue`."""
    methods: tuple[str, ...] = ()
    strip: bool = False
    timeout: float = 60.0

    def __str__(self) -> str:
        return f"{'|'.join(self.methods)} {self.host or ''}{self.path or '/'}".strip()


@dataclass(frozen=True)
class Frontend:
    """One address that is listened on, for one or more apps."""

    listen: str
    """`:8080`, `127.0.0.1:8080` or `[::1]:8080`."""
    rules: tuple[Rule, ...] = ()
    certificate: str | None = None
    """PEM with certificate chain and key; None: plain HTTP."""
    redirect: bool = False
    """Send http://…:80 to this https frontend."""


@dataclass(frozen=True)
class GatewayConfig:
    frontends: tuple[Frontend, ...] = ()
    backends: tuple[Backend, ...] = ()
    hard_stop_after: float = 300.0
    """How long connections (WebSockets, say) of a worker that a reload has replaced may go on."""
    bridge: str | None = None
    """Address of the containers' bridge, where they reach internal ports; None: there is none."""


@dataclass(frozen=True)
class RouteStats:
    """Counters of one route of a service since it came up; reloads and restarts do not reset them."""

    service: str
    route: str
    """`POST shop.example.com/orders`; empty: calls from other services."""
    requests: int
    errors_5xx: int
    errors_4xx: int
    in_flight: int
    bytes_in: int
    bytes_out: int
    response_seconds: float
    """Mean over the last 1,024 requests, as HAProxy reports it."""


@dataclass(frozen=True)
class InstanceStats:
    """What one instance has been asked through the gateway since it came up, over all routes of its service."""

    instance: str
    requests: int
    errors_5xx: int
    """And requests that it took and did not answer."""
    errors_4xx: int
    in_flight: int
    response_seconds: float
    """Mean, as `RouteStats` has it, weighted by the requests of each route."""


@dataclass(frozen=True)
class Machine:
    """What the configuration needs to know of the machine that HAProxy runs on."""

    threads: int = 1
    user: str | None = None
    """User and group that workers switch to; None: they stay who they are."""
    ipv6: bool = False
