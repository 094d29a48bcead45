"""Groups of kind osgi: the framework of this host and what tells it what to do; their members' bundles. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fourfold.build import detect
from fourfold.build.builders.java import JAR_FOLDERS
from fourfold.build.kinds import jvm
from fourfold.build.model import APP, BuildPlan, Host, Listing, Step
from fourfold.errors import UserError
from fourfold.spec import groups
from fourfold.spec.model import Service

FRAMEWORKS = {"equinox": "libeclipse-osgi-java", "felix": "libfelix-framework-java"}
"""As `Host.tools` has them, best first, with their Debian packages."""
FOLDERS = ("bundles", "plugins", "generated", *JAR_FOLDERS)
"""Where bundles are looked for: what a source brings along, then what its build makes; started in that order."""
_MAIN = "fourfold.host.Osgi"
_NAME = "Bundle-SymbolicName"


@dataclass(frozen=True)
class Bundle:
    path: str
    """In the tree."""
    name: str
    version: str
    singleton: bool = False
    """Says that a framework may have one of it."""
    extension: bool = False
    """A fragment of the framework itself, which all guests would get."""


def host(service: groups.Host, host: Host) -> BuildPlan:
    """Raises UserError where this host has no framework, or no Java to compile with."""
    runtime = jvm.java(host, service.runtime)
    made = jvm.program(host, runtime, "osgi", (framework(host),))
    return jvm.plan(runtime, made, _MAIN, service.group.java_opts)


def guest(listing: Listing, service: Service, host: Host) -> BuildPlan:
    """Raises UserError where there is no bundle and nothing makes one, or one cannot be among others."""
    plan = _bundles(listing, service, host)
    found = () if plan.find_bundles is not None else of_source(listing)
    require_guests(found)
    said = ("`run` is for other patterns: in a group, its bundles are started.",) if service.run is not None else ()
    return replace(plan, argv=plan.argv and tuple(f"{APP}/{each.path}" for each in found), notes=plan.notes + said)


def require_guests(bundles: Iterable[Bundle]) -> None:
    """Raises UserError for one that cannot be among bundles of others."""
    for each in bundles:
        if each.extension:
            raise UserError(
                f"cannot run {each.path} in a group: it extends the framework, which is everybody's",
                "run it as a process, where it has a framework of its own",
            )


def is_bundles(listing: Listing, service: Service) -> bool:
    """Whether, as a process, its bundles are to be started in a framework of their own: nothing else says how to."""
    if service.run is not None or listing.has("Procfile") or service.runtime not in (None, *_javas(service)):
        return False
    if service.shared.kind == "osgi":
        return True
    if service.build is not None or listing.has("pom.xml"):
        return False
    runnable = any(listing.main_class(listing.entries[name]) for name in listing.ending(".jar", ".war"))
    return not runnable and bool(of_source(listing))


def alone(listing: Listing, service: Service, host: Host) -> BuildPlan:
    """The same program and one guest. Raises UserError as `host` and `guest` do."""
    plan = _bundles(listing, service, host)
    assert plan.runtime is not None
    made = jvm.program(host, jvm.java(host, plan.runtime.name), "osgi", (framework(host),))
    command = (*jvm.command(plan.runtime, made.classpath, _MAIN), "--alone")
    return replace(
        plan,
        layers=(*plan.layers, jvm.layer(made)),
        env={**plan.env, **jvm.environment(plan.runtime)},
        argv=plan.argv and (*command, *plan.argv),
        find_bundles=None if plan.argv else command,
    )


def framework(host: Host) -> str:
    """The JAR. Raises UserError where this host has none."""
    for name in FRAMEWORKS:
        if path := host.tools.get(name):
            return path
    packages = " or ".join(FRAMEWORKS.values())
    raise UserError(f"cannot run OSGi bundles: {host.place} has neither Equinox nor Felix", f"apt install {packages}")


def of_source(listing: Listing) -> tuple[Bundle, ...]:
    """In the order in which they are started."""
    jars = [path for path in listing.entries if path.lower().endswith(".jar") and _folder(path) in FOLDERS]
    return sort({path: listing.jar_headers(listing.entries[path]) for path in jars})


def sort(headers: Mapping[str, Mapping[str, str]]) -> tuple[Bundle, ...]:
    """JARs by their path in the tree, with the headers of their manifests -> those that are bundles, each once."""
    found: dict[tuple[str, str], Bundle] = {}
    for path in sorted(headers, key=lambda path: (FOLDERS.index(_folder(path)), path)):
        if (bundle := read(path, headers[path])) is not None:
            found.setdefault((bundle.name, bundle.version), bundle)
    return tuple(found.values())


def read(path: str, headers: Mapping[str, str]) -> Bundle | None:
    """OSGi Core 8, 3.2.1 "Bundle Manifest Headers"; None for a JAR that is no bundle."""
    name, *directives = [part.strip() for part in headers.get(_NAME.lower(), "").split(";")]
    if not name:
        return None
    singleton = any(re.fullmatch(r'singleton\s*:?=\s*"?true"?', part) for part in directives)
    extension = bool(re.search(r"extension\s*:=\s*\"?(framework|bootclasspath)", headers.get("fragment-host", "")))
    return Bundle(path, name, headers.get("bundle-version", "0.0.0").strip(), singleton, extension)


def _bundles(listing: Listing, service: Service, host: Host) -> BuildPlan:
    """What its bundles are made by; `argv` are those that are there, None where they are looked for in the result."""
    wanted = service.runtime if service.runtime in _javas(service) else None
    runtime = jvm.java(host, wanted)
    if service.build is not None or listing.has("pom.xml"):
        made = service.model_copy(update={"run": ["-"], "runtime": wanted or runtime.name, "static": None})
        plan = detect.detect(listing, made, host)
        steps = tuple(_with_api(step, framework(host)) for step in plan.steps)
        return replace(plan, steps=steps, argv=None, find_jar=False, find_bundles=())
    found = of_source(listing)
    if not found:
        raise _no_bundle(listing.entries)
    notes = tuple(_notes(found, [path for path in listing.entries if path.lower().endswith(".jar")]))
    argv = tuple(f"{APP}/{each.path}" for each in found)
    env = jvm.environment(runtime)
    return BuildPlan(runtime=runtime, runtimes=(runtime,), env=env, argv=argv, notes=notes)


def _with_api(step: Step, framework: str) -> Step:
    """`build: javac …` finds the framework's packages: CLASSPATH is what javac(1) looks into without `-cp`."""
    return replace(step, env={"CLASSPATH": framework, **step.env}) if step.own else step


def _javas(service: Service) -> tuple[str, ...]:
    return (service.runtime,) if service.runtime is not None and service.runtime.startswith("java") else ()


def _notes(found: Iterable[Bundle], jars: list[str]) -> Iterable[str]:
    yield "Bundles: " + ", ".join(f"{each.name} {each.version}" for each in found)
    if left := sorted(path for path in jars if path not in {each.path for each in found})[:5]:
        yield f"Not started, being no bundles, or the same ones again, or in another folder: {', '.join(left)}"


def _no_bundle(paths: Iterable[str]) -> UserError:
    there = ", ".join(sorted(paths)[:5]) or "nothing"
    return UserError(
        f"cannot find a bundle: the source ({there}) has no JAR with a {_NAME} at its top or in "
        + ", ".join(folder for folder in FOLDERS if folder),
        "name it in the JAR's manifest, or say in `build` how to make it (bnd, or jar with a manifest)",
    )


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
