"""The gateway as HAProxy configuration: text and the maps that it reads. Pure; paths are relative to its folder.

Directives are those of HAProxy 2.6's configuration manual. What is not obvious:

- `idle-close-on-response`: a reload ends idle client connections only after one more request, so that none is lost that
  was already on its way. `timeout http-keep-alive` and `http-request` bound how long that can take (LAST_REQUEST).
- A dynamic server (runtime API) has no pool of idle connections unless its pool is given, so SERVER_OPTIONS stand on
  every server, whether it comes from the file or not. Idle connections go after about a second, before programs
  (Node and uvicorn: 5 s, gunicorn: 2 s) close them from their side while a request is on its way.
- Only GET, HEAD and OPTIONS are repeated after they may have reached a program (RFC 9110, section 9.2.2), and only when
  not one byte of an answer came. Everything is repeated when no connection could be made.
- HAProxy's `use_backend` with a map costs the same for one route and for a thousand.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fourfold.errors import UserError
from fourfold.gateway import naming
from fourfold.gateway.model import Backend, Frontend, GatewayConfig, Rule, Server
from fourfold.gateway.routing import ANY_HOST, Tables, Tagged, normal, tables

CONFIG = "haproxy.cfg"
MASTER_SOCKET = "master.sock"
WORKER_SOCKET = "worker.sock"
SERVER_OPTIONS = "pool-max-conn -1 pool-purge-delay 1s"
LAST_REQUEST = 10.0
"""Seconds after a reload in which an idle client connection of the old worker may still bring a request."""
DEFAULT_TIMEOUT = 60.0

LOG = (
    '{"host":"%[var(txn.host),json(utf8s)]","method":"%HM","path":"%[var(txn.path),json(utf8s)]","backend":"%b",'
    '"server":"%s","status":%ST,"ms":%Ta,"connect_ms":%Tc,"response_ms":%Tr,"bytes_in":%U,"bytes_out":%B,'
    '"client":"%ci","retries":"%rc","end":"%tsc"}'
)
_ACCESS_LOG = "  log global"  # in frontends only: backends would log every change of a server


@dataclass(frozen=True)
class Machine:
    """What the configuration needs to know of this machine."""

    threads: int = 1
    user: str | None = None
    """User and group that workers switch to; None: they stay who they are."""
    ipv6: bool = False


@dataclass(frozen=True)
class Rendered:
    text: str
    """The file that `haproxy -f` reads."""
    maps: Mapping[str, str]
    """File name -> content; named by content, so that old and new workers can both read theirs."""
    fingerprint: str
    """Of everything but the servers: what a reload is needed for. `show info` tells it as the description."""


def render(
    config: GatewayConfig, machine: Machine | None = None, certificates: Mapping[str, str] | None = None
) -> Rendered:
    """`certificates`: a frontend's certificate path -> the file in the gateway's folder that holds it.

    Raises UserError for names, hosts, paths and addresses that cannot be, and for rules or addresses in conflict.
    """
    machine = machine or Machine()
    _refuse_doubles(config)
    rules = [normal(frontend.rules) for frontend in config.frontends]
    numbered = iter(range(sum(map(len, rules))))
    tagged = [[Tagged(f"r{next(numbered)}", rule) for rule in each] for each in rules]
    maps: dict[str, str] = {}
    lines = [*_frontends(config, tagged, maps, machine, certificates or {})]
    by_backend = defaultdict(list)
    for item in (item for each in tagged for item in each):
        by_backend[item.rule.backend].append(item)
    head = _global(config, machine, tls=any(frontend.certificate for frontend in config.frontends))
    skeleton = "\n".join([*head, *_defaults(), *lines, *_backends(config.backends, by_backend, servers=False)])
    fingerprint = hashlib.sha256(skeleton.encode()).hexdigest()[:24]
    body = [*_defaults(), *lines, *_backends(config.backends, by_backend, servers=True)]
    text = "\n".join([*head, f"  description {fingerprint}", *body, ""])
    return Rendered(text, maps, fingerprint)


def present(backend: Backend) -> Iterator[Server]:
    """The servers that belong in the file. A draining one gets no new requests, so a new worker need not know it."""
    return (server for server in sorted(backend.servers, key=lambda server: server.name) if not server.draining)


def server_address(server: Server) -> str:
    return naming.address(server.host, server.port, f"server {server.name}")


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
    servers = [server.name for backend in config.backends for server in backend.servers]
    if len(set(servers)) < len(servers):
        raise UserError("cannot set up the gateway: two servers have one name")


def addresses(config: GatewayConfig) -> Iterator[tuple[str, str, int]]:
    """(what for, host, port) of every address that the gateway listens on; host "" is every address."""
    for frontend in config.frontends:
        host, port = naming.listen(frontend.listen)
        yield "the gateway", host, port
        if frontend.redirect and frontend.certificate:
            yield f"the redirect to https on port {port}", host, 80
    for backend in config.backends:
        if backend.internal_port is not None:
            port = naming.port(backend.internal_port, f"{backend.name}'s internal address")
            yield f"{backend.name}'s internal address", "127.0.0.1", port


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
        "  retry-on conn-failure empty-response",
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


def _frontends(
    config: GatewayConfig,
    tagged: Iterable[list[Tagged]],
    maps: dict[str, str],
    machine: Machine,
    certificates: Mapping[str, str],
) -> Iterator[str]:
    for frontend, rules in zip(config.frontends, tagged, strict=True):
        yield from _public(frontend, tables(rules), maps, machine, certificates)
    for backend in sorted(config.backends, key=lambda backend: backend.name):
        if backend.internal_port is not None:
            yield from _internal(backend)


def _public(
    frontend: Frontend, made: Tables, maps: dict[str, str], machine: Machine, certificates: Mapping[str, str]
) -> Iterator[str]:
    host, port = naming.listen(frontend.listen)
    tls = ""
    if frontend.certificate:
        tls = f" ssl crt {certificates[frontend.certificate]} alpn h2,http/1.1"
    yield from ("", f"frontend public-{host or '*'}:{port}".replace("*", "all"))
    yield from _binds(host, port, tls, machine)
    yield _ACCESS_LOG
    yield "  http-request set-var(txn.host) req.hdr(host),host_only,rtrim(.)"
    yield "  http-request set-var(txn.path) path"
    yield from _forwarded("https" if tls else "http", port)
    yield from _lookups(made, maps)
    nothing = '"no route matches this host, path and method\\n"'
    unmatched = "unless { var(txn.rule) -m beg r }"
    yield f"  http-request return status 404 content-type text/plain string {nothing} {unmatched}"
    yield "  use_backend %[var(txn.rule),field(2,:)]"
    if frontend.redirect and frontend.certificate:
        suffix = "" if port == 443 else f":{port}"
        yield from ("", f"frontend redirect-{host or '*'}:80".replace("*", "all"))
        yield from _binds(host, 80, "", machine)
        yield _ACCESS_LOG
        yield "  http-request set-var(txn.host) req.hdr(host),host_only,rtrim(.)"
        yield "  http-request set-var(txn.path) path"
        yield f"  http-request redirect location https://%[req.hdr(host),host_only]{suffix}%[pathq] code 308"


def _binds(host: str, port: int, options: str, machine: Machine) -> Iterator[str]:
    if host:
        yield f"  bind {naming.address(host, port, 'listen')}{options}"
        return
    yield f"  bind 0.0.0.0:{port}{options}"
    if machine.ipv6:
        yield f"  bind [::]:{port} v6only{options}"


def _forwarded(scheme: str, port: int) -> Iterator[str]:
    """Who asked, told by us alone: what a client says about it itself goes.

    With it go the spellings that CGI-like servers cannot tell apart (`X_Forwarded_For`), and tokens in `Connection`,
    which would make a program's own proxy drop our headers (RFC 9110, section 7.6.1).
    """
    yield "  http-request del-header ^x[-_]forwarded[-_] -m reg"
    yield "  http-request del-header ^(forwarded|x[-_]real[-_]ip|proxy)$ -m reg"
    yield "  http-request del-header connection unless { req.hdr(upgrade) -m found }"
    yield "  http-request set-header connection upgrade if { req.hdr(upgrade) -m found }"
    yield "  http-request set-header X-Forwarded-For %[src]"
    yield "  http-request set-header X-Real-IP %[src]"
    yield f"  http-request set-header X-Forwarded-Proto {scheme}"
    yield f"  http-request set-header X-Forwarded-Port {port}"
    yield "  http-request set-header X-Forwarded-Host %[req.hdr(host)] if { req.hdr(host) -m found }"


def _lookups(made: Tables, maps: dict[str, str]) -> Iterator[str]:
    """The request's rule into txn.rule. A lookup that finds nothing leaves the variable as it was."""

    def written(kind: str, entries: Mapping[str, str]) -> str:
        text = "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))
        name = f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.map"
        maps[name] = text
        return name

    if not made.paths:
        return
    table = f"str({ANY_HOST})"
    if made.hosts or made.wildcards:
        yield f"  http-request set-var(txn.table) str({ANY_HOST})"
        table = "var(txn.table)"
    if made.wildcards:
        found = f"map_str({written('wildcards', made.wildcards)})"
        yield f"  http-request set-var(txn.table) var(txn.host),field(2,.,0),{found}"
    if made.hosts:
        yield f"  http-request set-var(txn.table) var(txn.host),map_str({written('hosts', made.hosts)})"
    paths = written("paths", made.paths)
    yield f"  http-request set-var(txn.rule) {table},concat(,txn.path,/),map_beg({paths})"
    if made.methods:
        found = f"map_str({written('methods', made.methods)})"
        yield "  http-request set-var(txn.method) method"
        yield f"  http-request set-var(txn.rule) var(txn.rule),field(3,:),concat(:,txn.method),{found}"


def _internal(backend: Backend) -> Iterator[str]:
    """Where services reach each other. What they say about the client is believed: it survives a chain of services."""
    yield from ("", f"frontend internal-{backend.name}")
    yield f"  bind 127.0.0.1:{backend.internal_port}"
    yield _ACCESS_LOG
    yield "  http-request set-var(txn.host) req.hdr(host),host_only,rtrim(.)"
    yield "  http-request set-var(txn.path) path"
    yield "  http-request set-header X-Forwarded-For %[src] unless { req.hdr(x-forwarded-for) -m found }"
    yield "  http-request set-header X-Forwarded-Proto http unless { req.hdr(x-forwarded-proto) -m found }"
    yield f"  default_backend {backend.name}"


def _backends(backends: Iterable[Backend], rules: Mapping[str, list[Tagged]], servers: bool) -> Iterator[str]:
    for backend in sorted(backends, key=lambda backend: backend.name):
        yield from _backend(backend, rules.get(backend.name, []))
        if servers:
            for server in present(backend):
                yield f"  server {naming.name(server.name)} {server_address(server)} {SERVER_OPTIONS}"


def _backend(backend: Backend, rules: list[Tagged]) -> Iterator[str]:
    longest = max((item.rule.timeout for item in rules), default=DEFAULT_TIMEOUT)
    yield from ("", f"backend {backend.name}", "  balance roundrobin")
    yield f"  timeout server {naming.seconds(longest, f'the timeout of {backend.name}')}"
    yield from _not_ready(backend.name)
    yield "  http-request disable-l7-retry unless METH_GET || METH_OPTIONS"
    for item in rules:
        yield from _on_route(item, longest)
    # A stream of events may be silent for longer than an answer may take to begin.
    yield "  http-request set-timeout server 1h if { req.hdr(accept) -m sub text/event-stream }"


def _on_route(item: Tagged, longest: float) -> Iterator[str]:
    matched = f"if {{ var(txn.rule) -m beg {item.tag}: }}"
    rule: Rule = item.rule
    if rule.timeout != longest:
        yield f"  http-request set-timeout server {naming.seconds(rule.timeout, 'a timeout')} {matched}"
    if rule.strip and rule.path:
        prefix, pattern = rule.path.replace("%", "%%"), re.sub(r"([.+*$()])", r"\\\1", rule.path)
        yield f"  http-request set-header X-Forwarded-Prefix '{prefix}' {matched}"
        # All slashes after the prefix become one: a program that redirects to `//evil.example` leads off the site.
        yield f"  http-request replace-path '^{pattern}/*(.*)$' '/\\1' {matched}"


def _not_ready(name: str) -> Iterator[str]:
    text = f"{name} is not ready: no instance of it takes requests now; try again in a moment"
    page = f"<!doctype html><title>503 {name} is not ready</title><h1>{name} is not ready</h1>"
    page += "<p>No instance of it takes requests now. Try again in a moment.</p>"
    extra = "hdr Retry-After 2 hdr Cache-Control no-store"
    nobody = "{ nbsrv eq 0 } !{ stopping }"  # an old worker counts no servers, but serves on
    html = "{ req.hdr(accept) -m sub text/html }"
    yield f'  http-request return status 503 content-type text/html string "{page}\\n" {extra} if {nobody} {html}'
    yield f'  http-request return status 503 content-type text/plain string "{text}\\n" {extra} if {nobody}'
    answers = {
        502: f"{name} ended the connection without a whole answer",
        503: text,
        504: f"{name} did not answer in time",
    }
    for status, answer in answers.items():
        more = f" {extra}" if status == 503 else ""
        yield f'  http-error status {status} content-type text/plain string "{answer}\\n"{more}'
