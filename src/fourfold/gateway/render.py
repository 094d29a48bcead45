"""The gateway as HAProxy configuration: text and the maps that it reads. Pure; paths are relative to its folder.

Directives are those of HAProxy 2.6's configuration manual. What is not obvious:

- `idle-close-on-response`: a reload ends idle client connections only after one more request, so that none is lost that
  was already on its way. `timeout http-keep-alive` and `http-request` bound how long that can take (LAST_REQUEST).
- A request is sent again, to another server, when no connection could be made; never once it may have reached a
  program. `retry-on empty-response` would do that for GET, but a request that kills a program would then kill all of
  its instances, and a copy of 16 KiB for each request costs a tenth of all throughput. What it would save are requests
  on a kept connection that the program closes in that very moment: idle ones go sooner than programs close them
  (backends.SERVER_OPTIONS), and a draining server gets no request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from fourfold.errors import UserError
from fourfold.gateway import naming
from fourfold.gateway.backends import section, servers
from fourfold.gateway.frontends import frontends, nowhere
from fourfold.gateway.model import Backend, GatewayConfig, Machine
from fourfold.gateway.routing import normal
from fourfold.gateway.spread import DEFAULT_TIMEOUT, spread

CONFIG = "haproxy.cfg"
MASTER_SOCKET = "master.sock"
WORKER_SOCKET = "worker.sock"
LAST_REQUEST = 10.0
"""Seconds after a reload in which an idle client connection of the old worker may still bring a request."""

LOG = (
    '{"id":"%ID","host":"%[capture.req.hdr(0),json(utf8s)]","method":"%HM","path":"%[var(txn.path),json(utf8s)]","backend":"%b",'
    '"server":"%s","status":%ST,"ms":%Ta,"bytes_in":%U,"bytes_out":%B,"client":"%ci","end":"%tsc"}'
)


@dataclass(frozen=True)
class Rendered:
    text: str
    """The file that `haproxy -f` reads."""
    maps: Mapping[str, str]
    """File name -> content; named by content, so that old and new workers can both read theirs."""
    fingerprint: str
    """Of everything but the servers: what a reload is needed for. `show info` tells it as the description."""
    routes: Mapping[str, tuple[str, str]]
    """HAProxy's backend -> (service, route); the route is empty for calls from other services."""


@dataclass(frozen=True)
class Frame:
    """A configuration without servers."""

    before: str
    sections: tuple[tuple[str, str], ...]
    """(service, its `backend` section), in the order in which they stand."""
    maps: Mapping[str, str]
    fingerprint: str
    routes: Mapping[str, tuple[str, str]]

    def filled(self, backends: Iterable[Backend]) -> Rendered:
        """With servers. Raises UserError, see `render`."""
        _refuse_double_servers(backends)
        present = {backend.name: "".join(servers(backend)) for backend in backends}
        text = "\n".join([self.before, *(section + present[service] for service, section in self.sections), ""])
        return Rendered(text, self.maps, self.fingerprint, self.routes)


def render(
    config: GatewayConfig, machine: Machine | None = None, certificates: Mapping[str, str] | None = None
) -> Rendered:
    """`certificates`: a frontend's certificate path -> the file in the gateway's folder that holds it.

    Raises UserError for names, hosts, paths and addresses that cannot be, and for rules or addresses in conflict.
    """
    return frame(without_servers(config), machine or Machine(), certificates or {}).filled(config.backends)


def without_servers(config: GatewayConfig) -> GatewayConfig:
    return replace(config, backends=tuple(replace(backend, servers=()) for backend in config.backends))


def frame(config: GatewayConfig, machine: Machine, certificates: Mapping[str, str]) -> Frame:
    """Of a configuration without servers; the rest as `render`."""
    _refuse_doubles(config)
    rules = [normal(frontend.rules) for frontend in config.frontends]
    parts = spread(config.backends, (rule for each in rules for rule in each))
    own = {(part.service, part.route): part.rule for part in parts if part.rule}
    own_rules = [[own[rule.backend, str(rule)] for rule in each] for each in rules]
    maps: dict[str, str] = {}
    named = replace(config, backends=tuple(part.backend for part in parts))
    lines = [*frontends(named, own_rules, maps, machine, certificates), *nowhere()]
    head = _global(config, machine, tls=any(frontend.certificate for frontend in config.frontends))
    sections = ["\n".join(section(part, maps, machine.cookie_key)) for part in parts]
    body = [*_defaults(), *lines]
    fingerprint = hashlib.sha256("\n".join([*head, *body, *sections]).encode()).hexdigest()[:24]
    return Frame(
        before="\n".join([*head, f"  description {fingerprint}", *body]),
        sections=tuple((part.service, text) for part, text in zip(parts, sections, strict=True)),
        maps=maps,
        fingerprint=fingerprint,
        routes={part.backend.name: (part.service, part.route) for part in parts},
    )


def _refuse_doubles(config: GatewayConfig) -> None:
    names = {naming.name(backend.name) for backend in config.backends}
    if len(names) < len(config.backends):
        raise UserError("cannot set up the gateway: two backends have one name")
    for rule in (rule for frontend in config.frontends for rule in frontend.rules):
        if rule.backend not in names:
            raise UserError(f"cannot route {rule.host or ''}{rule.path} to {rule.backend}: there is no such service")
    taken: dict[tuple[str, int], str] = {}
    for what, host, port in addresses(config):
        for other_host in {host, ""} if host else {key[0] for key in taken}:
            if other := taken.get((other_host, port)):
                raise UserError(
                    f"cannot listen on port {port} for {what}: {other} has it", "give one of them another port"
                )
        taken[host, port] = what


def _refuse_double_servers(backends: Iterable[Backend]) -> None:
    names = [server.name for backend in backends for server in backend.servers]
    if len(set(names)) < len(names):
        raise UserError("cannot set up the gateway: two servers have one name")


def addresses(config: GatewayConfig) -> Iterator[tuple[str, str, int]]:
    """(what for, host, port) of every address that the gateway listens on; host "" is every address."""
    for frontend in config.frontends:
        host, port = naming.listen(frontend.listen)
        yield f"the gateway on {frontend.listen}", host, port
        if frontend.redirect and frontend.certificate:
            yield f"the redirect to https on port {port}", host, 80
    for backend in config.backends:
        if backend.internal_port is not None:
            port = naming.port(backend.internal_port, f"{backend.name}'s internal address")
            for host in ("127.0.0.1", *([config.bridge] if config.bridge else [])):
                yield f"{backend.name}'s internal address", host, port


def _global(config: GatewayConfig, machine: Machine, tls: bool) -> list[str]:
    lines = [
        "# Written by Fourfold; changes are overwritten.",
        "global",
        "  log stdout len 8192 format raw local0 info",
        f"  stats socket unix@{WORKER_SOCKET} mode 600 level admin expose-fd listeners",
        "  stats timeout 1m",
        f"  hard-stop-after {naming.seconds(config.hard_stop_after, 'hard_stop_after')}",
        "  fd-hard-limit 50000",  # and maxconn follows from it, or from a lower limit of this process
        f"  nbthread {machine.threads}",
        "  httpclient.ssl.verify none",  # unused here; else each start reads all of the system's CA certificates
    ]
    if machine.user:
        lines += [f"  user {machine.user}", f"  group {machine.user}"]
    if tls:
        lines += ["  ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets", "  tune.ssl.default-dh-param 2048"]
    return lines


def _defaults() -> list[str]:
    last = naming.seconds(LAST_REQUEST, "LAST_REQUEST")
    return [
        "",
        "defaults",
        "  mode http",
        f"  log-format '{LOG}'",
        "  option dontlognull",
        "  option http-keep-alive",
        "  option idle-close-on-response",
        "  option redispatch 1",
        "  retries 3",
        "  http-reuse safe",
        f"  timeout http-request {last}",
        f"  timeout http-keep-alive {last}",
        "  timeout connect 3s",
        "  timeout client 60s",
        "  timeout client-fin 10s",
        f"  timeout server {naming.seconds(DEFAULT_TIMEOUT, 'DEFAULT_TIMEOUT')}",
        "  timeout queue 10s",
        "  timeout tunnel 1h",
    ]
