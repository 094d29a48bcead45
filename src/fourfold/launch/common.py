"""What the launchers of all patterns have in common: facts, environment, limits, secrets as files, volumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from fourfold.functions.model import Kind, SandboxNetwork
from fourfold.launch.model import Bridge, File, Forwarded, Limits, Listen, Mount, Powers, SecretRef, User
from fourfold.launch.names import HostNames
from fourfold.spec.model import Service

APP = "/app"
"""Where an instance finds its artifact."""
GUESTS = "/guests"
"""Where a host finds those of its guests."""
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class ImageFacts:
    """An image as this host has it, and what this host gives to containers."""

    layers: tuple[str, ...]
    """Folders, lowest first."""
    passwd: str
    """The image's own /etc/passwd and /etc/group; empty where it has none."""
    group: str
    profile: Mapping[str, Any]
    """Of `seccomp.PROFILE`."""
    machine: str
    """As uname says it."""
    kernel: tuple[int, int]
    names: HostNames
    bridge: Bridge | None
    """None: it is to share the host's network."""
    forwarded: Forwarded | None = None
    """Of a virtual machine without a bridge."""
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    """As images say it; empty: the image does not."""
    cwd: str = APP
    stop_signal: str | None = None


@dataclass(frozen=True)
class BootFacts:
    """What a virtual machine boots, as paths on this host."""

    kernel: str
    initrd: str
    disks: tuple[str, ...]
    """Lowest first."""
    init: str = ""
    template: str | None = None


@dataclass(frozen=True)
class FunctionFacts:
    """What an invoker needs of this host, and what its sandboxes run."""

    interpreter: str
    """Python that has Fourfold: the daemon's own. It runs the invoker."""
    kind: Kind
    argv: tuple[str, ...]
    handler: str
    layers: tuple[str, ...]
    """Folders on this host."""
    memory: int
    """Bytes of a sandbox where the service does not say."""
    socket: str
    usage: str
    network: SandboxNetwork
    hidden: tuple[str, ...] = ()
    name: str = ""
    """What clients of Lambda's API call it; empty: as its service is called."""
    version: str = "$LATEST"
    region: str = "us-east-1"


@dataclass(frozen=True)
class Facts:
    """What a launcher must know besides the service itself."""

    app: str
    service: str
    instance: str
    release: int
    tree: str
    """Folder of the artifact on this host."""
    argv: tuple[str, ...]
    artifact_env: Mapping[str, str]
    """What the artifact adds to the environment: `{"PATH": "/app/.venv/bin"}`."""
    powers: Powers
    user: User | None
    """Of a guest: its host's."""
    port: int | None
    urls: Mapping[str, str] = field(default_factory=dict)
    """`<NAME>_URL` of the app's services and externals, for an instance of this pattern."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Service -> address where it is called by its name and its own port, from the bridge."""
    volumes: Mapping[str, str] = field(default_factory=dict)
    """Volume name -> folder on this host."""
    scratch: str = "/tmp"
    """Where temporary files go without a /tmp of its own."""
    image: ImageFacts | None = None
    """Of patterns container and vm."""
    boot: BootFacts | None = None
    """Of virtual machines, be they containers."""
    function: FunctionFacts | None = None
    """Of pattern function; None: a program beside it, which runs as one of a process does."""
    host: str | None = None
    """Instance that it is a guest of; None: a process of its own."""
    guests: str | None = None
    """Of a host and of its guests: the host's folder on this machine. None: a program beside them."""


def limits(service: Service) -> Limits:
    resources = service.resources
    return Limits(
        cpu=resources.cpu,
        memory=resources.memory,
        pids=resources.pids,
        read_bps=resources.io.read if resources.io else None,
        write_bps=resources.io.write if resources.io else None,
    )


def unenforced(limits: Limits, powers: Powers) -> dict[str, str]:
    """Limits asked for that this host cannot enforce -> why (promise 10)."""
    wanted = {
        "cpu": limits.cpu is not None,
        "memory": limits.memory is not None,
        "pids": limits.pids is not None,
        "io": limits.read_bps is not None or limits.write_bps is not None,
    }
    return {
        name: powers.missing.get(name, "this host cannot enforce it")
        for name, asked in wanted.items()
        if asked and not getattr(powers, name)
    }


@cache
def url_variable(service: str) -> str:
    """`order-desk` -> `ORDER_DESK_URL`."""
    return service.upper().replace("-", "_") + "_URL"


def addresses_of(service: str, protocol: str, host: str, port: int) -> dict[str, str]:
    """What a service that calls another one has of it: `DB_URL`, and with TCP `DB_HOST` and `DB_PORT` too."""
    variable = url_variable(service)
    if protocol == "http":
        return {variable: f"http://{host}:{port}"}
    stem = variable.removesuffix("URL")
    return {variable: f"tcp://{host}:{port}", f"{stem}HOST": host, f"{stem}PORT": str(port)}


def environment(
    service: Service, facts: Facts, listen: Listen | None, home: str = "/tmp", base: Mapping[str, str] | None = None
) -> dict[str, str | SecretRef]:
    """All of it. `base` is what the image has; `listen` what the program itself must bind."""
    env: dict[str, str | SecretRef] = {
        **(base or {}),
        "HOME": home,
        "LANG": "C.UTF-8",
        "TMPDIR": facts.scratch,
        "FOURFOLD_APP": facts.app,
        "FOURFOLD_SERVICE": facts.service,
        "FOURFOLD_INSTANCE": facts.instance,
        "FOURFOLD_RELEASE": str(facts.release),
    }
    if facts.user is not None and facts.powers.users:
        env["USER"] = env["LOGNAME"] = facts.user.name
    env |= facts.artifact_env
    paths = (facts.artifact_env.get("PATH"), (base or {}).get("PATH", SYSTEM_PATH))
    env["PATH"] = ":".join(path for path in paths if path)
    env |= facts.urls
    env |= service.env
    for use in service.secrets:
        env[use.env] = use.file if use.file else SecretRef(use.name)
    if listen is not None:
        env |= {"PORT": str(listen.port), "HOST": listen.host}
    return env


def secret_files(service: Service) -> tuple[File, ...]:
    return tuple(File(use.file, SecretRef(use.name)) for use in service.secrets if use.file)


def volumes(service: Service, facts: Facts) -> tuple[Mount, ...]:
    return tuple(Mount(facts.volumes[volume.name], volume.path) for volume in service.volumes)
