"""What this host has and lacks. Works without a daemon too: `fourfold doctor --offline`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from fourfold.build.host import find_host
from fourfold.build.workspace import find_mode, no_isolation
from fourfold.control.views import CheckView
from fourfold.errors import FourfoldError
from fourfold.launch.model import Powers
from fourfold.paths import Paths
from fourfold.store.db import open_database

LOW_DISK_BYTES = 1024**3
POWERS = {
    "users": "each service runs as a user of its own",
    "private": "each instance has its own /tmp, volumes and secrets as files",
    "cpu": "CPU limits are enforced",
    "memory": "memory limits are enforced",
    "pids": "limits on processes are enforced",
    "io": "I/O limits are enforced",
}


def examine(paths: Paths, powers: Powers) -> list[CheckView]:
    return [_disk(paths), _store(paths), _haproxy(), _builds(), *_powers(powers), *_runtimes()]


def _disk(paths: Paths) -> CheckView:
    folder = next(each for each in (paths.state, *paths.state.parents) if each.exists())
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB free in {folder}"
    if free < LOW_DISK_BYTES:
        return CheckView(name="disk", state="warning", message=text, hint="fourfold gc removes what is not needed")
    return CheckView(name="disk", state="ok", message=text)


def _store(paths: Paths) -> CheckView:
    if not paths.database.exists():
        return CheckView(name="store", state="ok", message=f"not made yet: {paths.database}")
    try:
        with open_database(paths.database) as database:
            wrong = database.check()
    except FourfoldError as error:
        return CheckView(name="store", state="failed", message=str(error), hint=error.hint)
    if wrong:
        return CheckView(
            name="store", state="failed", message=f"{paths.database}: {wrong[0]}", hint="restore it from a backup"
        )
    return CheckView(name="store", state="ok", message=f"sound: {paths.database}")


def _haproxy() -> CheckView:
    return _program("gateway", "haproxy", "-v", "apt-get install haproxy")


def _builds() -> CheckView:
    if find_mode(os.geteuid()) != "none":
        return CheckView(name="builds", state="ok", message="kept apart from this host by bubblewrap")
    why, hint = no_isolation()
    if os.geteuid() == 0:
        message = f"refused unless `unisolated_builds` is set in fourfold.toml: {why}"
        return CheckView(name="builds", state="failed", message=message, hint=hint)
    message = f"not kept apart from this user's files: {why}"
    return CheckView(name="builds", state="warning", message=message, hint=hint)


def _program(name: str, program: str, flag: str, install: str) -> CheckView:
    path = shutil.which(program)
    if path is None:
        return CheckView(name=name, state="failed", message=f"{program} is not installed", hint=install)
    said = subprocess.run([path, flag], capture_output=True, text=True, timeout=10, check=False).stdout
    return CheckView(name=name, state="ok", message=said.splitlines()[0] if said else str(Path(path)))


def _powers(powers: Powers) -> Iterator[CheckView]:
    for name, meaning in POWERS.items():
        if getattr(powers, name):
            yield CheckView(name=name, state="ok", message=meaning)
        else:
            why = powers.missing.get(name, "this host does not let us")
            yield CheckView(name=name, state="warning", message=f"not here: {meaning} ({why})", hint="run as root")


def _runtimes() -> Iterator[CheckView]:
    found = sorted(find_host(os.environ).runtimes)
    yield CheckView(name="runtimes", state="ok", message=", ".join(found) or "none beyond executables")
