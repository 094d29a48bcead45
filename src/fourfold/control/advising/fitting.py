"""What stops a service from running under each pattern: what `up --as` would refuse, in its words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from fourfold.build.command import of_procfile
from fourfold.build.kinds.pythonapps import app_in
from fourfold.control.advising.costs import costs_of, of_hours
from fourfold.control.advising.impossible import EVERYTHING, bare, refusal
from fourfold.control.advising.request import AdviceRequest
from fourfold.control.deploying.checks import check_network, check_timeout
from fourfold.control.groups.groups import spec_of
from fourfold.control.settings import Settings
from fourfold.cost.advice.advise import advise
from fourfold.cost.advice.case import Case
from fourfold.cost.advice.model import Advice, Blocker
from fourfold.cost.advice.rules import standard
from fourfold.cost.advice.source import Source
from fourfold.cost.comparison import PATTERNS, Pattern
from fourfold.cost.model import Traffic
from fourfold.cost.prices import Prices
from fourfold.errors import NotFoundError, UserError
from fourfold.launch.model import Powers
from fourfold.launch.patterns import refuse_impossible
from fourfold.spec.app import App
from fourfold.spec.checks.checks import Parts, check
from fourfold.spec.checks.groups import as_guest
from fourfold.spec.model import Service
from fourfold.spec.shared import Kind

_SETTINGS = ("pattern", "instances")
"""Keys whose contradiction is settled in the file: where its group is said, and how many there are."""


def blockers(
    app: App, name: str, source: Source | None, powers: Powers | None, function_timeout: float
) -> dict[Pattern, tuple[Blocker, ...]]:
    """`powers`: of the machine that it is to run on; None: nobody has asked one. Patterns that nothing stops are left
    out."""
    found = {pattern: tuple(_blockers(app, name, pattern, source, powers, function_timeout)) for pattern in PATTERNS}
    return {pattern: each for pattern, each in found.items() if each}


def _blockers(
    app: App, name: str, pattern: Pattern, source: Source | None, powers: Powers | None, function_timeout: float
) -> Iterator[Blocker]:
    spec = spec_of(app, name).model_copy(update={"pattern": pattern})
    said: set[str] = set()
    for finding in check(_alone(app, name, app.services[name].model_copy(update={"pattern": pattern}))):
        is_setting = pattern == "shared" and finding.path[-1] in _SETTINGS
        if is_setting and finding.path[-1] == "pattern":
            yield _without_group(app, spec, source)
        else:
            yield Blocker(kind="setting" if is_setting else "program", why=finding.message, fix=finding.hint)
        said.add(finding.message)
    if said and pattern != "shared":
        return  # what is refused of it further on comes of the same
    for check_further in (
        lambda: check_timeout(name, spec, pattern, function_timeout),
        lambda: refuse_impossible(spec, pattern, EVERYTHING),
    ):
        if (error := refusal(check_further)) and not any(what in str(error) for what in said):
            yield Blocker(kind="program", why=bare(name, error), fix=error.hint)
            return
    if powers is None:
        return
    for check_here in (
        lambda: refuse_impossible(spec, pattern, powers),
        lambda: check_network(name, spec, pattern, powers),
    ):
        if (error := refusal(check_here)) and not any(what in str(error) for what in said):
            yield Blocker(kind="host", why=bare(name, error), fix=error.hint)
            return


def _alone(app: App, name: str, spec: Service) -> Parts:
    """The app as if it had no other service: the others' contradictions are not this one's."""
    whole = Parts.of(app)
    return Parts(app.app, {name: spec}, frozenset(), app.externals, None, whole.names, app.groups, whole.declared)


def group_kind(spec: Service, source: Source | None) -> Kind | None:
    """Of the group that it lives in, or could. `spec`: with what its group says."""
    if spec.shared.kind is not None or source is None:
        return spec.shared.kind
    if source.package in ("war", "bundle"):
        return "tomcat" if source.package == "war" else "osgi"
    language = _language(spec, source)
    if language == "python":
        return "python" if spec.shared.app is not None or _starts_a_server(spec, source) else None
    return "node" if language == "nodejs" else None


def _starts_a_server(spec: Service, source: Source) -> bool:
    command = spec.run or of_procfile(source.procfile, web=spec.port is not None)
    return command is not None and refusal(lambda: void(app_in(command))) is None


def void(_: object) -> None:
    """For what is only called to see whether it refuses."""


def _without_group(app: App, spec: Service, source: Source | None) -> Blocker:
    kind = group_kind(spec, source)
    if kind is None:
        why, fix = _no_kind(spec, source)
        return Blocker(kind="program", why=why, fix=fix)
    there = next((name for name, group in app.groups.items() if group.kind == kind), None)
    new = "" if there else f"`{kind}: {{kind: {kind}}}` to `groups`, and "
    why = "it does not say in which group it runs"
    return Blocker(kind="setting", why=why, fix=f"add {new}`shared: {{group: {there or kind}}}` to it")


def _no_kind(spec: Service, source: Source | None) -> tuple[str, str | None]:
    language = _language(spec, source)
    if language == "python":
        fix = "if it has an ASGI or WSGI app, say so: `shared: {app: module:name}`"
        return "it does not say which of its apps a Python process that it shared with others would serve", fix
    if language == "java":
        return "a Java program that is neither a WAR nor an OSGi bundle has a JVM of its own", None
    if language in ("", "other"):
        return "it does not say in which group it runs", "add `shared: {group: NAME}`, one of `groups`"
    return f"there is no kind of group for {_SPOKEN.get(language, language)}", None


_SPOKEN = {"ruby": "Ruby", "go": "Go", "binary": "executables", "files": "files"}


def _language(spec: Service, source: Source | None) -> str:
    given = spec.runtime or (source.language if source is not None else "")
    return given.rstrip("0123456789.")


def mates(app: App, name: str, sources: Mapping[str, Source | None]) -> tuple[str, ...]:
    """Other services that live in its group or, where it has none, that could live in one with it."""
    spec = spec_of(app, name)
    if spec.shared.group is not None:
        return tuple(o for o, s in app.services.items() if o != name and s.shared.group == spec.shared.group)
    kind = group_kind(spec, sources.get(name))
    if kind is None or any(as_guest((), spec)):
        return ()
    others = {other: spec_of(app, other) for other in app.services if other != name}
    return tuple(
        other
        for other, theirs in others.items()
        if group_kind(theirs, sources.get(other)) == kind and not any(as_guest((), theirs))
    )


def services_of(app: App, asked: list[str] | None) -> list[str]:
    """Those that advice is asked for. Raises UserError for a group, NotFoundError for what there is not."""
    for name in asked or ():
        if name in app.groups:
            raise UserError(f"cannot advise on {name}: it is a group", "name its members: their patterns are chosen")
        if name not in app.services:
            raise NotFoundError(f"cannot find service {name}: {app.app} has {', '.join(app.services)}")
    return list(dict.fromkeys(asked)) if asked is not None else list(app.services)


def from_file(app: App, request: AdviceRequest, prices: Prices | None = None) -> list[Advice]:
    """Without a daemon. `prices`: for hours that are given. Raises UserError for what is supposed and is no fact."""
    supposed = standard().assumed(request.assume)
    return [
        advise(replace(_by_file(app, name, request, prices), supposed=supposed))
        for name in services_of(app, request.services)
    ]


def _by_file(app: App, name: str, request: AdviceRequest, prices: Prices | None) -> Case:
    spec, now = spec_of(app, name), app.services[name].pattern
    source = request.sources.get(name)
    traffic = Traffic(tuple(request.usage[name])) if name in request.usage else None
    known = of_hours(app, name, now, traffic, None, prices) if traffic is not None and prices is not None else None
    costs, break_even = costs_of(known)
    return Case(
        app=app.app,
        service=name,
        spec=spec,
        now=now,
        source=source,
        mates=mates(app, name, request.sources),
        blockers=blockers(app, name, source, None, Settings().function_timeout),
        traffic=traffic,
        prices=costs,
        break_even=break_even,
        file=request.file,
    )
