"""Python: dependencies into a relocatable virtual environment at /app/.venv, made by uv.

Resolving runs first with wheels only: no code of any package is executed then while there is network. Only if that
fails is it run again with source distributions allowed: their metadata comes from running their build scripts, which
may download what they need to build, so this cannot be had without network. The project itself is built without.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from fourfold.build.builders import python_files as files
from fourfold.build.builders.base import Found, need_tool
from fourfold.build.model import APP, OWN, Host, Layer, Listing, Runtime, Step, shell

LOCK = f"{OWN}/requirements.lock"
BACKEND = f"{OWN}/backend"
_PIP = """#!/bin/sh
if [ "$1" = install ]; then
  for word in "$@"; do
    case "$word" in -r|-r*|--requirement*) echo "pip install: the packages are installed already"; exit 0 ;; esac
  done
  shift
  exec uv pip install --offline "$@"
fi
exec uv pip "$@"
"""
"""Stands for pip in the user's `build`, which has no network: many begin by installing what is there already."""
UV_ENV = {
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_LINK_MODE": "copy",
    "UV_NO_PROGRESS": "1",
    "PYC_INVALIDATION_MODE": "CHECKED_HASH",  # no times in the bytes, and a `build` that patches a package still counts
}
_NO_VERSION = "0.0.0"
_NO_GIT = {
    "SETUPTOOLS_SCM_PRETEND_VERSION": _NO_VERSION,
    "PDM_BUILD_SCM_VERSION": _NO_VERSION,
    "PBR_VERSION": _NO_VERSION,
    "POETRY_DYNAMIC_VERSIONING_BYPASS": _NO_VERSION,
}
"""A source has no history, which these backends (and hatch-vcs, by the first) otherwise take a version from."""

MARKERS = ("requirements.txt", "pyproject.toml", "setup.py", "Pipfile", "uv.lock")


def matches(listing: Listing) -> bool:
    return any(map(listing.has, MARKERS)) or bool(listing.ending(".py")) or files.package(listing) is not None


def find(listing: Listing, host: Host, wanted: str | None, build: str) -> Found:
    """Raises UserError when the interpreter or uv is missing, or the dependency files cannot be read."""
    project = files.project(listing)
    runtime = files.interpreter(listing, project, host, wanted)
    argv = files.entry(listing, project)
    env = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    source = files.dependencies(listing, project)
    installed = files.is_package(listing, project)
    notes = files.unused_locks(listing, source)
    if "src" in listing.folders and not installed:
        env["PYTHONPATH"] = f"{APP}/src"
    if source is None and not installed:
        bin_folder = f"{OWN}/bin"  # Debian has no plain `python`, and a start without any build should know it
        links = {f"{bin_folder}/{name}": runtime.path for name in ("python", "python3")}
        path = (f"{APP}/{bin_folder}",)
        return Found(runtime, links=links, path=path, env=env, argv=_with(bin_folder, argv), notes=notes)
    need_tool(host, "uv", "pipx, then `pipx install uv`,", "a Python service with dependencies")
    env["VIRTUAL_ENV"] = f"{APP}/.venv"
    return Found(
        runtime,
        (_layer(listing, project, runtime, source, installed),),
        before=(_install_project(),) if installed else (),
        shims={"pip": _PIP, "pip3": _PIP},
        drop=(BACKEND,) if installed else (),
        path=(f"{APP}/.venv/bin",),
        env=env,
        build_env=_NO_GIT if installed else {},
        argv=_with(".venv/bin", argv),
        notes=notes,
    )


def _with(folder: str, argv: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return argv and (f"{APP}/{folder}/{argv[0]}", *argv[1:])


def _layer(listing: Listing, project: dict[str, Any], runtime: Runtime, source: str | None, installed: bool) -> Layer:
    steps = [Step(("uv", "venv", "-q", "--relocatable", "--python", runtime.path, ".venv"), env=UV_ENV)]
    if source is not None:
        env = {**UV_ENV, **_version_of(project)}
        steps += [_resolve(source, env), _install(env)]
    if installed:
        steps.append(_backend(project))
    keep = (".venv", BACKEND) if installed else (".venv",)
    return Layer(files.layer_files(listing, project, source), tuple(steps), keep, LOCK if source else None)


def _version_of(project: dict[str, Any]) -> dict[str, str]:
    """For a project that is built while resolving: of this one alone, packages from an index have their own."""
    name = project.get("project", {}).get("name")
    if not isinstance(name, str):
        return {}
    return {f"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_{re.sub(r'[-_.]+', '_', name).upper()}": _NO_VERSION}


def _resolve(source: str, env: Mapping[str, str]) -> Step:
    """Write LOCK. uv takes the versions that a LOCK already there has, wherever they still fit."""
    title = f"resolve {source}"
    if source == "uv.lock":
        export = "uv export -q --frozen --no-dev --no-emit-project --no-editable --format requirements-txt"
        return shell(f"mkdir -p {OWN}; {export} -o {LOCK} >/dev/null", env, network=True, title=title)
    resolve = f"uv pip compile -q --no-header --generate-hashes --python .venv/bin/python -o {LOCK} {source} >/dev/null"
    return shell(f"mkdir -p {OWN}; {wheels_first(resolve)}", env, network=True, title=title)


def _install(env: Mapping[str, str]) -> Step:
    install = f"uv pip install --no-deps --compile-bytecode --python .venv/bin/python -r {LOCK}"
    return shell(wheels_first(install), env, network=True, title="install Python packages")


def wheels_first(command: str) -> str:
    """Once with wheels only; again with everything if that was why it failed.

    uv then names the option (resolving), or says that source distributions are disabled (folders of the source).
    """
    return (
        f"errors=$(mktemp); if {command} --no-build 2>$errors; then cat $errors >&2; exit 0; fi; "
        "grep -q -e --no-build -e 'distributions is disabled' $errors || { cat $errors >&2; exit 1; }; "
        f"echo 'not every package has a wheel: building some from source'; {command}"
    )


def packages_for(runtime: Runtime, wanted: Sequence[str], target: str, name: str, what: str) -> Layer:
    """A layer with packages of our own choice in the folder `target`, resolved for `runtime` and locked.

    `name`: of the files with what is wanted and what that is locked to; `what` it is, in words.
    """
    env = {**UV_ENV, "PYC_INVALIDATION_MODE": "UNCHECKED_HASH"}
    lock, listed = f"{OWN}/{name}.lock", f"{OWN}/{name}.in"
    given = f"--python {runtime.path}"
    resolve = f"uv pip compile -q --no-header --no-annotate --generate-hashes {given} -o {lock} {listed} >/dev/null"
    install = f"uv pip install -q --no-deps --compile-bytecode {given} --target {target} -r {lock}"
    lines = " ".join(map(shlex.quote, wanted))
    steps = (
        shell(
            f"mkdir -p {OWN}; printf '%s\\n' {lines} >{listed}; {wheels_first(resolve)}",
            env,
            network=True,
            title=f"resolve {what}",
        ),
        shell(f"({wheels_first(install)}) && rm -rf {target}/bin", env, network=True, title=f"install {what}"),
    )
    return Layer((), steps, (target,), lock)


def _backend(project: dict[str, Any]) -> Step:
    """The build backend, into a folder of its own: the project is then built with it, without network."""
    requires = project.get("build-system", {}).get("requires") or ["setuptools>=40.8.0", "wheel"]
    listed = shlex.join(str(requirement) for requirement in requires)
    command = f"uv pip install -q --no-build --python .venv/bin/python --target {BACKEND} {listed}"
    return shell(command, UV_ENV, network=True, title=f"fetch the build backend: {listed}")


def _install_project() -> Step:
    argv = (
        "uv",
        "pip",
        "install",
        "--offline",
        "--no-deps",
        "--no-build-isolation",
        "--python",
        ".venv/bin/python",
        ".",
    )
    return Step(argv, title="install the project", env={**UV_ENV, **_NO_GIT, "PYTHONPATH": f"{APP}/{BACKEND}"})
