"""One HAProxy backend for each route of a service, and one for calls from other services. Pure.

That way HAProxy counts each of them by itself, and a route's rules need no condition: both at no cost per request. The
price is each server once per route.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from fourfold.gateway.model import Backend, Rule

DEFAULT_TIMEOUT = 60.0
_INTERNAL = "internal"


@dataclass(frozen=True)
class Section:
    """One `backend` section."""

    backend: Backend
    """Named for HAProxy: `app.service`, `app.service.2`, `app.service.internal`."""
    service: str
    rule: Rule | None
    """None: calls from other services."""
    timeout: float
    guarded: tuple[Rule, ...] = ()
    """Rules of the same service below this one that hold back what this one lets through."""

    @property
    def route(self) -> str:
        return str(self.rule) if self.rule else ""


def spread(backends: Iterable[Backend], rules: Iterable[Rule]) -> list[Section]:
    by_service = defaultdict(list)
    for rule in rules:
        by_service[rule.backend].append(rule)
    ordered = sorted(backends, key=lambda backend: backend.name)
    return [section for backend in ordered for section in _sections(backend, by_service[backend.name])]


def _sections(backend: Backend, rules: list[Rule]) -> Iterator[Section]:
    service = backend.name
    for number, rule in enumerate(rules, 1):
        name = service if number == 1 else f"{service}.{number}"
        own = replace(backend, name=name, internal_port=None)
        yield Section(own, service, replace(rule, backend=name), rule.timeout, _guarded(rule, rules))
    if backend.internal_port is not None or not rules:
        name = f"{service}.{_INTERNAL}" if rules else service
        longest = max((rule.timeout for rule in rules), default=DEFAULT_TIMEOUT)
        yield Section(replace(backend, name=name, maintenance=None), service, None, longest)


def _guarded(rule: Rule, rules: list[Rule]) -> tuple[Rule, ...]:
    return tuple(
        other
        for other in rules
        if (other.auth or other.limits)
        and (other.auth, other.limits) != (rule.auth, rule.limits)
        and other.path.startswith(f"{rule.path}/")
        and _meet(rule.host, other.host)
    )


def _meet(one: str | None, other: str | None) -> bool:
    """Whether a request may be of both hosts: a star is one label."""
    if one is None or other is None or one == other:
        return True
    star, host = sorted((one, other))
    return star == f"*.{host.partition('.')[2]}"


def service_of(name: str) -> str:
    """The service that a backend of HAProxy's belongs to."""
    return ".".join(name.split(".")[:2])


def of_live(services: Iterable[Backend], names: Iterable[str]) -> list[Backend]:
    """What HAProxy's backends `names` should hold."""
    wanted = {service.name: service for service in services}
    return [replace(wanted[service_of(name)], name=name) for name in names if service_of(name) in wanted]
