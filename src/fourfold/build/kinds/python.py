"""Kind python: the host program with its server, and members that are ASGI or WSGI apps. Pure."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

from fourfold.build.builders.base import choose, need_one_value, need_tool
from fourfold.build.builders.python import packages_for
from fourfold.build.clients import site
from fourfold.build.command import procfile
from fourfold.build.detect import detect
from fourfold.build.kinds.pythonapps import AppAt, app_in
from fourfold.build.model import APP, OWN, SYSTEM_PATH, BuildPlan, Host, Layer, Listing, Runtime
from fourfold.errors import UserError
from fourfold.spec import groups
from fourfold.spec.model import Service

SERVER = ("uvicorn>=0.34,<1", "a2wsgi>=1.10,<2", "httptools>=0.6.4,<1", "wsproto>=1.2,<2")
"""BSD-3-Clause, Apache-2.0, MIT, MIT. The versions that the host program is tried with."""
LOWEST = (3, 10)
_HOST = f"{OWN}/host"
_LIB = f"{_HOST}/lib"
_SOURCES = Path(__file__).parents[1] / "hosts/python"
_NOT_MOUNTED = {
    "django": "Django's settings are the process's, and its apps go by their modules' names, which are changed there",
    "gevent": "gevent replaces the sockets and threads of the whole process",
    "eventlet": "eventlet replaces the sockets and threads of the whole process",
}


def host(service: groups.Host, host: Host) -> BuildPlan:
    """The program of the group itself."""
    runtime = _runtime(service.runtime, host)
    return BuildPlan(
        runtime=runtime,
        runtimes=(runtime,),
        layers=(_server(runtime, host),),
        files=_program(),
        env={"PATH": ":".join((*runtime.folders, SYSTEM_PATH))},
        argv=(runtime.path, "-Es", f"{APP}/{_HOST}"),
    )


def guest(listing: Listing, service: Service, host: Host) -> BuildPlan:
    """A member. Raises UserError where no app is found, and as `detect` does."""
    app = _app(listing, service)
    need_one_value(app.env, service.env)
    if service.shared.mode == "mounted":
        _check_mounted(listing, app)
    plan = _prepared(listing, service, host)
    argv, notes = _argv(listing, plan, app), (*plan.notes, *app.notes)
    return replace(plan, argv=argv, env={**plan.env, **app.env}, notes=notes)


def alone(listing: Listing, service: Service, host: Host) -> BuildPlan:
    """The same app in a process of its own, by the same program: for members that have no `run`."""
    app = _app(listing, service)
    plan = _prepared(listing, service, host)
    assert plan.runtime is not None
    python = f"{APP}/.venv/bin/python" if site(plan) else plan.runtime.path
    return replace(
        plan,
        layers=(*plan.layers, _server(plan.runtime, host)),
        files={**plan.files, **_program()},
        argv=(python, "-Es", f"{APP}/{_HOST}", "--alone", *_argv(listing, plan, app)),
    )


def is_alone(service: Service) -> bool:
    """Whether under other patterns our program is what serves it."""
    return service.shared.app is not None and service.run is None


def _runtime(wanted: str | None, host: Host) -> Runtime:
    if wanted is not None and not wanted.startswith("python"):
        raise UserError(f"cannot run a group of kind python with {wanted}", "say `runtime: python3.x`, or leave it out")
    runtime = choose(host, "python", None if wanted in ("python", "python3") else wanted)
    if tuple(int(part) for part in runtime.version.split(".")[:2]) < LOWEST:
        lowest = ".".join(map(str, LOWEST))
        raise UserError(
            f"cannot run a group with {runtime.name}: its server needs {lowest} or later", "use a later one"
        )
    return runtime


def _server(runtime: Runtime, host: Host) -> Layer:
    need_tool(host, "uv", "pipx, then `pipx install uv`,", "the server of a Python group")
    return packages_for(runtime, SERVER, _LIB, "host", "uvicorn and a2wsgi, the server of Python apps")


def _program() -> dict[str, str]:
    sources = {path.name: path.read_text() for path in sorted(_SOURCES.glob("*.py"))}
    files = {f"{_HOST}/fourfold_host/{name}": text for name, text in sources.items() if name != "__main__.py"}
    return {**files, f"{_HOST}/__main__.py": sources["__main__.py"]}


def _app(listing: Listing, service: Service) -> AppAt:
    if service.shared.app is not None:
        return AppAt(service.shared.app)
    command = service.run or procfile(listing, web=True)
    if command is not None:
        return app_in(command)
    raise UserError(
        "cannot find its app: it has neither `shared.app` nor a `run`",
        "say `shared: {app: module:attribute}`, or a `run` that starts uvicorn or gunicorn",
    )


def _prepared(listing: Listing, service: Service, host: Host) -> BuildPlan:
    """What its language's builder makes of the source; nothing of it is run as it is."""
    runtime = service.runtime or "python"
    if not runtime.startswith("python"):
        raise UserError(f"cannot run {runtime} in a group of kind python", "leave `runtime` out, or say python3.x")
    given = {"run": ["-"], "runtime": runtime, "static": None}
    return detect(listing, service.model_copy(update=given), host)


def _argv(listing: Listing, plan: BuildPlan, app: AppAt) -> tuple[str, ...]:
    """Raises UserError when no file of the source can be the module, and nothing else makes it."""
    wanted = [posixpath.normpath(folder.removeprefix(APP).lstrip("/") or ".") for folder in app.folders]
    places = list(dict.fromkeys([*wanted, ".", "src"]))
    places = [place for place in places if place == "." or place in _folders(listing)]
    packages = site(plan)
    module = app.target.partition(":")[0]
    if not packages and not plan.steps and not any(_has_module(listing, place, module) for place in places):
        raise UserError(
            f"cannot find the module {module!r} of {app.target}: the source has no {module.replace('.', '/')}.py",
            "look at `shared.app` or `run`",
        )
    own = [APP if place == "." else f"{APP}/{place}" for place in places]
    return (app.target, *own, *([f"{APP}/{packages}"] if packages else []))


def _folders(listing: Listing) -> set[str]:
    """All of the source."""
    return {str(folder) for path in listing.entries for folder in PurePosixPath(path).parents}


def _has_module(listing: Listing, folder: str, module: str) -> bool:
    path = posixpath.normpath(posixpath.join(folder, module.replace(".", "/")))
    return any(listing.has(name) for name in (f"{path}.py", f"{path}/__init__.py"))


def _check_mounted(listing: Listing, app: AppAt) -> None:
    text = "\n".join(listing.text(name) or "" for name in ("requirements.txt", "pyproject.toml") if listing.has(name))
    for name, why in _NOT_MOUNTED.items():
        asked = re.search(rf"^[\s\"']*{name}\b(?!-)", text, re.MULTILINE | re.IGNORECASE)
        if asked or app.worker == name:
            raise UserError(f"cannot mount it in one process with others: {why}", "say `mode: forked` in its group")
