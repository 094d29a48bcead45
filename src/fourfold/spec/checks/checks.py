"""What must hold between the parts of an app, beyond each part for itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fourfold.spec.app import App
from fourfold.spec.checks.functions import functions_and_jobs
from fourfold.spec.checks.groups import groups, member
from fourfold.spec.checks.strategies import strategies
from fourfold.spec.checks.triggers import queues_shared
from fourfold.spec.gateway import Gateway, Route
from fourfold.spec.groups import Group
from fourfold.spec.model import Container, External, Service, Vm
from fourfold.spec.places import similar
from fourfold.spec.scaling import TOLERANCE
from fourfold.spec.yaml.node import Path

_SOURCE = Service.model_fields["source"].default
_BASE = Container.model_fields["base"].default
_MACHINE_BASE = Vm.model_fields["base"].default


@dataclass(frozen=True)
class Finding:
    """One contradiction, at a path of the app."""

    path: Path
    message: str
    hint: str | None = None


@dataclass(frozen=True)
class Parts:
    """As much of an app as could be read; `names` are all that were declared, readable or not."""

    app: str | None = None
    services: Mapping[str, Service] = field(default_factory=dict)
    partial: frozenset[str] = frozenset()
    """Services of which some keys could not be read: nothing is said about what they lack."""
    externals: Mapping[str, External] = field(default_factory=dict)
    gateway: Gateway | None = None
    names: frozenset[str] = frozenset()
    groups: Mapping[str, Group] = field(default_factory=dict)
    declared: frozenset[str] = frozenset()
    """Names of all groups, readable or not."""

    @classmethod
    def of(cls, app: App) -> Parts:
        names = frozenset(app.services) | frozenset(app.externals)
        declared = frozenset(app.groups)
        return cls(app.app, app.services, frozenset(), app.externals, app.gateway, names, app.groups, declared)


def check(parts: Parts) -> list[Finding]:
    """Everything that contradicts something else."""
    findings = [*_reserved(parts), *_dependencies(parts), *_cycles(parts), *_routes(parts), *_ports(parts)]
    for name, service in parts.services.items():
        if name not in parts.partial:
            findings += _service(("services", name), service)
    return [*findings, *(Finding(*found) for found in (*queues_shared(parts.services), *_groups(parts)))]


def _groups(parts: Parts) -> Iterator[tuple[Path, str, str | None]]:
    yield from groups(parts.groups, sorted(parts.declared), parts.services, parts.externals)
    whole = {name: service for name, service in parts.services.items() if name not in parts.partial}
    for name, service in whole.items():
        yield from member(("services", name), service, parts.groups, sorted(parts.declared))


def _reserved(parts: Parts) -> Iterator[Finding]:
    if parts.app == "fourfold":
        yield Finding(("app",), "the name fourfold is taken by Fourfold itself", "choose another name")
    for name in parts.services:
        if name == "gateway":
            yield Finding(("services", name), "the name gateway is taken by the gateway itself", "choose another name")
    for name in parts.externals:
        if name in parts.services:
            yield Finding(("externals", name), "a service has this name too", "rename one of them")


def _dependencies(parts: Parts) -> Iterator[Finding]:
    for name, service in parts.services.items():
        for index, needed in enumerate(service.depends_on):
            path = ("services", name, "depends_on", index)
            if needed not in parts.names:
                hint = similar(needed, parts.names) or "it must be in `services` or `externals`"
                yield Finding(path, f"there is no service or external `{needed}`", hint)
            elif needed in service.depends_on[:index]:
                yield Finding(path, f"`{needed}` is listed twice")


def _cycles(parts: Parts) -> Iterator[Finding]:
    """Each cycle once, named in full, found by a depth-first walk that keeps its own stack."""
    done: set[str] = set()
    for start in parts.services:
        trail: list[str] = []
        stack: list[tuple[str, Iterator[str]]] = []
        name: str | None = start
        while name is not None or stack:
            if name is not None and name not in done and name in parts.services:
                trail.append(name)
                done.add(name)
                stack.append((name, iter(parts.services[name].depends_on)))
            name = next(stack[-1][1], None) if stack else None
            if name is None and stack:
                stack.pop()
                trail.pop()
            elif name in trail:
                cycle = [*trail[trail.index(name) :], name]
                path = ("services", cycle[-2], "depends_on", parts.services[cycle[-2]].depends_on.index(name))
                yield Finding(path, f"depends on itself: {' -> '.join(cycle)}", "leave one of these out")


def _routes(parts: Parts) -> Iterator[Finding]:
    taken: dict[tuple[str | None, str], list[tuple[str, Route]]] = {}
    for name, service in parts.services.items():
        for index, route in enumerate(service.route):
            path = ("services", name, "route", index)
            place = (route.host, route.path.rstrip("/") or "/")
            for other, earlier in taken.setdefault(place, []):
                if not route.methods or not earlier.methods or set(route.methods) & set(earlier.methods):
                    whose = "this service has it twice" if other == name else f"service `{other}` has it too"
                    yield Finding(path, f"the route {_shown(route)} is taken: {whose}", "change host, path or method")
                    break
            taken[place].append((name, route))


def _ports(parts: Parts) -> Iterator[Finding]:
    taken: dict[int, str] = {}
    if parts.gateway:
        taken[int(parts.gateway.listen.rpartition(":")[2])] = "the gateway"
    for name, service in parts.services.items():
        if (port := service.host_port(service.pattern)) is None:
            continue
        path = ("services", name, "port", "fixed")
        if owner := taken.get(port):
            yield Finding(path, f"the port {port} is taken by {owner}", "choose another one")
        taken.setdefault(port, f"service `{name}`")
        if service.most > 1:
            message = f"{service.most} instances cannot share one fixed port"
            yield Finding(("services", name, "instances"), message, "write `port: NUMBER`, and listen on $PORT")


def _service(path: Path, service: Service) -> Iterator[Finding]:
    if service.static and service.run:
        yield Finding((*path, "static"), "a service either serves files or runs a program: `run` is given too")
    if service.route and service.port is None:
        hint = "add `port: 8080`, and listen on $PORT"
        yield Finding((*path, "route"), "a route needs a `port` to send requests to", hint)
    yield from _protocol(path, service)
    live = service.health and service.health.live
    for probe, place in ((service.health, (*path, "health")), (live, (*path, "health", "live"))):
        if probe and service.port is None and (probe.path or probe.tcp):
            yield Finding(place, "asking over the network needs a `port`", "add `port`, or ask with `command`")
    yield from _scaling(path, service)
    yield from _image(path, service)
    yield from _environment(path, service)
    yield from _volumes(path, service)
    for found in (*functions_and_jobs(path, service), *strategies(path, service)):
        yield Finding(*found)


def _scaling(path: Path, service: Service) -> Iterator[Finding]:
    """What its load would never tell."""
    if service.scaling is None:
        return
    targets, limit = service.scaling.per_instance.targets, service.resources.cpu
    for name in ("rps", "concurrency"):
        if name in targets and service.port is None and service.job is None:
            place = (*path, "instances", "per_instance", name)
            yield Finding(place, "requests are counted where a `port` takes them", "add `port`, or scale by `cpu`")
    if "rps" in targets and service.protocol == "tcp":
        place = (*path, "instances", "per_instance", "rps")
        yield Finding(place, "requests are not seen where a service speaks TCP", "scale by `concurrency` or `cpu`")
    if limit is not None and targets.get("cpu", 0.0) * (1 + TOLERANCE) > limit:
        place = (*path, "instances", "per_instance", "cpu")
        what = f"an instance that may take {limit:g} cores is never seen to take clearly more than {targets['cpu']:g}"
        yield Finding(place, what, f"at most {limit / (1 + TOLERANCE):.2g} is of use, or raise `resources.cpu`")


def _protocol(path: Path, service: Service) -> Iterator[Finding]:
    """TCP is for what other services call: the gateway's own address speaks HTTP."""
    if service.protocol == "http":
        return
    place = (*path, "protocol")
    if service.port is None:
        yield Finding(place, "a protocol needs a `port` at which it is spoken", "add `port: 5432`")
    for key, given in (("route", service.route), ("static", service.static), ("handler", service.function.handler)):
        if given:
            hint = "leave `protocol` out, or give that to another service"
            yield Finding(place, f"`{key}` is for HTTP, and this service speaks TCP", hint)
    if service.pattern in ("function", "shared"):
        yield Finding(place, f"a {service.pattern} service answers HTTP requests", "run it as another pattern")


def _image(path: Path, service: Service) -> Iterator[Finding]:
    """A ready-made image has all that is in it; `run` and `env` say how this service starts it."""
    block = service.container
    if service.image is None:
        if block.dockerfile and block.base != _BASE:
            hint = "leave `base` out: the Dockerfile says what it begins with"
            yield Finding((*path, "container", "base"), "a Dockerfile has a base of its own", hint)
        return
    if service.pattern in ("process", "function"):
        hint = f"add `pattern: container` or `pattern: vm`; for a {service.pattern} give `source` instead"
        yield Finding((*path, "image"), "an image runs as a container or in a virtual machine only", hint)
    made = {"source": service.source != _SOURCE, "runtime": service.runtime, "build": service.build}
    made |= {"static": service.static, "container.base": block.base != _BASE, "container.dockerfile": block.dockerfile}
    made |= {"vm.base": service.vm.base != _MACHINE_BASE}
    for key, given in made.items():
        if given:
            hint = f"leave out `{key}` or `image`"
            yield Finding((*path, *key.split(".")), f"`image` is ready-made: `{key}` says how to make one", hint)


def _environment(path: Path, service: Service) -> Iterator[Finding]:
    for name in service.env:
        if name in ("PORT", "HOST"):
            hint = "use `port`" if name == "PORT" else "a program binds the address it finds there"
            yield Finding((*path, "env", name), f"{name} is set for every instance", hint)
    seen: set[str] = set()
    for index, use in enumerate(service.secrets):
        place = (*path, "secrets", index)
        if use.env in ("PORT", "HOST"):
            yield Finding(place, f"{use.env} is set for every instance", "choose another variable: {NAME: secret}")
        elif use.env in service.env:
            yield Finding(place, f"`env` sets {use.env} too", "leave one of them out")
        elif use.env in seen:
            yield Finding(place, f"{use.env} is listed twice")
        seen.add(use.env)
    files = [use.file for use in service.secrets if use.file]
    for index, use in enumerate(service.secrets):
        if use.file and files.count(use.file) > 1:
            yield Finding((*path, "secrets", index), f"several secrets are written to {use.file}")


def _volumes(path: Path, service: Service) -> Iterator[Finding]:
    names: set[str] = set()
    paths: set[str] = set()
    for index, volume in enumerate(service.volumes):
        place = (*path, "volumes", index)
        if volume.name in names:
            yield Finding((*place, "name"), f"two volumes are named `{volume.name}`")
        if volume.path in paths:
            yield Finding((*place, "path"), f"two volumes stand at {volume.path}")
        names.add(volume.name)
        paths.add(volume.path)


def _shown(route: Route) -> str:
    return f"{'/'.join(route.methods)} {route.host or ''}{route.path}".strip()
