"""One service as HAProxy's `backend`: its servers, what its routes ask for, what is said when it is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fourfold.gateway import naming
from fourfold.gateway.model import Backend, Server
from fourfold.gateway.routing import Tagged

SERVER_OPTIONS = "pool-max-conn -1 pool-purge-delay 500ms"
"""A dynamic server has no pool of idle connections unless it is given, so that these stand on every server. Half of
the connections that are not needed go every 500 ms, before programs (Node and uvicorn: 5 s, gunicorn: 2 s) close them
from their side while a request is on its way."""
DEFAULT_TIMEOUT = 60.0


def server_address(server: Server) -> str:
    return naming.address(server.host, server.port, f"server {server.name}")


def servers(backend: Backend) -> Iterator[str]:
    """A draining server gets no new requests, so a new worker need not know it: but a bad one is refused here too."""
    for server in sorted(backend.servers, key=lambda server: server.name):
        line = f"\n  server {naming.name(server.name)} {server_address(server)} {SERVER_OPTIONS}"
        if not server.draining:
            yield line


def section(backend: Backend, rules: list[Tagged]) -> Iterator[str]:
    longest = max((item.rule.timeout for item in rules), default=DEFAULT_TIMEOUT)
    yield from ("", f"backend {backend.name}", "  balance roundrobin")
    yield f"  timeout server {naming.seconds(longest, f'the timeout of {backend.name}')}"
    yield from _errors(backend.name)
    for item in rules:
        yield from _on_route(item, longest)
    # A stream of events may be silent for longer than an answer may take to begin.
    yield "  http-request set-timeout server 1h if { req.fhdr(accept) -m beg text/event-stream }"


def _on_route(item: Tagged, longest: float) -> Iterator[str]:
    matched = f"if {{ var(txn.rule) -m beg {item.tag}: }}"
    rule = item.rule
    if rule.timeout != longest:
        yield f"  http-request set-timeout server {naming.seconds(rule.timeout, 'a timeout')} {matched}"
    if rule.strip and rule.path:
        prefix, pattern = rule.path.replace("%", "%%"), re.sub(r"([.+*$()])", r"\\\1", rule.path)
        yield f"  http-request set-header X-Forwarded-Prefix '{prefix}' {matched}"
        # All slashes after the prefix become one: a program that redirects to `//evil.example` leads off the site.
        yield f"  http-request replace-path '^{pattern}/*(.*)$' '/\\1' {matched}"


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
