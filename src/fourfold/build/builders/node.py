"""Node.js: dependencies by npm into node_modules.

Packages are downloaded with network but without running any of their scripts; their install scripts then run without
network (`npm rebuild`). With a `build` command, development dependencies are there for it and pruned behind it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from fourfold.build.builders.base import Found, choose, need_kinds, need_tool
from fourfold.build.command import run_argv
from fourfold.build.model import APP, Host, Layer, Listing, Runtime, Step, shell
from fourfold.errors import UserError

_LOCKS = ("package-lock.json", "npm-shrinkwrap.json")
_DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies")
_NOT_NPM = ("workspace:", "catalog:", "portal:", "patch:")
_COMMAND = re.compile(r"(?:^|[;&|(\n])\s*(?:[A-Z_]+=\S*\s+)*(yarn|pnpm|bun)\b")
"""Other package managers where a shell expects a command."""
_NPM = """#!/bin/sh
case "$1" in
  ci|clean-install|install|i)
    names=
    for word in "$@"; do case "$word" in "$1"|-*) ;; *) names=yes ;; esac; done
    if [ -z "$names" ] && [ -d node_modules ]; then echo "npm $1: the packages are installed already"; exit 0; fi ;;
esac
exec %s "$@"
"""
"""Stands for npm in the user's `build`, which has no network: most begin with `npm ci`, which is done by then."""
_NPM_ENV = {
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_update_notifier": "false",
    "npm_config_progress": "false",
    "npm_config_prefer_offline": "true",
}


MARKERS = ("package.json",)
_ENTRIES = ("server.js", "index.js", "app.js", "main.js")


def matches(listing: Listing) -> bool:
    loose = listing.only is not None and listing.only.path.endswith((".js", ".mjs", ".cjs"))
    return loose or any(map(listing.has, (*MARKERS, *_ENTRIES)))


def find(listing: Listing, host: Host, wanted: str | None, build: str) -> Found:
    """Raises UserError when Node or npm is missing or package.json cannot be read."""
    package = _package(listing)
    _check_managers(package, host, build)
    runtime = choose(host, "nodejs", *_version(listing, package, wanted, host))
    env = {"NODE_ENV": "production"}
    argv = _entry(listing, package)
    bins = (f"{APP}/node_modules/.bin", *runtime.folders)
    notes = _unused_locks(listing)
    if not _has_dependencies(package, development=bool(build)):
        return Found(runtime, path=bins, env=env, argv=argv, notes=notes)
    npm = need_tool(host, "npm", "npm", "a Node.js service with dependencies")
    layer = _layer(listing, package, runtime, development=bool(build))
    scripts = package.get("scripts", {})
    before = (_npm("run", "postinstall"),) if "postinstall" in scripts else ()
    after = (_npm("prune", "--omit=dev", "--ignore-scripts", "--offline"),) if build else ()
    if not any(listing.has(name) for name in _LOCKS) and not _has_classic_yarn_lock(listing):
        notes = (*notes, "There is no package-lock.json: versions are resolved now and kept with the artifact.")
    return Found(
        runtime,
        (layer,),
        before=before,
        after=after,
        shims={"npm": _NPM % npm},
        path=bins,
        env=env,
        argv=argv,
        notes=notes,
    )


def _package(listing: Listing) -> dict[str, Any]:
    text = listing.text("package.json")
    try:
        package = json.loads(text) if text is not None else {}
    except (ValueError, RecursionError) as error:
        raise UserError(f"cannot read package.json: {error}", "mend the file") from None
    if not isinstance(package, dict) or not isinstance(package.get("scripts", {}), dict):
        raise UserError("cannot read package.json: it is not a map, or its scripts are not", "mend the file")
    need_kinds("package.json", package, dict.fromkeys(_DEPENDENCIES, dict))
    return package


def _has_classic_yarn_lock(listing: Listing) -> bool:
    """npm takes versions from Yarn's first format; later ones are YAML that begins with `__metadata`."""
    return "__metadata:" not in (listing.text("yarn.lock") or "__metadata:")


def _unused_locks(listing: Listing) -> tuple[str, ...]:
    names = ["pnpm-lock.yaml", "bun.lock", "bun.lockb", *([] if _has_classic_yarn_lock(listing) else ["yarn.lock"])]
    lock = next((name for name in _LOCKS if listing.has(name)), None)
    why = f"versions come from {lock}" if lock else "npm resolves the versions, and may find others"
    advice = "" if lock else " `npm install --package-lock-only` makes a lock that is used."
    return tuple(f"warning: {name} is not used: {why}.{advice}" for name in names if listing.has(name))


def _check_managers(package: Mapping[str, Any], host: Host, build: str) -> None:
    """Raises UserError for what needs another package manager than npm."""
    wanted = _dependency_versions(package)
    for name, version in wanted.items():
        if version.startswith(_NOT_NPM):
            raise UserError(
                f"cannot install {name}@{version}: npm installs dependencies, and knows no such versions",
                "name a version or a `file:` path in package.json",
            )
    for match in _COMMAND.finditer(build):
        if match[1] not in host.tools and match[1] not in wanted:
            raise UserError(
                f"cannot run `{match[1]}` in `build`: {host.place} has none that builds can use",
                f"call npm instead (dependencies are installed by then), or `npm install --save-dev {match[1]}`",
            )


def _dependency_versions(package: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(version) for kind in _DEPENDENCIES for name, version in (package.get(kind) or {}).items()}


def _has_dependencies(package: Mapping[str, Any], development: bool) -> bool:
    kinds = ("dependencies", "optionalDependencies", "workspaces", *(("devDependencies",) if development else ()))
    return any(package.get(kind) for kind in kinds)


def _layer(listing: Listing, package: Mapping[str, Any], runtime: Runtime, development: bool) -> Layer:
    lock = next((name for name in _LOCKS if listing.has(name)), _LOCKS[0])
    omit = () if development else ("--omit=dev",)
    # `npm ci` where a lock is there (the source's, or the one kept from the first build), else resolve and write one.
    install = " ".join(("--ignore-scripts --no-progress", *omit))
    steps = (
        shell(
            f"[ -f {lock} ] || exec npm install {install}; errors=$(mktemp); npm ci {install} 2>$errors; code=$?; "
            "sed '/Clean install a project$/,$d' $errors >&2; exit $code",  # from there on, npm prints its manual
            _NPM_ENV,
            network=True,
            title="install npm packages",
        ),
        # Most packages have no install scripts, and `npm rebuild` takes half a second to find that out.
        shell(
            "if grep -qs hasInstallScript node_modules/.package-lock.json; then npm rebuild; fi",
            {**_NPM_ENV, "npm_config_nodedir": runtime.path.removesuffix("/bin/node")},
            title="run the install scripts of npm packages",
        ),
    )
    yarn = ("yarn.lock",) if _has_classic_yarn_lock(listing) else ()
    files = tuple(sorted(name for name in ("package.json", ".npmrc", *yarn, *_LOCKS) if listing.has(name)))
    return Layer(None if _is_local(package) else files, steps, ("node_modules",), lock)


def _is_local(package: Mapping[str, Any]) -> bool:
    """Whether dependencies lie in the source itself: workspaces, `file:` and relative paths."""
    return bool(package.get("workspaces")) or any(
        version.startswith(("file:", "link:", "./", "../", "/")) for version in _dependency_versions(package).values()
    )


def _npm(*arguments: str) -> Step:
    return Step(("npm", *arguments), env=_NPM_ENV)


def _entry(listing: Listing, package: Mapping[str, Any]) -> tuple[str, ...] | None:
    start = package.get("scripts", {}).get("start")
    if isinstance(start, str) and start.strip():
        return run_argv(start)  # not `npm start`: npm stays between us and the program and swallows signals
    names = [package.get("main"), *_ENTRIES, *([listing.only.path] if listing.only else [])]
    return next((("/usr/bin/env", "node", name) for name in names if isinstance(name, str) and listing.has(name)), None)


def version_asked(listing: Listing, host: Host) -> tuple[str | None, str]:
    """The runtime that the source's files ask for, and which of them does. Raises UserError when none here fits."""
    return _version(listing, _package(listing), None, host)


def _version(listing: Listing, package: Mapping[str, Any], wanted: str | None, host: Host) -> tuple[str | None, str]:
    if wanted not in (None, "nodejs", "node"):
        return wanted, "runtime"
    for name in (".nvmrc", ".node-version"):
        if match := re.match(r"\s*v?(\d+)", listing.text(name) or ""):
            return f"nodejs{match[1]}", name
    engines = package.get("engines")
    asked = engines.get("node") if isinstance(engines, dict) else None
    if not isinstance(asked, str):
        return None, "runtime"
    majors = [int(runtime.name.removeprefix("nodejs")) for runtime in host.family("nodejs")]
    fitting = next((major for major in majors if satisfies(major, asked)), None)
    if fitting is None:
        raise UserError(
            f"cannot use Node.js {asked} (engines in package.json asks for it): {host.place} has "
            + (", ".join(f"nodejs{major}" for major in majors) or "no Node.js at all"),
            f"install Node.js {asked}, or say `runtime: nodejsNN` to use another one",
        )
    return f"nodejs{fitting}", "engines in package.json"


def satisfies(major: int, asked: str) -> bool:
    """Whether Node `major` can be in an npm version range. Only majors are looked at; what is not understood fits."""
    return any(all(_one(major, part) for part in _parts(option)) for option in asked.split("||"))


def _parts(option: str) -> list[str]:
    if match := re.fullmatch(r"\s*v?([\d.]+)\s+-\s+v?([\d.]+)\s*", option):
        return [f">={match[1]}", f"<={match[2]}"]
    return re.sub(r"([<>=^~]+)\s+", r"\1", option).split()


def _one(major: int, part: str) -> bool:
    match = re.fullmatch(r"(>=|<=|>|<|=|\^|~)?v?(\d+)((?:\.\w+)*)\S*", part)
    if match is None:
        return True
    operator, number, rest = match[1] or "=", int(match[2]), match[3]
    above_zero = any(piece.strip("0") and piece.isdecimal() for piece in rest.split("."))
    return {
        ">=": major >= number,
        ">": major > number or (major == number and bool(rest)),
        "<=": major <= number,
        "<": major < number or (major == number and above_zero),
    }.get(operator, major == number)
