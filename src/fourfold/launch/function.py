"""Pattern `function`: one instance is one invoker, which starts sandboxes for events and serves them HTTP requests.

The invoker is a program of ours and runs as root: what a service file says reaches its sandboxes, never itself. It is
not asked as the file's `health` says: it answers once its first sandbox has come up. See `functions/README.md`.
"""

from __future__ import annotations

from dataclasses import replace

from fourfold.errors import UserError
from fourfold.functions.model import CONFIG, PREFIX, Config, SandboxUser
from fourfold.launch import sandbox
from fourfold.launch.common import Facts, FunctionFacts, environment, limits
from fourfold.launch.model import Launch, Limits, Listen, Machine, Powers, SecretRef, Stop
from fourfold.spec.model import Service

USUAL_MEMORY = 128 * 1024 * 1024
"""Of a sandbox whose service does not say: as AWS's functions have."""
MODULE = ("-I", "-m", "fourfold.functions")
READY_PATH, READY_HOST = "FOURFOLD_READY_PATH", "FOURFOLD_READY_HOST"
"""What the adapter asks a program in a sandbox, before its first event, to know whether it is well: `health.path`."""
_SANDBOX_PROCESSES = 1024
"""That each may have, as AWS's have."""
_OWN_PROCESSES = 256
_MOST_PROCESSES = 4_000_000
_LAMBDA = "lambda"
"""The app of functions that were made by the Lambda API, which go by the names that they were given there."""


def launch(service: Service, facts: Facts) -> Launch:
    """The Launch of one instance. Raises UserError if this host cannot give what the service must have."""
    refuse_impossible(service, facts.powers)
    function = facts.function
    assert function is not None and facts.user is not None
    inside = None if function.handler or facts.port is None else Listen("127.0.0.1", port_inside(service))
    own = environment(service, replace(facts, scratch="/tmp"), inside)
    if inside is not None and service.health is not None and service.health.path is not None:
        own |= {READY_PATH: service.health.path, READY_HOST: service.called}
    env: dict[str, str | SecretRef] = {PREFIX + name: value for name, value in own.items()}
    memory = service.resources.memory or function.memory
    machine = sandbox.machine(service, facts, memory) if is_in_machines(service) else None
    config = _config(service, facts, function, facts.user.name, machine)
    return Launch(
        instance=facts.instance,
        argv=(function.interpreter, *MODULE),
        env={CONFIG: config.to_json(), "LANG": "C.UTF-8"} | env,
        limits=_limits(service),
        sandbox=machine,
        needs_bridge=True,
        listen=None if facts.port is None else Listen("127.0.0.1", facts.port),
        stop=Stop("TERM", ending(service)),
    )


def refuse_impossible(service: Service, powers: Powers) -> None:
    """Before anything changes. UserError."""
    if service.image is not None:
        raise UserError(
            f"cannot run the image {service.image} as a function: sandboxes have this host's files and the source's",
            "run it as a container, or give `source` instead of `image`",
        )
    for volume in service.volumes:
        raise UserError(
            f"cannot give volume {volume.name} to a function: its sandboxes keep nothing",
            "drop the volume (what is written to /tmp lasts as long as its sandbox), keep the data in a service of its "
            "own, or run this one as a process, container or vm",
        )
    for use in service.secrets:
        if use.file:
            raise UserError(
                f"cannot give secret {use.name} to a function as a file", "use it as an environment variable"
            )
    if not powers.functions:
        why = powers.missing.get("functions", "this host cannot start any")
        raise UserError(f"cannot run as a function: {why}", "`fourfold doctor` tells what is missing here")
    if is_in_machines(service):
        sandbox.refuse_impossible(powers, sandbox_memory(service))


def is_in_machines(service: Service) -> bool:
    """Whether its sandboxes are virtual machines."""
    return service.function.isolation == "vm"


def ending(service: Service) -> float:
    """Seconds that an invoker may take to end: it answers what it has taken."""
    return max(service.stop.grace, service.function.timeout + 1.0)


def port_inside(service: Service) -> int:
    """Where a program behind the adapter listens: each sandbox has all ports."""
    port = service.own_port
    return port or 8080


def sandbox_memory(service: Service) -> int:
    """Bytes that one sandbox may take."""
    return service.resources.memory or USUAL_MEMORY


def function_name(app: str, service: str) -> str:
    """What clients of the Lambda API call it."""
    return service if app == _LAMBDA else f"{app}-{service}"


def _config(service: Service, facts: Facts, function: FunctionFacts, user: str, machine: Machine | None) -> Config:
    said = service.function
    assert facts.user is not None
    return Config(
        app=facts.app,
        service=facts.service,
        instance=facts.instance,
        release=facts.release,
        kind=function.kind,
        tree=facts.tree,
        argv=function.argv,
        handler=function.handler,
        timeout=said.timeout,
        memory=service.resources.memory or function.memory,
        tmp=said.tmp,
        concurrency=said.concurrency,
        provisioned=said.provisioned,
        queue=said.queue,
        idle=said.idle,
        preload=said.preload,
        payload=said.payload,
        paths=tuple(said.paths),
        layers=function.layers,
        port=facts.port,
        socket=function.socket,
        usage=function.usage,
        user=SandboxUser(facts.user.uid, facts.user.gid, user),
        network=function.network,
        region=function.region,
        function_name=function.name or function_name(facts.app, facts.service),
        version=function.version,
        hidden=function.hidden,
        machine=sandbox.told(machine) if machine is not None else None,
    )


def _limits(service: Service) -> Limits:
    """Of the invoker and all of its sandboxes together; their memory is bounded one by one, as AWS's is."""
    each = service.resources.pids or _SANDBOX_PROCESSES
    together = min(_OWN_PROCESSES + each * (service.function.concurrency + 2), _MOST_PROCESSES)
    return replace(limits(service), memory=None, pids=together)
