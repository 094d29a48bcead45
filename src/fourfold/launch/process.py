"""Pattern `process`: one instance is one process beside others on the host.

As root it sees its artifact read-only at `/app`, its volumes at their paths, a /tmp of its own and only its own user.
Without a mount namespace the artifact's folder itself is its working directory, and `argv` and `artifact_env` come
with that folder in place of `/app` (`Artifact.located`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fourfold.errors import UserError
from fourfold.launch.model import File, Launch, Limits, Listen, Mount, Powers, SecretRef, Stop, User
from fourfold.spec.model import Service

APP = "/app"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


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
    port: int | None
    urls: Mapping[str, str] = field(default_factory=dict)
    """`<NAME>_URL` of the app's services and externals, for an instance of this pattern."""
    volumes: Mapping[str, str] = field(default_factory=dict)
    """Volume name -> folder on this host."""
    scratch: str = "/tmp"
    """Where temporary files go without a /tmp of its own."""


def launch(service: Service, facts: Facts) -> Launch:
    """The Launch of one instance. Raises UserError if this host cannot give what the service must have."""
    refuse_impossible(service, facts.powers)
    private = facts.powers.private
    home = APP if private else facts.tree
    return Launch(
        instance=facts.instance,
        argv=facts.argv,
        env=_environment(service, facts),
        cwd=home,
        user=facts.user if facts.powers.users else None,
        limits=limits(service),
        mounts=_mounts(service, facts) if private else (),
        files=tuple(File(use.file, SecretRef(use.name)) for use in service.secrets if use.file),
        private=private,
        listen=Listen("127.0.0.1", facts.port) if facts.port is not None else None,
        stop=Stop(service.stop.signal, service.stop.grace),
    )


def refuse_impossible(service: Service, powers: Powers) -> None:
    """Before anything changes: what must not silently be missing. (Limits may be: they are reported.)"""
    if powers.private:
        return
    why = powers.missing.get("private", "no mount namespace can be made")
    for volume in service.volumes:
        raise UserError(
            f"cannot mount volume {volume.name} at {volume.path}: {why}", "run the daemon as root, or drop the volume"
        )
    for use in service.secrets:
        if use.file:
            raise UserError(f"cannot give secret {use.name} as a file: {why}", "use it as an environment variable")


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


def url_variable(service: str) -> str:
    """`order-desk` -> `ORDER_DESK_URL`."""
    return service.upper().replace("-", "_") + "_URL"


def _environment(service: Service, facts: Facts) -> dict[str, str | SecretRef]:
    scratch = "/tmp" if facts.powers.private else facts.scratch
    env: dict[str, str | SecretRef] = {
        "HOME": scratch,
        "LANG": "C.UTF-8",
        "TMPDIR": scratch,
        "FOURFOLD_APP": facts.app,
        "FOURFOLD_SERVICE": facts.service,
        "FOURFOLD_INSTANCE": facts.instance,
        "FOURFOLD_RELEASE": str(facts.release),
    }
    if facts.user is not None and facts.powers.users:
        env["USER"] = env["LOGNAME"] = facts.user.name
    env |= facts.artifact_env
    path = facts.artifact_env.get("PATH")
    env["PATH"] = f"{path}:{SYSTEM_PATH}" if path else SYSTEM_PATH
    env |= facts.urls
    env |= service.env
    for use in service.secrets:
        env[use.env] = use.file if use.file else SecretRef(use.name)
    if facts.port is not None:
        env |= {"PORT": str(facts.port), "HOST": "127.0.0.1"}
    return env


def _mounts(service: Service, facts: Facts) -> tuple[Mount, ...]:
    volumes = (Mount(facts.volumes[volume.name], volume.path) for volume in service.volumes)
    return (Mount(facts.tree, APP, read_only=True), *volumes)
