"""How to build and run a source: one `BuildPlan` from its files, what the service says and what the host has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType

from fourfold.build.builders import go, java, node, python, ruby, static
from fourfold.build.builders.base import Found
from fourfold.build.command import build_step, build_text, procfile, run_argv, uses
from fourfold.build.model import APP, SHIMS, SYSTEM_PATH, BuildPlan, Host, Listing, Runtime
from fourfold.errors import UserError
from fourfold.spec.model import Service, Static

LANGUAGES: Mapping[str, ModuleType] = {"python": python, "nodejs": node, "java": java, "ruby": ruby, "go": go}
"""By the prefix of their runtimes, in the order in which they are preferred when several match."""

_PROGRAMS = {
    "python": ("python", "python3", "gunicorn", "uvicorn", "hypercorn", "flask", "celery", "waitress-serve"),
    "nodejs": ("node", "npm", "npx", "tsx"),
    "java": ("java", "javac", "mvn", "jar"),
    "ruby": ("ruby", "bundle", "rackup", "puma", "rails", "rake"),
    "go": ("go",),
}
_INTERPRETERS = {"python": ("python", "python3"), "nodejs": ("node",), "java": ("java",), "ruby": ("ruby",)}
LOOKED_FOR = (
    "a Procfile; a single .jar or executable; a Python package with __main__.py, or app.py or main.py; "
    "`scripts.start` or `main` in package.json, or server.js or index.js; config.ru or app.rb; pom.xml; go.mod; "
    "index.html"
)


def detect(listing: Listing, service: Service, host: Host) -> BuildPlan:
    """Raises UserError if a runtime is missing (naming those there) or nothing to run is found (naming what may be)."""
    plan = _detect(listing, service, host)
    return replace(plan, runtimes=(*plan.runtimes, *_called(plan, listing, host)))


def _detect(listing: Listing, service: Service, host: Host) -> BuildPlan:
    if not listing.manifest.entries and service.run is None:
        raise UserError("cannot run an empty source: it has no files", "look at `source` and the ignore files")
    site = service.static or (Static() if service.runtime == "static" else None)
    if site is None and _looks_static(listing, service):
        site = Static()
    if site is not None and service.build is None and service.run is None:
        return _static(listing, site, host)
    if (plan := _single_executable(listing, service)) is not None:
        return plan
    names, notes = _languages(listing, service)
    found = [_find(name, listing, service, host, first=name == names[0]) for name in names]
    if site is None and _argv(listing, service, found) is None and not any(part.find_jar for part in found):
        raise _nothing_to_run(listing, service)
    return _assemble(listing, service, site, host, found, notes)


def _looks_static(listing: Listing, service: Service) -> bool:
    """An index.html at the top, and no sign of a program: scripts beside it are the page's, as app.js often is."""
    if service.run or service.build or service.runtime or not static.matches(listing) or listing.has("Procfile"):
        return False
    return not any(module.matches(listing) for name, module in LANGUAGES.items() if name != "nodejs") and not any(
        map(listing.has, node.MARKERS)
    )


def _languages(listing: Listing, service: Service) -> tuple[list[str], tuple[str, ...]]:
    """The main language first, then others that the `build` command uses. Empty: nothing to prepare."""
    asked = service.runtime
    if asked == "static":
        return [], ()
    matching = [name for name, module in LANGUAGES.items() if module.matches(listing)]
    # A file such as package.json says more than a lone script of another language.
    matching.sort(key=lambda name: not any(map(listing.has, LANGUAGES[name].MARKERS)))
    used = [name for name in matching if uses(service.build, *_PROGRAMS[name])]
    if asked is not None:
        main = next(
            (name for name in LANGUAGES if asked.rstrip("0123456789.") in (name, name.removesuffix("js"))), None
        )
        if main is None:
            raise UserError(
                f"cannot use the runtime {asked!r}", "use one of python3.x, nodejsNN, javaNN, rubyN.N, go, static"
            )
        return [main, *(name for name in used if name != main)], ()
    command = service.run or procfile(listing, web=service.port is not None)
    run = [name for name in LANGUAGES if uses(command, *_PROGRAMS[name])]
    # `run: /usr/bin/python3 x` names its interpreter: without files of that language nothing needs preparing.
    plain = [name for name in run if name in matching or _is_bare(command, name)]
    ranked = [*plain, *(name for name in matching if name not in plain)]
    if not ranked:
        return [], ()
    main, rest = ranked[0], [name for name in ranked[1:] if name in used or name in plain]
    notes: tuple[str, ...] = ()
    if len(matching) > 1 and not plain:
        others = ", ".join(name for name in matching if name != main)
        notes = (f"Files of several languages: taking {main}, not {others}. Say `runtime` to choose.",)
    return [main, *rest], notes


def _is_bare(command: str | list[str] | None, name: str) -> bool:
    """Whether the command calls the language's program by plain name, so that it must be on PATH."""
    words = build_text(command).replace("exec ", "").split()
    return bool(words) and words[0] in _PROGRAMS[name]


def _find(name: str, listing: Listing, service: Service, host: Host, first: bool) -> Found:
    wanted = service.runtime if first else None
    found: Found = LANGUAGES[name].find(listing, host, wanted, build_text(service.build))
    return found


def _argv(listing: Listing, service: Service, found: list[Found]) -> tuple[str, ...] | None:
    if service.run is not None:
        return run_argv(service.run)
    if (line := procfile(listing, web=service.port is not None)) is not None:
        return run_argv(line)
    return found[0].argv if found else None


def _single_executable(listing: Listing, service: Service) -> BuildPlan | None:
    """A source that is one program: ELF, or a script with `#!`. (A JAR or a zip is one file too, but not a program.)"""
    entry = listing.only
    if entry is None or entry.link is not None or entry.path.lower().endswith((".jar", ".war", ".zip")):
        return None
    if service.runtime or service.build or not listing.head(entry).startswith((b"#!", b"\x7fELF")):
        return None
    argv = run_argv(service.run) if service.run else (f"{APP}/{entry.path}",)
    return BuildPlan(executable=(entry.path,), env={"PATH": SYSTEM_PATH}, argv=argv)


def _called(plan: BuildPlan, listing: Listing, host: Host) -> list[Runtime]:
    """Interpreters that nothing is prepared for, and yet its command, or the first line of its script, starts."""
    argv = plan.argv or ()
    script = listing.entries.get(argv[0].removeprefix(f"{APP}/")) if argv else None
    head = listing.head(script) if script is not None and script.link is None else b""
    line = head.partition(b"\n")[0].decode(errors="replace").removeprefix("#!") if head.startswith(b"#!") else ""
    text = f"{build_text(list(argv))} {line}"
    found = []
    for name in _INTERPRETERS:
        there = host.family(name)
        exact = [each for each in there if uses(text, each.path.rpartition("/")[2], each.name)]
        if any(each.name.startswith(name) for each in plan.runtimes):
            continue
        found += (exact or (there if uses(text, *_INTERPRETERS[name]) else []))[:1]
    return found


def _static(listing: Listing, site: Static, host: Host) -> BuildPlan:
    runtime, argv = static.server(host, site)
    folder = site.dir.strip("/").removeprefix("./")
    if folder not in ("", ".") and not any(path.startswith(f"{folder}/") for path in listing.entries):
        raise UserError(
            f"cannot serve {folder!r}: the source has no such folder", "look at `static.dir` and ignore files"
        )
    return BuildPlan(
        runtime=runtime,
        runtimes=(runtime,),
        files={static.SERVER: static.SERVER_TEXT},
        env={"PATH": SYSTEM_PATH},
        argv=argv,
    )


def _assemble(
    listing: Listing, service: Service, site: Static | None, host: Host, found: list[Found], notes: tuple[str, ...]
) -> BuildPlan:
    build_env = {name: value for part in reversed(found) for name, value in part.build_env.items()}
    shims = {f"{SHIMS}/{name}": text for part in found for name, text in part.shims.items()} if service.build else {}
    front = [*([f"{APP}/{SHIMS}"] if shims else []), *(folder for part in found for folder in part.path)]
    if front:  # an empty PATH would be the current folder
        build_env["PATH"] = ":".join(front)
    own = (replace(build_step(service.build), env=build_env),) if service.build else ()
    path = ":".join([*(folder for part in found for folder in part.path), SYSTEM_PATH])
    env = {name: value for part in reversed(found) for name, value in part.env.items()}
    files: dict[str, str] = {}
    argv = _argv(listing, service, found)
    server: tuple[Runtime, ...] = ()
    if site is not None and service.run is None:
        python, argv = static.server(host, site)
        server = (python,)
        files[static.SERVER] = static.SERVER_TEXT
    return BuildPlan(
        runtime=found[0].runtime if found else None,
        runtimes=(*(part.runtime for part in found), *server),
        layers=tuple(layer for part in found for layer in part.layers),
        steps=(
            *(step for part in found for step in part.before),
            *own,
            *(step for part in found for step in part.after),
        ),
        files=files,
        links={name: target for part in found for name, target in part.links.items()},
        shims=shims,
        drop=(*(name for part in found for name in part.drop), *((SHIMS,) if shims else ())),
        env={**env, "PATH": path},
        argv=argv,
        find_jar=argv is None and any(part.find_jar for part in found),
        notes=(*notes, *(note for part in found for note in part.notes)),
    )


def _nothing_to_run(listing: Listing, service: Service) -> UserError:
    there = ", ".join(sorted([*listing.top, *(f"{folder}/" for folder in listing.folders)])[:8])
    if java.matches(listing) and not listing.has("pom.xml"):
        return UserError(
            f"cannot find what to run: the source ({there}) has Java files, but no JAR with a Main-Class",
            "say how to make one in `build`, such as `javac -d classes src/*.java`, and how to start it in `run`",
        )
    if uses(service.build, "make", "gcc", "cargo"):
        return UserError(f"cannot find what to run: the source has {there}", "say what the build makes in `run`")
    return UserError(f"cannot find what to run: the source has {there}; looked for {LOOKED_FOR}", "say it in `run`")
