"""What a handler, pattern function, jobs and triggers go together with, and what they do not."""

from __future__ import annotations

from collections.abc import Iterator

from fourfold.spec.model import Service
from fourfold.spec.yaml.node import Path

Found = tuple[Path, str, str | None]
"""Where, what, and what to do."""

RESERVED = frozenset(("_HANDLER", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"))
_RESERVED_PREFIX = "AWS_LAMBDA_"


def functions_and_jobs(path: Path, service: Service) -> Iterator[Found]:
    if service.job is not None:
        yield from _job(path, service)
    if service.function.handler is not None:
        yield from _handler(path, service)
    if service.pattern == "function":
        yield from _function(path, service)
    elif service.runtime == "provided":
        hint = "add `pattern: function`, or leave `runtime` out and say `run`"
        yield (*path, "runtime"), "a `bootstrap` asks for events: it runs as a function only", hint
    serves = service.port is not None or service.runtime == "provided"
    if service.triggers and service.job is None and service.function.handler is None and not serves:
        hint = "add `function.handler`, a `port` (events are sent to /events there), or `job`"
        yield (*path, "triggers"), "nothing of it takes events", hint


def _job(path: Path, service: Service) -> Iterator[Found]:
    needless = {
        "port": service.port,
        "route": service.route,
        "health": service.health,
        "static": service.static,
        "function.handler": service.function.handler,
        "deploy.before": service.deploy.before,
    }
    for key, given in needless.items():
        if given:
            yield (
                (*path, *key.split(".")),
                f"a job runs to its end and serves nobody: it has no use for `{key}`",
                (f"leave out `{key}` or `job`"),
            )
    if service.pattern == "function":
        hint = "use the pattern process, container or vm"
        yield (*path, "job"), "a job runs to its end, a function waits for events", hint
    if service.instances != 1:
        yield (*path, "instances"), "a job has no instances that stay: each run is one", "leave out `instances`"


def _handler(path: Path, service: Service) -> Iterator[Found]:
    other = {"image": service.image, "static": service.static}
    if service.run is None and service.pattern in ("container", "vm"):
        other["container.dockerfile"] = service.container.dockerfile
    for key, given in other.items():
        if given:
            hint = f"leave out `{key}` or `function.handler`"
            yield (*path, *key.split(".")), f"a handler is called in what `source` gives: `{key}` gives a program", hint
    if service.runtime in ("go", "static") or (service.runtime or "").startswith("ruby"):
        hint = "use python3.x, nodejsNN or javaNN; or provided, with an executable `bootstrap`"
        yield (*path, "runtime"), f"there are no handlers for {service.runtime}", hint


def _function(path: Path, service: Service) -> Iterator[Found]:
    if service.function.handler is None and service.port is None and service.runtime != "provided" and not service.job:
        hint = "add `function.handler`, or a `port` on which its program serves HTTP"
        yield (*path, "pattern"), "as a function it needs something that takes events", hint
    if service.volumes:
        hint = "keep its data in a service of another pattern; /tmp is each sandbox's own"
        yield (*path, "volumes"), "the sandboxes of a function have no volumes", hint
    for index, use in enumerate(service.secrets):
        if use.file:
            hint = "let it have the secret as a variable"
            yield (*path, "secrets", index), "the sandboxes of a function have no secret files", hint
    for name in service.env:
        if name in RESERVED or name.startswith(_RESERVED_PREFIX):
            yield (*path, "env", name), f"{name} is set for every sandbox", "leave it out"
