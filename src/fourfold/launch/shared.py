"""Pattern `shared`: one instance is a guest of a host, which starts it when it is told to. See `build/hosts`.

What is run beside it (`run`, `deploy.before`) runs as a process does, of the same tree.
"""

from __future__ import annotations

from dataclasses import replace

from fourfold.errors import UserError
from fourfold.launch import process
from fourfold.launch.common import GUESTS, Facts, environment, limits
from fourfold.launch.model import Launch, Limits, Listen, Mount, Powers, SecretRef, Stop
from fourfold.spec.checks.groups import as_guest, in_process
from fourfold.spec.model import Service

_WHOLE = ("HOME", "LANG", "LOGNAME", "PATH", "TMPDIR", "USER")
"""Of a process as a whole: a guest without one has no use for them."""


def launch(service: Service, facts: Facts) -> Launch:
    """The Launch of one guest. `facts.argv` and `facts.artifact_env` have the paths of its `place`."""
    if facts.host is None or facts.guests is None:
        return process.launch(service, facts)
    refuse_impossible(service, facts.powers)
    listen = Listen("127.0.0.1", facts.port) if facts.port is not None else None
    where = place(facts.instance, facts.guests, facts.powers.private)
    return Launch(
        instance=facts.instance,
        argv=facts.argv,
        env=_environment(service, facts, listen),
        cwd=where,
        user=facts.user if facts.powers.users else None,
        limits=Limits() if in_process(service) else limits(service),
        mounts=(Mount(facts.tree, where, read_only=True),),
        listen=listen,
        stop=Stop(service.stop.signal, service.stop.grace),
        host=facts.host,
        service=facts.service,
        path=service.route_path,
    )


def place(guest: str, folder: str, private: bool) -> str:
    """Where a host finds the artifact of a guest; `folder` is the host's, on this machine."""
    return f"{GUESTS if private else folder}/{guest}"


def refuse_impossible(service: Service, powers: Powers) -> None:
    """Before anything changes: what a service cannot have in a group. UserError."""
    for where, what, hint in as_guest((), service):
        named = f"`{'.'.join(map(str, where))}`: " if where else ""
        raise UserError(f"cannot run in group {service.shared.group or '?'}: {named}{what}", hint)


def _environment(service: Service, facts: Facts, listen: Listen | None) -> dict[str, str | SecretRef]:
    scratch = "/tmp" if facts.powers.private else facts.scratch
    whole = environment(service, replace(facts, scratch=scratch), listen, home=scratch)
    if not in_process(service):
        return whole
    given = {use.env for use in service.secrets} | service.env.keys()
    return {name: value for name, value in whole.items() if name in given or name not in _WHOLE}
