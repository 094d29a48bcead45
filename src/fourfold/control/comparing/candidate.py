"""What runs beside a service to be measured: the same release under one pattern, as an app of its own."""

from __future__ import annotations

import re
import secrets as random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fourfold.control.comparing.left import PREFIX
from fourfold.cost.comparison import Pattern
from fourfold.errors import FourfoldError, SpecError, UserError
from fourfold.spec.deploy import STAGED, STAGED_KEYS
from fourfold.spec.shared import Kind

MEMBER = "{service}-{number}"
"""Further members of a group, which are the same service again."""
_NOT_MEASURED = ("depends_on", "triggers")
"""Keys of a service that a candidate has not: what it calls is the live app's, and events are for the live one."""


@dataclass(frozen=True)
class Live:
    """The service as it runs, and what of its app a candidate needs."""

    app: str
    service: str
    spec: Mapping[str, Any]
    """Of its release, as JSON."""
    source: str
    externals: Mapping[str, Any]
    group: str | None = None
    """Name of the group that it lives in, or could."""
    group_spec: Mapping[str, Any] | None = None
    """`spec.groups.Group` as JSON, where that group is there."""
    kind: Kind | None = None
    """Of a group that could take it in."""
    runtime: str | None = None
    """That it runs on, such as `python3.11`."""


@dataclass(frozen=True)
class CandidateApp:
    name: str
    pattern: Pattern
    service: str
    app: Mapping[str, Any]
    """`spec.app.App` as JSON."""

    @property
    def has_port(self) -> bool:
        return self.app["services"][self.service].get("port") is not None

    @property
    def group(self) -> str | None:
        """That it lives in."""
        shared = self.app["services"][self.service]["shared"]
        return str(shared["group"]) if self.pattern == "shared" else None

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(self.app["services"])


def refuse_job(service: str, spec: Mapping[str, Any]) -> None:
    if spec.get("job") is not None:
        raise UserError(
            f"cannot compare {service}: it is a job, and what a run of it does has effects",
            f"see what fits it: fourfold advise {service}",
        )


def new_name(pattern: Pattern, is_there: Callable[[str], bool]) -> str:
    """Of an app of which nothing is there: all that is called so will be deleted."""
    while is_there(name := f"{PREFIX}{random.token_hex(2)}-{pattern}"):
        pass
    return name


def _deploy(live: dict[str, Any]) -> dict[str, Any]:
    """What a release does once, this one has done; and the time that a step waits is nothing of the pattern's."""
    kept = {key: value for key, value in live.items() if key not in STAGED_KEYS}
    strategy = live.get("strategy", "rolling")
    return {**kept, "strategy": "rolling" if strategy in STAGED else strategy, "before": None}


def candidate(live: Live, pattern: Pattern, name: str, port: int) -> CandidateApp:
    """`port`: of its gateway's listener on loopback. Raises UserError where its file tells that it cannot run so."""
    spec = {key: value for key, value in live.spec.items() if key not in _NOT_MEASURED}
    spec |= {"pattern": pattern, "instances": 1}
    spec["deploy"] = _deploy(spec.get("deploy") or {})
    spec["function"] = {**(spec.get("function") or {}), "on_failure": None}  # nothing of it is to reach another
    spec["route"] = [_open(route) for route in spec.get("route") or ()]
    if spec.get("port") is not None and not spec["route"]:
        spec["route"] = [{"path": "/"}]
    shared = {key: value for key, value in (spec.get("shared") or {}).items() if key not in ("group", "kind", "mode")}
    group, groups = _group(live) if pattern == "shared" else _own_group(live)
    spec["shared"] = {**shared, "group": group}
    app = {
        "app": name,
        "services": {live.service: spec},
        "groups": groups,
        "externals": dict(live.externals),
        "gateway": {"listen": f"127.0.0.1:{port}"},
    }
    return CandidateApp(name, pattern, live.service, app)


def _open(route: Mapping[str, Any]) -> dict[str, Any]:
    """Without what the gateway would hold back of a load, or give to one instance alone."""
    return {key: value for key, value in route.items() if key not in ("limits", "auth", "sticky")}


def _own_group(live: Live) -> tuple[str | None, dict[str, Any]]:
    """With nobody else in it: what a service is built into follows from the kind of its group, under every pattern."""
    if live.group is None or live.group_spec is None:
        return None, {}
    return live.group, {live.group: {**live.group_spec, "instances": 1}}


def _group(live: Live) -> tuple[str, dict[str, Any]]:
    """Its own one; else one that is made up."""
    name, own = _own_group(live)
    if name is not None:
        return name, own
    if live.kind is None:
        runtime = live.runtime or "what it runs on"
        why = (
            "a Java program that is neither a web application nor a bundle has a JVM of its own"
            if runtime.startswith("java")
            else f"there is none for {runtime}"
        )
        raise UserError(f"cannot run {live.service} in a group: {why}")
    name = live.group or f"{live.service}-group"
    made: dict[str, Any] = {"kind": live.kind}
    if live.spec.get("runtime"):
        made["runtime"] = live.spec["runtime"]
    return name, {name: made}


def with_more(candidate: CandidateApp, count: int) -> CandidateApp | None:
    """With `count` of what one more instance is under its pattern, where the service file says how many: members of a
    group, sandboxes of a function that are always there. None: that is for `scale`."""
    spec = candidate.app["services"][candidate.service]
    if candidate.pattern == "shared":
        member = {key: value for key, value in spec.items() if key != "route"}
        names = [MEMBER.format(service=candidate.service, number=number) for number in range(2, count + 1)]
        return _with(candidate, {**candidate.app["services"], **dict.fromkeys(names, member)})
    if candidate.pattern == "function":
        function = spec.get("function") or {}
        most = max(int(function.get("concurrency", 0)), count)
        wanted = {**spec, "function": {**function, "provisioned": count, "concurrency": most}}
        return _with(candidate, {candidate.service: wanted})
    return None


def _with(candidate: CandidateApp, services: Mapping[str, Any]) -> CandidateApp:
    return replace(candidate, app={**candidate.app, "services": dict(services)})


def reason(error: FourfoldError, app: str, service: str) -> str:
    """Why a pattern is not available, in one line: no place in a file, for nobody has written it, no name of an
    instance of the candidate's `app` (empty: there is none), which is gone when it is read, and not in front that of
    the service, which stands above it."""
    told = "; ".join(each.message for each in error.problems) if isinstance(error, SpecError) else error.what
    told = " ".join(told.split()).removeprefix(f"{service}: ")
    return re.sub(rf"\b{re.escape(app)}\.[\w-]+", "it", told) if app else told
