"""Pattern `process`: one instance is one process beside others on the host.

As root it sees its artifact read-only at `/app`, its volumes at their paths, a /tmp of its own and only its own user.
Without a mount namespace the artifact's folder itself is its working directory, and `argv` and `artifact_env` come
with that folder in place of `/app` (`Artifact.located`).
"""

from __future__ import annotations

from dataclasses import replace

from fourfold.errors import UserError
from fourfold.launch.common import APP, Facts, environment, limits, secret_files, volumes
from fourfold.launch.model import Launch, Listen, Mount, Powers, Stop
from fourfold.spec.model import Service


def launch(service: Service, facts: Facts) -> Launch:
    """The Launch of one instance. Raises UserError if this host cannot give what the service must have."""
    refuse_impossible(service, facts.powers)
    private = facts.powers.private
    scratch = "/tmp" if private else facts.scratch
    listen = Listen("127.0.0.1", facts.port) if facts.port is not None else None
    return Launch(
        instance=facts.instance,
        argv=facts.argv,
        env=environment(service, replace(facts, scratch=scratch), listen, home=scratch),
        cwd=APP if private else facts.tree,
        user=facts.user if facts.powers.users else None,
        limits=limits(service),
        mounts=(Mount(facts.tree, APP, read_only=True), *volumes(service, facts)) if private else (),
        files=secret_files(service),
        private=private,
        listen=listen,
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
