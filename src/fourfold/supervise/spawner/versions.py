"""Versions of the daemon and of the spawner that it finds: which is newer, and the spawner that becomes the newer one.

The spawner re-executes itself, so its pid, its children, its lock and its connections stay, and no instance notices.
Only upwards: an older program may not understand what a newer one has written down.
"""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fourfold import __version__
from fourfold.errors import UserError, WorldError
from fourfold.spawner.request import PROTOCOL
from fourfold.supervise.spawner.wire import Client

log = logging.getLogger(__name__)

_PATIENCE = 15.0
"""Seconds that a spawner may take to become another: it waits for what is just starting or ending."""
_LOOK_SECONDS = 0.02
_GIVES_UP = 7
"""The protocol since which a spawner that is asked to become another is told how long that may take."""
_BEFORE_RELEASE = {"dev": -4, "a": -3, "b": -2, "rc": -1}
_PARTS = re.compile(r"v?(\d+(?:\.\d+)*)(?:[.-]?(dev|a|b|rc)\.?(\d*))?")


@dataclass(frozen=True)
class Spawner:
    """What answers as the spawner of this home."""

    version: str
    protocol: int
    pid: int


def is_newer(one: str, other: str) -> bool:
    """Whether version `one` comes after `other`, by https://peps.python.org/pep-0440/ as far as versions here go."""
    return _order(one) > _order(other)


def _order(version: str) -> tuple[tuple[int, ...], int, int]:
    found = _PARTS.match(version)
    if found is None:
        return (), 0, 0
    numbers = [int(part) for part in found[1].split(".")]
    while numbers and numbers[-1] == 0:  # 1.0 is 1
        numbers.pop()
    return tuple(numbers), _BEFORE_RELEASE.get(found[2] or "", 0), int(found[3] or 0)


async def hello(client: Client) -> Spawner:
    said = await client.call("hello")
    return Spawner(str(said["version"]), int(said["protocol"]), int(said["pid"]))


def is_ours(spawner: Spawner) -> bool:
    return (spawner.version, spawner.protocol) == (__version__, PROTOCOL)


def refuse_newer(spawner: Spawner) -> None:
    """Raises UserError for a spawner that is newer than this program."""
    if is_newer(spawner.version, __version__) or spawner.protocol > PROTOCOL:
        raise UserError(
            f"cannot use the spawner that runs here (pid {spawner.pid}): it is of Fourfold {spawner.version}, and this "
            f"program is {__version__}, which is older; nothing was changed",
            f"install Fourfold {spawner.version} or newer again; to go back all the same, end every app with that "
            "version first (`fourfold down`, then `fourfold daemon stop`: its spawner ends too)",
        )


async def upgrade(client: Client, spawner: Spawner, argv: Sequence[str]) -> Spawner:
    """Have an older spawner become this version: `argv` starts that. -> what answers then.

    Tried first whether it starts at all: a spawner that cannot would be the end of a parent. Where it does not, or
    where the old one does not come to it, that goes on as long as it speaks the same protocol; else WorldError.
    """
    why = await asyncio.to_thread(_trial, argv)
    if not why:
        asked: dict[str, Any] = {"argv": list(argv)}
        if spawner.protocol >= _GIVES_UP:
            asked["within"] = _PATIENCE - 1.0
        await client.call("reexec", **asked)
        if (now := await _awaited(client)) is not None:
            log.info("the spawner (pid %d) went from %s to %s", now.pid, spawner.version, now.version)
            return now
        why = f"it has not within {_PATIENCE:.0f} s"
    what = f"cannot bring the spawner (pid {spawner.pid}) from {spawner.version} to {__version__}: {why}"
    if spawner.protocol != PROTOCOL:
        raise WorldError(what, "services keep running; see spawner.log, and install that version again")
    log.error("%s; it goes on as it is", what)
    return spawner


async def _awaited(client: Client) -> Spawner | None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE
    while loop.time() < deadline:
        if is_ours(now := await hello(client)):
            return now
        await asyncio.sleep(_LOOK_SECONDS)
    return None


def _trial(argv: Sequence[str]) -> str:
    """What is wrong with the program, if anything: whether it comes as far as looking at this host."""
    try:
        done = subprocess.run([*argv, "--probe"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    last = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else (last[-1] if last else f"it ends with exit code {done.returncode}")
