"""Tries, in children that vanish, what instances are given here: the very code of a real start, up to the exec."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fourfold.spawner import child, handover, kernel, namespace
from fourfold.spawner.request import Failed, Spawn, User

_TRIAL_ID = 65533


def probe() -> dict[str, Any]:
    """-> `users`, `private`, `network`: None when it works, else why not; `user_namespace`: `private` needs one."""
    direct = _attempt(lambda: _private(user_namespace=False))
    nested = None if direct is None else _attempt(lambda: _private(user_namespace=True))
    return {
        "users": _attempt(_switch),
        "private": None if direct is None else nested,
        "network": _attempt(lambda: kernel.unshare(kernel.CLONE_NEWNET)),
        "user_namespace": direct is not None and nested is None,
    }


def run(spawn: Spawn) -> dict[str, Any]:
    """One program with a bundle, to its end. -> its `code` and `signal`, or the `error` that kept it from starting."""
    assert spawn.bundle is not None
    go, going = os.pipe2(os.O_CLOEXEC)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    inherited = child.Inherited.now()
    pid, group = child.fork(child.first_groups(spawn))
    if pid == 0:
        child.become(spawn, None, go, writer, [], replace(inherited, group=group))
    os.close(writer)
    os.write(going, b"g")
    with open(reader, "rb") as file:
        told = file.read()
    code, number = handover.ending(os.waitpid(pid, 0)[1], by_init=True)
    error = json.loads(told) if told else None
    return {"code": code, "signal": number, "error": error, "said": handover.last_words(spawn.bundle.folder)}


def _attempt(action: Callable[[], None]) -> str | None:
    reader, writer = os.pipe()
    if os.fork() == 0:
        reason = b""
        try:
            action()
        except Failed as failed:
            reason = f"{failed.stage}: {os.strerror(failed.errno)}".encode()
        except BaseException as error:
            reason = str(error).encode() or b"unknown"
        finally:
            os.write(writer, reason)
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        told = file.read().decode(errors="replace")
    status = os.wait()[1]
    return told or (None if status == 0 else f"a trial process ended with status {status}")


def _switch() -> None:
    os.setgroups([])
    os.setresgid(_TRIAL_ID, _TRIAL_ID, _TRIAL_ID)
    os.setresuid(_TRIAL_ID, _TRIAL_ID, _TRIAL_ID)


def _private(user_namespace: bool) -> None:
    spawn = Spawn(
        instance="probe",
        run=0,
        argv=["true"],
        env={},
        cwd="/",
        user=None if user_namespace else User(_TRIAL_ID, _TRIAL_ID, "probe", "/tmp"),
        mounts=[("/usr", "/app", True)],
        files=[("/run/secrets/probe", "")],
        hidden=["/usr"],
        private=True,
        user_namespace=user_namespace,
        network="host",
        tmp_bytes=1024 * 1024,
        cgroups=[],
        log=None,
        log_bytes=0,
        held=False,
        tty=False,
        inside=None,
        bundle=None,
    )
    namespace.unshare(spawn)
    namespace.View(spawn).build()
