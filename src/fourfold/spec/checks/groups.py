"""What groups and their members go together with, and what they do not."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping

from fourfold.spec.checks.strategies import strategies
from fourfold.spec.groups import Group
from fourfold.spec.model import FixedPort, Service
from fourfold.spec.places import similar
from fourfold.spec.shared import Kind
from fourfold.spec.yaml.node import Path

Found = tuple[Path, str, str | None]
"""Where, what, and what to do."""

_FAMILIES: dict[Kind, str] = {"tomcat": "java", "osgi": "java", "node": "nodejs", "python": "python3"}
_ELSEWHERE = "run it as a process: `pattern: process`"


def in_process(service: Service) -> bool:
    """Whether, as a guest, it has no process of its own. Of a service whose group is known."""
    kind, mode = service.shared.kind, service.shared.mode
    return kind in ("tomcat", "osgi") or (kind == "python" and mode == "mounted")


def groups(
    found: Mapping[str, Group], declared: Collection[str], services: Mapping[str, Service], externals: Collection[str]
) -> Iterator[Found]:
    """`found`: those of the groups `declared` that could be read."""
    for name in declared:
        if name == "gateway":
            yield ("groups", name), "the name gateway is taken by the gateway itself", "choose another name"
        elif name in services or name in externals:
            what = "a service" if name in services else "an external"
            yield ("groups", name), f"{what} has this name too", "rename one of them"
    for name, group in found.items():
        yield from _group(("groups", name), group)


def _group(path: Path, group: Group) -> Iterator[Found]:
    yield from strategies(path, group.as_host())
    if group.deploy.before is not None:
        hint = "give it to the member that needs it"
        yield (*path, "deploy", "before"), "a group has no source that a command could run in", hint
    family = _FAMILIES[group.kind]
    if group.runtime is not None and not group.runtime.startswith(family):
        hint = f"say {family}…, or leave it out"
        yield (*path, "runtime"), f"a group of kind {group.kind} cannot run with {group.runtime}", hint
    for name in group.env:
        if name in ("PORT", "HOST"):
            yield (*path, "env", name), f"{name} is set for every member", "leave it out"
    try:
        shlex.split(group.java_opts)
    except ValueError as error:
        yield (*path, "java_opts"), f"cannot be split into words: {str(error).lower()}", "end each quote"


def member(path: Path, service: Service, found: Mapping[str, Group], declared: Collection[str]) -> Iterator[Found]:
    """One service whose block `shared` says something, or must."""
    name = service.shared.group
    if service.shared.kind is not None or service.shared.mode != "mounted":
        key = "kind" if service.shared.kind is not None else "mode"
        yield (*path, "shared", key), f"the group has it: `groups.{name or 'NAME'}.{key}`", "leave it out here"
    if name is not None and name not in declared:
        hint = similar(name, declared) or "it must be in `groups`"
        yield (*path, "shared", "group"), f"there is no group `{name}`", hint
    if service.pattern != "shared":
        return
    if name is None:
        yield (
            (*path, "pattern"),
            "it does not say in which group it runs",
            "add `shared: {group: NAME}`, one of `groups`",
        )
    yield from as_guest(path, service)
    if service.instances != 1:
        hint = f"leave it out, and give `instances` to the group{f' {name}' if name else ''}"
        yield (*path, "instances"), "one of it runs in each instance of its group", hint
    if name is not None and name in found:
        yield from fits(path, service, name, found[name])


def as_guest(path: Path, service: Service) -> Iterator[Found]:
    """What no group gives to a service."""
    if service.job is not None:
        yield (*path, "job"), "a group keeps its members running, a job runs to its end", _ELSEWHERE
    elif service.port is None:
        yield (*path, "port"), "it needs a port of its own in its group", "add `port: 8080`"
    elif isinstance(service.port, FixedPort):
        hint = "write `port: NUMBER`"
        yield (*path, "port"), "a new version runs beside the old one in its group, each with a port of its own", hint
    needless = {
        "image": (service.image, "an image has a file system of its own, a group has this host's"),
        "static": (service.static, "files are served by a program of ours, which shares nothing with others"),
        "function.handler": (service.function.handler, "a handler is called by a server of ours, in no group"),
        "volumes": (service.volumes, "members of a group have the files of their host, and no volumes of their own"),
        "stop.signal": (service.stop.signal != "TERM", "a host ends its members in its own way, workers by TERM"),
    }
    for key, (given, why) in needless.items():
        if given:
            yield (*path, *key.split(".")), why, _ELSEWHERE
    for index, use in enumerate(service.secrets):
        if use.file:
            hint = "let it have the secret as a variable"
            yield (*path, "secrets", index), "members of a group have no secret files", hint
    if service.secrets and not service.shared.allow_shared:
        hint = f"add `allow_shared: true` to its `shared` block, or {_ELSEWHERE}"
        yield (*path, "secrets"), "all members of a group run as one user: each can read the others' secrets", hint


def fits(path: Path, service: Service, name: str, group: Group) -> Iterator[Found]:
    """A member and its group."""
    if service.runtime is not None and service.runtime != group.runtime:
        has = group.runtime or "this host's default"
        hint = f"leave it out, or say `runtime: {service.runtime}` in the group"
        yield (*path, "runtime"), f"members have the runtime of their group: {has} in {name}", hint
