"""A route of a service as HAProxy's `backend`: its servers, what it asks for, what is said when nobody is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fourfold.gateway import naming
from fourfold.gateway.guards import guards
from fourfold.gateway.model import Backend, Rule, Server
from fourfold.gateway.spread import Section

SERVER_OPTIONS = "pool-max-conn -1 pool-purge-delay 500ms"
"""A dynamic server has no pool of idle connections unless it is given, so that these stand on every server. Half of
the connections that are not needed go every 500 ms, before programs (Node and uvicorn: 5 s, gunicorn: 2 s) close them
from their side while a request is on its way."""

COOKIE = "fourfold-"
"""Before a service's name: the cookie of its sticky routes."""


def server_address(server: Server) -> str:
    return naming.address(server.host, server.port, f"server {server.name}")


def options(server: Server) -> str:
    return SERVER_OPTIONS if server.weight == 1 else f"{SERVER_OPTIONS} weight {server.weight}"


def servers(backend: Backend) -> Iterator[str]:
    """A draining server gets no new requests, so a new worker need not know it: but a bad one is refused here too."""
    for server in sorted(backend.servers, key=lambda server: server.name):
        line = f"\n  server {naming.name(server.name)} {server_address(server)} {options(server)}"
        if not server.draining:
            yield line


def section(part: Section, maps: dict[str, str], cookie_key: str = "") -> Iterator[str]:
    """What it refers to is put into `maps`."""
    if part.backend.tcp:
        yield from _connections(part)
        return
    yield from ("", f"backend {part.backend.name}", "  balance roundrobin")
    yield f"  timeout server {naming.seconds(part.timeout, f'the timeout of {part.service}')}"
    yield from _errors(part.service)
    yield from guards(part, maps)
    if part.rule is not None and part.rule.sticky:
        yield from _sticky(part.service, part.rule, cookie_key)
    if part.rule is not None and part.rule.strip and part.rule.path:
        yield from _strip(part.rule.path)
    # A stream of events may be silent for longer than an answer may take to begin.
    yield "  http-request set-timeout server 1h if { req.fhdr(accept) -m beg text/event-stream }"


def _connections(part: Section) -> Iterator[str]:
    """Connections last, as those of a database's clients do: the instance that has fewest gets the next."""
    yield from ("", f"backend {part.backend.name}", "  mode tcp", "  balance leastconn", "  timeout tunnel 24h")


def _sticky(service: str, rule: Rule, key: str) -> Iterator[str]:
    """One cookie for all routes of a service: they have the same servers, and `dynamic` names them by address."""
    secure = " secure" if rule.secure else ""
    yield f"  cookie {COOKIE}{service} insert indirect nocache httponly{secure} attr SameSite=Lax dynamic"
    yield f"  dynamic-cookie-key {key or service}"


def _strip(path: str) -> Iterator[str]:
    prefix, pattern = path.replace("%", "%%"), re.sub(r"([.+*$()])", r"\\\1", path)
    yield f"  http-request set-header X-Forwarded-Prefix '{prefix}'"
    # All slashes after the prefix become one: a program that redirects to `//evil.example` leads off the site.
    yield f"  http-request replace-path '^{pattern}/*(.*)$' '/\\1'"


def _errors(name: str) -> Iterator[str]:
    """What is answered for a program that does not. HAProxy has no condition here, so that browsers get text too."""
    answers = {
        502: f"{name} ended the connection without a whole answer",
        503: f"{name} is not ready: no instance of it takes requests now; try again in a moment",
        504: f"{name} did not answer in time",
    }
    for status, answer in answers.items():
        more = " hdr Retry-After 2 hdr Cache-Control no-store" if status == 503 else ""
        yield f'  http-error status {status} content-type text/plain string "{answer}\\n"{more}'
