"""What the gateway is to do, as values. `Gateway.apply` makes it so; `render` writes it as HAProxy configuration."""

from __future__ import annotations

from dataclasses import dataclass

MOST_PAGE = 12 * 1024
"""Bytes of a maintenance page: HAProxy answers it out of one buffer of 16 KiB, with its header fields."""
CONTENT_TYPE = r"[a-z]+/[a-z0-9.+-]+(; charset=[a-z0-9-]+)?"
"""Of a maintenance page."""


@dataclass(frozen=True)
class Server:
    """One instance behind a backend."""

    name: str
    """Instance id."""
    host: str
    port: int
    draining: bool = False
    """Requests in flight end; no new ones arrive."""
    weight: int = 1
    """Of 0 to 256, HAProxy's: its part of the requests, beside what others of the backend have; 0: none."""


@dataclass(frozen=True)
class Backend:
    """One service: its servers, and the internal port where other services reach it (`<NAME>_URL`)."""

    name: str
    """`app.service`."""
    servers: tuple[Server, ...] = ()
    internal_port: int | None = None
    sticky: bool = False
    """Some rule for it is: its servers have cookies, and one that drains loses its clients to the others."""
    maintenance: Maintenance | None = None
    tcp: bool = False
    """It has no routes, and what is sent to its internal port is passed on as it is."""


@dataclass(frozen=True)
class Maintenance:
    """What is answered in place of a service, with status 503. Calls from other services go on."""

    page: str
    content_type: str = "text/plain; charset=utf-8"
    retry_after: float = 60.0
    """Seconds after which clients are told to try again."""
    allowed: tuple[str, ...] = ()
    """Networks (10.0.0.0/8, fd00::/8) whose clients reach the service all the same."""


@dataclass(frozen=True)
class Limits:
    """How much a route takes. Requests beyond it are answered 429, 413 or (of unknown length) 411."""

    rate: float | None = None
    """Requests per second in the long run."""
    burst: int = 1
    """So many may come at once: in every `burst / rate` seconds there are at most so many."""
    shared: bool = False
    """By all clients together; else by each address."""
    body: int | None = None
    """Bytes."""

    @property
    def window(self) -> float:
        """Seconds."""
        return self.burst / self.rate if self.rate else 0.0


@dataclass(frozen=True)
class Auth:
    """HTTP Basic authentication (RFC 7617). No users: nobody gets in."""

    realm: str
    key: str
    """What passwords are hashed with: hexadecimal."""
    users: tuple[tuple[str, str], ...] = ()
    """(name, HMAC-SHA256 of `name:password` with `key`, in upper-case hexadecimal)."""


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
    sticky: bool = False
    """A client stays with one server, by a cookie, as long as that is there."""
    secure: bool = False
    """It is reached over https."""
    hsts: float = 0.0
    """Seconds for which browsers are told to use nothing but https; 0: they are not."""
    limits: Limits | None = None
    auth: Auth | None = None

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
    refused: int = 0
    """Of the 4xx: refused here, by limits or for want of a password."""


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
    cookie_key: str = ""
    """What cookies of sticky routes are made with, so that nobody reads an address out of them."""
