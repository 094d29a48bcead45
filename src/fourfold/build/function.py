"""What a handler, or a web service as a function, needs beside what its language's builder makes. Pure.

Pattern function: the client of the Lambda Runtime API for its language, and how a sandbox starts it. Other patterns: a
small server of ours, which runs the same client in workers. Both lie below `.fourfold` in the tree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG

from fourfold.build import clients
from fourfold.build.builders.base import choose
from fourfold.build.clients import Client, Kind
from fourfold.build.detect import LANGUAGES, detect
from fourfold.build.group import as_alone
from fourfold.build.model import APP, OWN, BuildPlan, Host, Listing
from fourfold.build.result import largest
from fourfold.errors import UserError
from fourfold.spec.checks.functions import functions_and_jobs
from fourfold.spec.model import Service
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Function

USUAL_MEMORY = 128 * 1024 * 1024
MAX_ZIP = 52_428_800
"""Bytes of a zip at most, as AWS has it (Lambda quotas, "Deployment package size")."""
MAX_UNZIPPED = 262_144_000
"""Bytes of code and layers together, unpacked."""
LAYERS = f"{OWN}/layers"
TASK = "/var/task"

_HANDLERS = Path(__file__).parent / "handlers"
_ADAPTER = f"{OWN}/adapter.py"
_SERVER = f"{OWN}/handler"
_LANGUAGES: tuple[Kind, ...] = ("python", "nodejs", "java")
_SUFFIXES: Mapping[Kind, tuple[str, ...]] = {"python": (".py",), "nodejs": (".js", ".mjs", ".cjs")}
_LOWEST = {"python": (3, 9), "nodejs": (18, 0), "java": (11, 0)}


def is_handled(service: Service) -> bool:
    """Whether our server calls its handler, under another pattern than function."""
    return service.function.handler is not None and service.run is None


def as_function(listing: Listing, service: Service, host: Host) -> BuildPlan:
    """Raises UserError for what cannot be a function, and as `detect` does."""
    wanted = service if service.pattern == "function" else service.model_copy(update={"pattern": "function"})
    for path, message, hint in functions_and_jobs((), wanted):
        raise UserError(f"{'.'.join(map(str, path))}: {message}", hint)
    layers = tuple(f"{LAYERS}/{number}" for number in range(len(service.function.layers)))
    if (kind := kind_of(listing, service)) is None:
        return _adapted(listing, service, host, layers)
    plan = _base(listing, service, host, kind)
    client = _client(kind, listing, plan, service.function.handler or "", host, f"{TASK}/bootstrap")
    handler = service.function.handler or "bootstrap"
    function = Function(client.kind, client.argv, handler, {**plan.env, **client.env}, layers, USUAL_MEMORY)
    return replace(_with(plan, client), argv=client.argv, function=function)


def as_server(listing: Listing, service: Service, host: Host) -> BuildPlan:
    """Raises UserError as `detect` does, and where there is no Python to run the server with."""
    handler = service.function.handler
    assert handler is not None
    kind = kind_of(listing, service) or "provided"
    plan = _base(listing, service, host, kind)
    client = _client(kind, listing, plan, handler, host, f"{APP}/bootstrap")
    python = choose(host, "python", None, "the server that calls the handler")
    if tuple(int(part) for part in python.version.split(".")[:2]) < (3, 10):
        raise UserError(f"cannot call a handler with {python.name}: the server needs 3.10 or later", "use another base")
    memory = (service.resources.memory or USUAL_MEMORY) // 1024**2
    said = service.function
    options = {
        "name": handler, "timeout": said.timeout, "payload": said.payload, "paths": said.paths,
        "concurrency": said.concurrency, "queue": said.queue, "memory": memory,
    }  # fmt: skip
    argv = client.argv if client.kind != "python" else (*client.argv, "-m", "awslambdaric", handler)
    plan = _with(plan, client)
    names = ("__init__.py", "server.py", "workers.py", "wire.py", "peers.py")
    files = {f"{_SERVER}/{name}": (_HANDLERS / "server" / name).read_text() for name in names}
    files[f"{OWN}/__main__.py"] = (_HANDLERS / "server/__main__.py").read_text()
    files |= {f"{_SERVER}/{name}": _shared(name) for name in ("httpevents.py", "httppaths.py", "httpresults.py")}
    return replace(
        plan,
        files={**plan.files, **files},
        env={**plan.env, **client.env, **_path_of(client, plan)},
        beside=() if python in plan.runtimes else (python,),
        argv=(python.path, "-Es", f"{APP}/{OWN}", json.dumps(options), APP, handler, *argv),
    )


def kind_of(listing: Listing, service: Service) -> Kind | None:
    """In what its handler is written; None: it is a program that serves HTTP. Raises UserError when nothing tells."""
    handler, runtime = service.function.handler, service.runtime
    if runtime == "provided":
        return "provided"
    if handler is None:
        return None
    if runtime is not None:
        found = next((kind for kind in _LANGUAGES if runtime.startswith(kind)), None)
        assert found is not None, "spec.functionchecks refuses others"
        return found
    if "::" in handler:
        return "java"
    for kind, suffixes in _SUFFIXES.items():
        names = [
            f"{folder}{name}{suffix}" for folder in ("", "src/") for name in _stems(handler) for suffix in suffixes
        ]
        if any(map(listing.has, names)):
            return kind
    if listing.has("bootstrap"):
        return "provided"
    matching = [kind for kind in _LANGUAGES if LANGUAGES[kind].matches(listing)]
    if len(matching) == 1:
        return matching[0]
    raise UserError(
        f"cannot find the handler {handler}: the source has no file of that name",
        "look at `function.handler`, or say `runtime`",
    )


def _stems(handler: str) -> tuple[str, ...]:
    """Where its module may be, without what the name ends in: `a/b.c.d` -> `a/b.c` (never), `a/b/c` (Python), `a/b`."""
    stem = handler.rpartition(".")[0]
    folder, slash, name = stem.rpartition("/")
    return stem, stem.replace(".", "/"), folder + slash + name.partition(".")[0]


def _base(listing: Listing, service: Service, host: Host, kind: Kind) -> BuildPlan:
    """What its language's builder makes of the source; nothing of it is run as it is."""
    if kind == "provided":
        if not listing.has("bootstrap") and service.build is None and not service.function.layers:
            raise UserError(
                "cannot find `bootstrap` at the top of the source", "add it: a program that asks for events by itself"
            )
        made = service.model_copy(update={"run": ["./bootstrap"], "runtime": None})
        plan = detect(listing, made, host) if service.build is not None else BuildPlan(env={"PATH": _PATH})
        return replace(plan, executable=("bootstrap",) if listing.has("bootstrap") else ())
    made = service.model_copy(update={"run": ["-"], "runtime": service.runtime or kind, "static": None})
    plan = detect(listing, made, host)
    runtime = plan.runtime
    assert runtime is not None
    if tuple(int(part) for part in f"{runtime.version}.0".split(".")[:2] if part.isdigit()) < _LOWEST[kind]:
        raise UserError(f"cannot call a handler with {runtime.name}", f"use {kind}{_LOWEST[kind][0]} or later")
    return plan


_PATH = "/usr/local/bin:/usr/bin:/bin"


def _client(kind: Kind, listing: Listing, plan: BuildPlan, handler: str, host: Host, bootstrap: str) -> Client:
    if kind in _SUFFIXES and not all(handler.rpartition(".")[::2]):
        form = "module.function" if kind == "python" else "file.export"
        raise UserError(
            f"cannot call the handler {handler}: it does not name a function", f"say {form} in `function.handler`"
        )
    if kind == "python":
        return clients.python(listing, plan)
    if kind == "nodejs":
        return clients.nodejs(listing, plan, handler)
    if kind == "java":
        return clients.java(listing, plan, handler, host)
    return Client("provided", (bootstrap,))


def _with(plan: BuildPlan, client: Client) -> BuildPlan:
    return replace(
        plan,
        layers=(*plan.layers, *client.layers),
        steps=(*plan.steps, *client.steps),
        files={**plan.files, **client.files},
        notes=(*plan.notes, *client.notes),
    )


def _path_of(client: Client, plan: BuildPlan) -> dict[str, str]:
    """Where Python looks outside a sandbox: code, its packages, and our copy of the client last."""
    if client.kind != "python":
        return {}
    own = plan.env.get("PYTHONPATH", "")
    packages = clients.site(plan)
    parts = [own, APP, f"{APP}/{packages}" if packages else "", f"{APP}/{clients.RUNTIME}"]
    return {"PYTHONPATH": ":".join(part for part in parts if part)}


def _adapted(listing: Listing, service: Service, host: Host, layers: tuple[str, ...]) -> BuildPlan:
    """A web service: `function.argv` begins with the adapter, and ends in the service's own command line."""
    if service.port is None:
        raise UserError(
            "cannot run it as a function: it has neither a handler nor a port",
            "add `function.handler`, or a `port` on which its program serves HTTP",
        )
    plan = as_alone(listing, service, host) or detect(listing, service, host)
    python = choose(host, "python", None, "the adapter of web services")
    port = service.own_port
    argv = (python.path, "-I", f"{APP}/{_ADAPTER}", str(port), *(plan.argv or ()))
    files = {**plan.files, _ADAPTER: (_HANDLERS / "adapter.py").read_text()}
    beside = plan.beside if python in plan.runtimes else (*plan.beside, python)
    return replace(
        plan, files=files, beside=beside, function=Function("provided", argv, "", plan.env, layers, USUAL_MEMORY)
    )


def check_unzipped(tree: Path) -> None:
    """Raises UserError for more than AWS takes; our client is not counted, AWS's runtimes have theirs outside."""
    ours = tree / clients.RUNTIME
    size = sum(
        status.st_size for path, status in trees.walk(tree) if S_ISREG(status.st_mode) and ours not in path.parents
    )
    if size > MAX_UNZIPPED:
        raise UserError(
            f"cannot make a function of {size:,} bytes: Unzipped size must be smaller than {MAX_UNZIPPED} bytes",
            f"leave out what it does not need; the largest folders: {largest(tree)}",
        )


def check_zipped(name: str, size: int) -> None:
    """Raises UserError for a zip larger than AWS takes."""
    if size > MAX_ZIP:
        raise UserError(
            f"cannot use {name}, {size:,} bytes, as a function: Zipped size must be smaller than {MAX_ZIP} bytes",
            "leave out what it does not need, or give the folder that it was made of",
        )


def _shared(name: str) -> str:
    """How requests become events, and results answers: by the invoker's own modules, so that a handler meets the same
    under every pattern."""
    text = (Path(__file__).parents[1] / "functions" / name).read_text()
    return text.replace("from fourfold.functions.", "from .")
