"""A Launch and its secrets as the spawner's request, and the spawner's refusals as sentences."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fourfold.errors import ConflictError, FourfoldError, UserError, WorldError
from fourfold.launch.model import Launch, Powers, SecretRef
from fourfold.supervise.spawner.wire import Refused

_MOST_TMP = 1024 * 1024 * 1024
_SECRETS_FOLDER = "/run/secrets"


def spawn_request(
    launch: Launch,
    secrets: Mapping[str, str],
    powers: Powers,
    *,
    run: int,
    hidden: Sequence[Path],
    cgroups: Sequence[str],
    log: str | None,
    held: bool,
    tty: bool,
) -> dict[str, Any]:
    """The keys of `spawner.request.Spawn`. UserError: no such secret, a NUL; WorldError: no namespace for mounts."""
    env = environment_of(launch, secrets)
    _check(launch, powers, env)
    user = launch.user if powers.users else None
    return {
        "instance": launch.instance,
        "run": run,
        "argv": list(launch.argv),
        "env": env,
        "cwd": launch.cwd,
        "user": {"uid": user.uid, "gid": user.gid, "name": user.name, "home": user.home} if user else None,
        "mounts": [(os.path.realpath(mount.source), mount.target, mount.read_only) for mount in launch.mounts],
        "files": [(file.path, _value(launch, file.content, secrets)) for file in launch.files],
        "hidden": [os.path.realpath(folder) for folder in hidden],
        "private": launch.private and powers.private,
        "user_namespace": powers.user_namespace,
        "network": launch.network if isinstance(launch.network, str) else asdict(launch.network),
        "tmp_bytes": min(launch.limits.memory // 2, _MOST_TMP) if launch.limits.memory else _MOST_TMP,
        "cgroups": list(cgroups),
        "log": log,
        "log_bytes": launch.log_bytes,
        "held": held,
        "tty": tty,
        "inside": None,
        "bundle": None,
    }


def environment_of(launch: Launch, secrets: Mapping[str, str]) -> dict[str, str]:
    """With its secrets' values. UserError: one has none."""
    return {name: _value(launch, value, secrets) for name, value in launch.env.items()}


def _value(launch: Launch, value: str | SecretRef, secrets: Mapping[str, str]) -> str:
    if isinstance(value, str):
        return value
    if value.name not in secrets:
        raise UserError(
            f"cannot start {launch.instance}: secret {value.name} is not set",
            f"set it with `fourfold secrets set {value.name}`",
        )
    return secrets[value.name]


def _check(launch: Launch, powers: Powers, env: Mapping[str, str]) -> None:
    if not launch.argv or not launch.argv[0]:
        raise UserError(f"cannot start {launch.instance}: its command is empty", "give it something to `run`")
    if bad := next((name for name, value in env.items() if "\0" in value or "\0" in name or "=" in name), None):
        raise UserError(f"cannot start {launch.instance}: the variable {bad!r} cannot be put into an environment")
    if any("\0" in word for word in launch.argv):
        raise UserError(f"cannot start {launch.instance}: its command holds a NUL byte")
    if bad := next((file.path for file in launch.files if file.path.rpartition("/")[0] != _SECRETS_FOLDER), None):
        raise UserError(f"cannot start {launch.instance}: the file {bad} is not directly in {_SECRETS_FOLDER}")
    apart = launch.bundle is not None or launch.machine is not None
    needs = "mounts" if launch.mounts else "secret files" if launch.files and not apart else ""
    if needs and not (launch.private and powers.private):
        why = powers.missing.get("private", "the launch is not private")
        raise WorldError(
            f"cannot start {launch.instance}: {needs} need a mount namespace of its own ({why})",
            "run as root, or where user namespaces are allowed; `fourfold doctor` tells",
        )


def explain(instance: str, cwd: str, refused: Refused) -> FourfoldError:
    """A refusal as the sentence that the user reads; the user's fault and the world's are told apart."""
    reason = os.strerror(refused.errno) if refused.errno else refused.detail
    start = f"cannot start {instance}"
    match refused.stage, refused.errno:
        case "exec", errno.ENOENT:
            return UserError(f"{start}: no such command {refused.detail!r}", "check `run`, and PATH in `env`")
        case "exec", errno.EACCES:
            return UserError(
                f"{start}: {refused.detail} is not executable", "`chmod +x` it, or name its interpreter in `run`"
            )
        case "exec", errno.ENOEXEC:
            return UserError(
                f"{start}: {refused.detail} is not a program", "a script's first line must be `#!` and its interpreter"
            )
        case "exec", errno.E2BIG:
            return UserError(f"{start}: its arguments and environment are too large", "pass large values as files")
        case "interpreter", _:
            path, _, interpreter = refused.detail.partition(": ")
            return UserError(
                f"{start}: the interpreter of {path} is missing ({interpreter})", "install it, or mend the first line"
            )
        case "cwd", errno.ENOENT | errno.ENOTDIR | errno.EACCES:
            return UserError(f"{start}: cannot enter its folder {cwd}: {reason}")
        case "exists", _:
            return ConflictError(f"{start}: it already runs", "stop it first")
        case "inside", _:
            return ConflictError(f"cannot enter {refused.detail}: it does not run", "`fourfold status` shows what runs")
        case "runtime" | "helper", _:
            said = words_of_runtime(refused.detail) if refused.stage == "runtime" else f"{refused.detail}: {reason}"
            return WorldError(f"{start}: {said}", "`fourfold doctor` tells what is missing here")
        case "mount", _:
            return WorldError(f"{start}: cannot mount {refused.detail}: {reason}", _HINTS["mount"])
        case "network", _:
            return WorldError(
                f"{start}: cannot connect it to the bridge {refused.detail}: {reason}",
                "start it again: the bridge is made anew when another program has removed it",
            )
        case _:
            what = f"{refused.stage} {refused.detail}".strip() if refused.errno else refused.stage
            return WorldError(f"{start}: {what}: {reason}", _HINTS.get(refused.stage, ""))


_HINTS = {
    "bundle": "see that this folder can be written to, and that there is memory left",
    "cgroup": "`fourfold doctor` tells which control groups can be used here",
    "descriptors": "raise the limit on open files where the daemon is started; `fourfold doctor` tells it",
    "mount": "see that it is there, and that its file system lets root read it",
    "namespace": "run as root, or where user namespaces are allowed; `fourfold doctor` tells",
    "root": "see that the state folder is on a disk that overlays can be made of: ext4 or xfs, no overlay itself",
}


def words_of_runtime(said: str) -> str:
    """Of an OCI runtime: the last entry of its log, which is JSON, one entry a line."""
    for line in reversed(said.splitlines()):
        with suppress(ValueError, KeyError, TypeError):
            return str(json.loads(line)["msg"])
    return said
