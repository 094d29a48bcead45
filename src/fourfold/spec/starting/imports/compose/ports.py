"""Which port a service listens on, which of them are reached from outside, and where. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from fourfold.spec.starting.imports.commands import listens
from fourfold.spec.starting.imports.compose.model import Compose, as_list
from fourfold.spec.starting.imports.compose.source import Program
from fourfold.spec.starting.imports.model import Drafted, Raw
from fourfold.spec.starting.imports.values import resolved

_TCP = frozenset((5432, 3306, 6379, 27017, 5672, 11211, 4222, 9092, 2181, 1433, 1521, 9042, 25, 53, 389, 1883, 22))
_TLS = frozenset((443, 8443))
"""The gateway ends TLS itself, and speaks HTTP to services."""
_WORKS = re.compile(
    r"(?i)(?<![a-z])(beat|celery|consumers?|cron|jobs?|migrat\w*|queue|rq|schedulers?|seed|sidekiq|workers?)(?![a-z])"
)
"""A command that listens nowhere, whatever is exposed by the Dockerfile that it shares with a server."""
_SHORT = re.compile(
    r"(?:(?P<ip>\d+(?:\.\d+)+|\[[^\]]*\]|localhost|):)?(?:(?P<published>[\d-]*):)?(?P<target>\d+)(?:-\d+)?(?:/(?P<protocol>\w+))?"
)


@dataclass
class Publishing:
    """Ports of one service."""

    targets: list[int] = field(default_factory=list)
    """What it listens on, the most likely first."""
    published: dict[int, tuple[str, int | None]] = field(default_factory=dict)
    """Target -> address and port of the host (None: any)."""
    tcp: bool = False


def ports(compose: Compose, made: Drafted, said: dict[str, Any], found: Program) -> Publishing:
    """What `ports` and `expose` tell; notes what cannot be had."""
    made_of = Publishing()
    for entry in as_list(said.get("ports")):
        target, address, published, protocol = _port(compose, entry)
        if target is None:
            made.note("ports", "it is no port that is understood here", entry)
        elif protocol not in ("tcp", "http", ""):
            made.note("ports", f"the gateway is for HTTP: {protocol} of a container is not reached from outside", entry)
        else:
            made_of.targets.append(target)
            made_of.published[target] = (address, published)
    for entry in as_list(said.get("expose")):
        match = re.match(r"\d+", compose.text(entry))
        if match and 0 < int(match[0]) < 65536:
            made_of.targets.append(int(match[0]))
    made_of.targets.sort(key=_TLS.__contains__)
    return made_of


def _port(compose: Compose, entry: Any) -> tuple[int | None, str, int | None, str]:
    if isinstance(entry, dict):
        target, published = compose.text(entry.get("target")), compose.text(entry.get("published"))
        address, protocol = compose.text(entry.get("host_ip")), compose.text(entry.get("protocol"))
    else:
        match = _SHORT.fullmatch(compose.text(entry).strip())
        if match is None:
            return None, "", None, ""
        target, published = match["target"], match["published"] or ""
        address, protocol = match["ip"] or "", match["protocol"] or ""
    if not target.isdecimal() or not 0 < int(target) < 65536:
        return None, "", None, ""
    first = published.partition("-")[0]
    number = int(first) if first.isdecimal() and 0 < int(first) < 65536 else None
    return int(target), "127.0.0.1" if address == "localhost" else address, number, protocol


def settle_port(made: Drafted, publishing: Publishing, said: str | Raw | None, found: Program) -> None:
    """One port, and whether it speaks HTTP: by the Compose file, then its `PORT`, its Dockerfile, its image."""
    text = resolved(said.text if isinstance(said, Raw) else said or "", {})
    own = int(text) if text.isdecimal() and 0 < int(text) < 65536 else None
    image, recipe = found.known, found.recipe
    works = found.command and _WORKS.search(f"{made.name} {found.command}")
    exposed = () if works else (*recipe.ports, _number(recipe.env.get("PORT")))
    usual = image.port if image and not works else None
    guesses = [*publishing.targets, own, listens(found.command), *exposed, usual]
    sure = [own, usual]  # beside what it shows to people, as RabbitMQ does
    port = next((each for each in [*(each for each in sure if each in publishing.targets), *guesses] if each), None)
    if "static" in made.keys:
        made.published = next(iter(publishing.published.values()), None)
        return
    if said is not None and text and own is None:
        made.note("environment.PORT", "PORT is set for every instance, from `port`", text)
    publishing.tcp = not image.http if image is not None else port in _TCP
    if port is None:
        return
    made.keys["port"] = port
    if publishing.tcp:
        made.keys["protocol"] = "tcp"
    for target in dict.fromkeys(publishing.targets):
        if target != port:
            made.note("ports", "an instance is reached at one port", target)
    if port in publishing.published and not publishing.tcp:
        made.published = publishing.published[port]
    elif port in publishing.published:
        address = publishing.published[port][1] or port
        made.note("ports", "the gateway is for HTTP: this is not reached from outside", f"{address}:{port}")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and 0 < int(text) < 65536 else None
