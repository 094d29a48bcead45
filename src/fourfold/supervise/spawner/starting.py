"""Starts the spawner: a process of its own session that outlives the daemon."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from typing import Any

from fourfold.errors import WorldError
from fourfold.paths import Paths
from fourfold.supervise.spawner.program import SPAWNER_ARGV
from fourfold.supervise.spawner.wire import Client

_LOCKED = 3
_PATIENCE = 10.0
_MOST_LOG = 1024 * 1024


def spawner_argv(paths: Paths) -> list[str]:
    files = {"socket": paths.spawner_socket, "journal": paths.spawner_journal, "lock": paths.spawner_lock}
    return [*SPAWNER_ARGV, *(word for name, file in files.items() for word in (f"--{name}", str(file)))]


async def connect_or_start(
    paths: Paths, on_event: Callable[[dict[str, Any]], None], on_end: Callable[[], None]
) -> Client:
    """A connection to the spawner of this home, started if none runs. WorldError when neither works."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    code, late = 0, False
    while True:
        try:
            return await Client.connect(paths.spawner_socket, on_event, on_end)
        except OSError:
            if late or code not in (0, _LOCKED):
                words = _last_words(paths) or f"exit code {code}"
                if code == _LOCKED:
                    words = f"one has {paths.spawner_lock}, and does not listen at {paths.spawner_socket}"
                raise WorldError(f"cannot start the spawner: {words}", _hint(paths)) from None
        code = await _start(paths)
        late = asyncio.get_running_loop().time() > deadline  # one more try: a start that took long may have succeeded
        if code == _LOCKED:
            await asyncio.sleep(0.02)  # another one has just started and is about to listen


async def _start(paths: Paths) -> int:
    try:
        return await asyncio.to_thread(_run_starter, paths)
    except OSError as error:  # no memory, no process, no room: that may pass
        raise WorldError(f"cannot start the spawner: {error}", _hint(paths)) from error


def _run_starter(paths: Paths) -> int:
    """-> exit code of the starter, which waits until the spawner listens. About 60 ms."""
    for folder in (paths.run, paths.state):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (paths.run / "spawner.log").open("ab") as log:
        if log.tell() > _MOST_LOG:
            log.truncate(0)
        return subprocess.run(
            [*spawner_argv(paths), "--detach"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env={"PATH": os.defpath},
            start_new_session=True,
        ).returncode


def _last_words(paths: Paths) -> str:
    try:
        lines = (paths.run / "spawner.log").read_text(errors="replace").splitlines()
    except OSError as error:
        return str(error)
    return lines[-1] if lines else ""


def _hint(paths: Paths) -> str:
    return f"{paths.run / 'spawner.log'} has more; `fourfold doctor --offline` looks at the folders"
