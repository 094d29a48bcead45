"""Addresses that are listened on, as HAProxy's `frontend`s: who asks, and which rule a request matches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from fourfold.gateway import naming
from fourfold.gateway.model import Backend, Frontend, GatewayConfig, Machine, Rule
from fourfold.gateway.routing import Tables, tables

NOWHERE = "no-route"
"""The backend of requests that no rule matches; services' backends have a dot in their names."""
_SANE_ID = "^[A-Za-z0-9._:/+=-]{1,128}$"


def frontends(
    config: GatewayConfig,
    ruled: Iterable[list[Rule]],
    maps: dict[str, str],
    machine: Machine,
    certificates: Mapping[str, str],
) -> Iterator[str]:
    for frontend, rules in zip(config.frontends, ruled, strict=True):
        yield from _public(frontend, tables(rules), maps, machine, certificates)
    for backend in sorted(config.backends, key=lambda backend: backend.name):
        if backend.internal_port is not None:
            yield from _internal(backend, config.bridge)


def _public(
    frontend: Frontend, made: Tables, maps: dict[str, str], machine: Machine, certificates: Mapping[str, str]
) -> Iterator[str]:
    host, port = naming.listen(frontend.listen)
    tls = ""
    if frontend.certificate:
        tls = f" ssl crt {certificates[frontend.certificate]} alpn h2,http/1.1"
    yield from ("", f"frontend public-{host or '*'}:{port}".replace("*", "all"))
    yield from _binds(host, port, tls, machine)
    yield from _logged()
    yield from _identified(believed=False)
    yield from _forwarded("https" if tls else "http", port)
    yield from _lookups(made, maps)
    yield f"  default_backend {NOWHERE}"  # also where a rule is found for other methods only
    if frontend.redirect and frontend.certificate:
        suffix = "" if port == 443 else f":{port}"
        yield from ("", f"frontend redirect-{host or '*'}:80".replace("*", "all"))
        yield from _binds(host, 80, "", machine)
        yield from _logged()
        yield from _identified(believed=False)
        yield f"  http-request redirect location https://%[req.hdr(host),host_only]{suffix}%[pathq] code 308"


def _logged() -> Iterator[str]:
    """What the access log tells of a request that is gone by then (render.LOG): slot 0 is its host."""
    yield "  log global"  # in frontends only: backends would log every change of a server
    yield "  capture request header Host len 255"
    yield "  http-request set-var(txn.path) path"


def _identified(believed: bool) -> Iterator[str]:
    """Each request's id, as services, clients and the access log have it. Only other services' word counts for one.

    It stands in the log as it is: no quotes. `unique-id-header` adds one when all rules have been gone through.
    """
    if believed:
        yield f"  http-request set-var(txn.id) req.hdr(x-request-id) if {{ req.hdr(x-request-id) -m reg {_SANE_ID} }}"
        yield "  http-request set-var(txn.id) uuid() unless { var(txn.id) -m found }"
    yield f"  unique-id-format %[{'var(txn.id)' if believed else 'uuid()'}]"
    yield "  unique-id-header X-Request-Id"
    yield "  http-request del-header x-request-id"
    yield "  http-after-response set-header X-Request-Id %[unique-id]"


def _binds(host: str, port: int, options: str, machine: Machine) -> Iterator[str]:
    if host:
        yield f"  bind {naming.address(host, port, 'listen')}{options}"
        return
    yield f"  bind 0.0.0.0:{port}{options}"
    if machine.ipv6:
        yield f"  bind [::]:{port} v6only{options}"


def _forwarded(scheme: str, port: int) -> Iterator[str]:
    """Who asked, told by us alone: what a client says about it itself goes.

    With it go the spellings that CGI-like servers cannot tell apart (`X_Forwarded_For`). Prefixes and whole names are
    compared here, as regular expressions cost several times as much on every header of every request.
    """
    yield from _no_tunnels()
    for prefix in ("x-forwarded", "x_forwarded", "x-real-", "x_real_"):
        yield f"  http-request del-header {prefix} -m beg"
    for name in ("x-real_ip", "x_real-ip", "forwarded", "proxy"):
        yield f"  http-request del-header {name}"
    yield "  option forwardfor"
    yield f"  http-request add-header X-Forwarded-Proto {scheme}"
    yield f"  http-request add-header X-Forwarded-Port {port}"
    yield "  http-request add-header X-Forwarded-Host %[capture.req.hdr(0)]"


def _no_tunnels() -> Iterator[str]:
    """But for WebSockets: what else a program agrees to (CONNECT, h2c) would carry requests past all of our rules.

    Tokens in `Connection` go, which would make a program's own proxy drop our headers (RFC 9110, section 7.6.1).
    """
    yield "  http-request return status 405 if METH_CONNECT"
    websocket = "{ req.fhdr(upgrade) -i websocket } { req.hdr(connection) -i upgrade }"
    yield f"  http-request del-header upgrade unless {websocket}"
    yield "  http-request del-header connection unless { req.fhdr(upgrade) -m found }"
    yield "  http-request set-header connection upgrade if { req.fhdr(upgrade) -m found }"


def _lookups(made: Tables, maps: dict[str, str]) -> Iterator[str]:
    """The request's rule into txn.rule, and its backend. A lookup that finds nothing leaves the variable as it was."""

    def written(kind: str, entries: Mapping[str, str]) -> str:
        text = "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))
        name = f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.map"
        maps[name] = text
        return name

    if not made.paths:
        return
    if not (made.hosts or made.wildcards or made.methods):  # most are so simple: the longest path has it
        backends = {path: value.split(":")[1] for path, value in made.paths.items()}
        yield f"  use_backend %[var(txn.path),concat(/),map_beg({written('paths', backends)})]"
        return
    paths = f"map_beg({written('paths', made.paths)})"
    methods = ""
    if made.methods:
        methods = f"field(3,:),concat(:,txn.method),map_str({written('methods', made.methods)})"
        yield "  http-request set-var(txn.method) method"

    def lookup(variable: str, key: str) -> Iterator[str]:
        yield f"  http-request set-var({variable}) {key},{paths}"
        if methods:
            yield f"  http-request set-var({variable}) var({variable}),{methods}"

    yield from lookup("txn.rule", "var(txn.path),concat(/)")
    if made.hosts or made.wildcards:
        yield "  http-request set-var(txn.host) req.hdr(host),host_only,rtrim(.)"
    for kind, key, hosts in (("wildcards", "field(2,.,0),", made.wildcards), ("hosts", "", made.hosts)):
        if hosts:
            found = f"map_str({written(kind, hosts)})"
            yield "  http-request set-var(txn.weight) int(0)"
            yield "  http-request set-var(txn.weight) var(txn.rule),field(1,:)"
            yield f"  http-request set-var(txn.table) var(txn.host),{key}{found}"
            yield from lookup("txn.other", "var(txn.table),concat(,txn.path,/)")
            better = "{ var(txn.other),field(1,:),sub(txn.weight) ge 0 }"
            yield f"  http-request set-var(txn.rule) var(txn.other) if {better}"
    yield "  use_backend %[var(txn.rule),field(2,:)]"


def nowhere() -> Iterator[str]:
    text = '"no route matches this host, path and method\\n"'
    yield from ("", f"backend {NOWHERE}")
    yield f"  http-request return status 404 content-type text/plain string {text}"


def _internal(backend: Backend, bridge: str | None) -> Iterator[str]:
    """Where services reach each other. What they say about the client is believed: it survives a chain of services.

    `transparent`: HAProxy starts also while the bridge is not there (again) yet, as after a reboot.
    """
    yield from ("", f"frontend internal-{backend.name}")
    yield f"  bind 127.0.0.1:{backend.internal_port}"
    if bridge:
        yield f"  bind {naming.address(bridge, backend.internal_port or 0, 'the bridge')} transparent"
    if backend.tcp:
        yield "  mode tcp"
        yield "  log-format %ci"  # nothing is logged, but HAProxy refuses the usual one, which is of requests
        yield f"  default_backend {backend.name}"
        return
    yield from _logged()
    yield from _identified(believed=True)
    yield from _no_tunnels()
    yield "  http-request set-header X-Forwarded-For %[src] unless { req.hdr(x-forwarded-for) -m found }"
    yield "  http-request set-header X-Forwarded-Proto http unless { req.hdr(x-forwarded-proto) -m found }"
    yield f"  default_backend {backend.name}"
