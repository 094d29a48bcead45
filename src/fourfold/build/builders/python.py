"""Python: dependencies into a relocatable virtual environment at /app/.venv, made by uv.

Resolving runs first with wheels only: no code of any package is executed then while there is network. Only if that
fails is it run again with source distributions allowed: their metadata comes from running their build scripts, which
may download what they need to build, so this cannot be had without network. The project itself is built without.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from typing import Any

from fourfold.build.builders.base import Found, choose, need_tool
from fourfold.build.model import APP, OWN, Host, Layer, Listing, Runtime, Step, join, shell
from fourfold.errors import UserError

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
_UV_ENV = {"UV_PYTHON_DOWNLOADS": "never", "UV_LINK_MODE": "copy", "UV_NO_PROGRESS": "1"}
_LOOKS_LOCAL = re.compile(r"^(-e\s|--editable[\s=]|\.{0,2}/|\.$|file:|[^@]+@\s*(file:|\.))")


MARKERS = ("requirements.txt", "pyproject.toml", "setup.py", "Pipfile", "uv.lock")


def matches(listing: Listing) -> bool:
    return any(map(listing.has, MARKERS)) or bool(listing.ending(".py")) or _package(listing) is not None


def find(listing: Listing, host: Host, wanted: str | None, build: str) -> Found:
    """Raises UserError when the interpreter or uv is missing, or the dependency files cannot be read."""
    runtime = choose(host, "python", *_version(listing, wanted))
    project = _project(listing)
    argv = _entry(listing, project)
    env = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    source = _dependencies(listing, project)
    installed = _is_package(listing, project)
    if "src" in listing.folders and not installed:
        env["PYTHONPATH"] = f"{APP}/src"
    if source is None and not installed:
        bin_folder = f"{OWN}/bin"  # Debian has no plain `python`, and a start without any build should know it
        links = {f"{bin_folder}/{name}": runtime.path for name in ("python", "python3")}
        return Found(runtime, links=links, path=(f"{APP}/{bin_folder}",), env=env, argv=_with(bin_folder, argv))
    need_tool(host, "uv", "pipx, then `pipx install uv`,", "a Python service with dependencies")
    layer = _layer(listing, runtime, source, project if installed else None)
    install = (_install_project(),) if installed else ()
    drop = (BACKEND,) if installed else ()
    env["VIRTUAL_ENV"] = f"{APP}/.venv"
    return Found(
        runtime,
        (layer,),
        before=install,
        shims={"pip": _PIP, "pip3": _PIP},
        drop=drop,
        path=(f"{APP}/.venv/bin",),
        env=env,
        argv=_with(".venv/bin", argv),
    )


def _with(folder: str, argv: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return argv and (f"{APP}/{folder}/{argv[0]}", *argv[1:])


def _version(listing: Listing, wanted: str | None) -> tuple[str | None, str]:
    if wanted not in (None, "python", "python3"):
        return wanted, "runtime"
    line = next(iter((listing.text(".python-version") or "").split()), "")
    match = re.fullmatch(r"(?:cpython-)?(3\.\d+)(\.\d+)?", line)
    return (f"python{match[1]}", ".python-version") if match else (None, "runtime")


def _project(listing: Listing) -> dict[str, Any]:
    text = listing.text("pyproject.toml")
    if text is None:
        return {}
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"cannot read pyproject.toml: {error}", "mend the file") from None


def _is_package(listing: Listing, project: dict[str, Any]) -> bool:
    """PEP 517: a pyproject.toml with a build system, or a setup.py, is something to install."""
    return ("build-system" in project and ("project" in project or listing.has("setup.cfg"))) or listing.has("setup.py")


def _dependencies(listing: Listing, project: dict[str, Any]) -> str | None:
    """The file to resolve from: uv.lock, requirements.txt, pyproject.toml or setup.py, in this order."""
    if listing.has("uv.lock") and "project" in project:
        return "uv.lock"
    if (text := listing.text("requirements.txt")) is not None:
        return "requirements.txt" if _requirement_lines(text) else None
    table = project.get("project", {})
    poetry = project.get("tool", {}).get("poetry", {})
    if not table and poetry.get("dependencies"):
        raise UserError(
            "cannot read the dependencies in [tool.poetry] of pyproject.toml",
            "run `poetry export -o requirements.txt`, or list them under [project]",
        )
    if listing.has("Pipfile") and not table:
        raise UserError("cannot read the Pipfile", "run `pipenv requirements > requirements.txt`")
    if table.get("dependencies") or "dependencies" in table.get("dynamic", ()):
        return "pyproject.toml"
    return "setup.py" if listing.has("setup.py") and not table else None


def _requirement_lines(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return [line for raw in joined.splitlines() if (line := re.sub(r"(^|\s)#.*", "", raw).strip())]


def _layer(listing: Listing, runtime: Runtime, source: str | None, project: dict[str, Any] | None) -> Layer:
    files = _files(listing, source)
    steps = [Step(("uv", "venv", "-q", "--relocatable", "--python", runtime.path, ".venv"), env=_UV_ENV)]
    if source is not None:
        steps += [_resolve(source), _install()]
    if project is not None:
        steps.append(_backend(project))
    keep = (".venv",) if project is None else (".venv", BACKEND)
    return Layer(files, tuple(steps), keep, LOCK if source else None)


def _resolve(source: str) -> Step:
    """Write LOCK. uv takes the versions that a LOCK already there has, wherever they still fit."""
    title = f"resolve {source}"
    if source == "uv.lock":
        export = "uv export -q --frozen --no-dev --no-emit-project --format requirements-txt"
        return shell(f"mkdir -p {OWN}; {export} -o {LOCK} >/dev/null", _UV_ENV, network=True, title=title)
    resolve = f"uv pip compile -q --no-header --generate-hashes --python .venv/bin/python -o {LOCK} {source} >/dev/null"
    return shell(f"mkdir -p {OWN}; {_wheels_first(resolve)}", _UV_ENV, network=True, title=title)


def _install() -> Step:
    install = f"uv pip install --no-deps --compile-bytecode --python .venv/bin/python -r {LOCK}"
    return shell(_wheels_first(install), _UV_ENV, network=True, title="install Python packages")


def _wheels_first(command: str) -> str:
    """Once with wheels only; again with everything if that was why it failed (uv's message names the option then)."""
    return (
        f"errors=$(mktemp); if {command} --no-build 2>$errors; then cat $errors >&2; exit 0; fi; "
        "grep -q -e --no-build $errors || { cat $errors >&2; exit 1; }; "
        f"echo 'not every package has a wheel: building some from source'; {command}"
    )


def _backend(project: dict[str, Any]) -> Step:
    """The build backend, into a folder of its own: the project is then built with it, without network."""
    requires = project.get("build-system", {}).get("requires") or ["setuptools>=40.8.0", "wheel"]
    listed = shlex.join(str(requirement) for requirement in requires)
    command = f"uv pip install -q --no-build --python .venv/bin/python --target {BACKEND} {listed}"
    return shell(command, _UV_ENV, network=True, title=f"fetch the build backend: {listed}")


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
    return Step(argv, title="install the project", env={**_UV_ENV, "PYTHONPATH": f"{APP}/{BACKEND}"})


def _files(listing: Listing, source: str | None) -> tuple[str, ...] | None:
    """The files that decide the dependencies; None when some lie in the source itself (`-e .`, `./lib`)."""
    files = [name for name in ("pyproject.toml", "setup.py", "setup.cfg", ".python-version") if listing.has(name)]
    if source in ("uv.lock", "pyproject.toml"):
        dynamic = "dynamic" in _project(listing).get("project", {})
        sources = _project(listing).get("tool", {}).get("uv", {}).get("sources", {})
        local = dynamic or any(
            isinstance(entry, dict) and {"path", "workspace"} & set(entry) for entry in sources.values()
        )
        return None if local else tuple(sorted({*files, source}))
    if source is None:
        return tuple(sorted(files))
    if source == "setup.py":
        return None  # it is a program, and may read any file beside it
    return _included(listing, source)


def _included(listing: Listing, first: str) -> tuple[str, ...] | None:
    """A requirements file and all that it names with -r and -c."""
    seen: set[str] = set()
    pending = [first]
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        text = listing.text(name)
        if text is None:
            raise UserError(f"cannot read {name!r}, which {first} names", "add the file, or take the line out")
        for line in _requirement_lines(text):
            if match := re.match(r"(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)", line):
                if "://" not in match[1]:
                    pending.append(join(name.rpartition("/")[0], match[1]))
            elif _LOOKS_LOCAL.match(line):
                return None
    return tuple(sorted(seen))


def _package(listing: Listing) -> str | None:
    """The one package with a __main__.py, at the top or under src/."""
    found = {path.removesuffix("/__main__.py") for path in listing.entries if path.endswith("/__main__.py")}
    named = {path.removeprefix("src/") for path in found}
    tops = {name for name in named if "/" not in name and name.isidentifier()}
    return tops.pop() if len(tops) == 1 else None


def _entry(listing: Listing, project: dict[str, Any]) -> tuple[str, ...] | None:
    """A program of the virtual environment and its arguments."""
    scripts = project.get("project", {}).get("scripts", {})
    if len(scripts) == 1 and _is_package(listing, project):
        return (next(iter(scripts)),)
    if package := _package(listing):
        return ("python", "-m", package)
    if listing.only and listing.only.path.endswith(".py"):
        return ("python", listing.only.path)
    for name in ("app.py", "main.py", "server.py", "__main__.py"):
        if listing.has(name):
            return ("python", name)
    return None
