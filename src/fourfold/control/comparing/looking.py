"""Has the files that an instance can reach looked through: by way of its root here, from its disks, or in its guest."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fourfold.control.comparing import look
from fourfold.control.comparing.look import MOST_WRITTEN, Asked, Found
from fourfold.control.registry import key_of
from fourfold.errors import FourfoldError
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact
from fourfold.store.model import InstanceRow

if TYPE_CHECKING:
    from fourfold.control.parts import Parts

_PATIENCE = 30.0
"""Seconds beyond those that the program itself takes."""
_MOST_SAID = 4 * 1024 * 1024
"""Bytes that are read of what a guest says: it may say what it likes."""
_AS_THEY_ARE = ("--preserve-perms", "--no-preserve-owner")
"""A new owner would take the set-user-id bit away (chown(2))."""
_GIVEN = ("/etc/group", "/etc/hostname", "/etc/hosts", "/etc/passwd", "/etc/resolv.conf")
"""What the init of a guest writes."""
_BANNER = re.compile(rb"Linux version (\d[^ ]*) \(")
"""Of the kernel's first message (init/version-timestamp.c)."""


async def looked(asked: Asked) -> Found | None:
    """None: it could not be done."""
    return _found(await _output([sys.executable, "-I", "-m", look.__name__], json.dumps(asdict(asked)).encode()))


async def unpacked(disks: Iterable[Path], work: Path) -> Found | None:
    """Of disks that a virtual machine boots, one by one, in folders in `work`. None: it could not be done."""
    sums = Found()
    for disk in disks:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=work, prefix="look-"))
        try:
            tree = folder / "tree"
            if await _output(["fsck.erofs", f"--extract={tree}", *_AS_THEY_ARE, str(disk)]) is None:
                return None
            found = await looked(Asked(str(tree)))
        finally:
            await asyncio.to_thread(trees.remove, folder)
        if found is None:
            return None
        sums.setuid_files += found.setuid_files
        sums.packages += found.packages
        sums.whole = sums.whole and found.whole
    return sums


def kernel_of(parts: Parts, artifact: Artifact) -> str | None:
    """Version of the one that its machine boots, as that says when it does."""
    assert artifact.boot is not None
    with suppress(OSError):
        found = _BANNER.search(parts.disks.path(artifact.boot.kernel).read_bytes())
        return found[1].decode(errors="replace") if found else None
    return None


async def written_in_guest(parts: Parts, row: InstanceRow, runtime: str | None, asked: Asked) -> list[str] | None:
    """None: there is no program in it that could look."""
    asked = replace(asked, skipped=(*asked.skipped, *_GIVEN), only_mine=True)
    if (runtime or "").startswith("python"):
        program = ("python3", "-c", inspect.getsource(look))
        found = _found(await _inside(parts, row, lambda uid: program, json.dumps(asdict(asked)).encode()))
        return found.written if found is not None else None
    output = await _inside(parts, row, partial(_find, asked), b"")
    if output is None:
        return None
    return sorted(path for path in output.decode(errors="replace").split("\0") if path)[:MOST_WRITTEN]


def _find(asked: Asked, uid: int) -> tuple[str, ...]:
    """The same by find(1)."""
    left_out = [word for path in asked.skipped for word in ("-path", path, "-prune", "-o")]
    since = f"@{asked.since or 0.0:.3f}"
    newer = ("(", "-newermt", since, "-o", "-newerct", since, "-links", "1", ")")
    return ("find", "/", *left_out, "-type", "f", "-uid", str(uid), *newer, "-print0")


async def _inside(parts: Parts, row: InstanceRow, argv: Callable[[int], tuple[str, ...]], given: bytes) -> bytes | None:
    """What a program beside the service prints, run as its user; None: it could not be, or did not like something."""
    spec = parts.registry.spec(key_of(row), row.release)
    try:
        launch = parts.starter.launch(row, spec, ("true",))
        launch = replace(launch, argv=argv(launch.user.uid if launch.user is not None else 0))
        values = parts.store.secrets.resolve(row.app, {use.name for use in spec.secrets})
        attached = await parts.supervisor.enter(launch, values, tty=False)
    except FourfoldError:
        return None
    output = b""
    try:
        async with asyncio.timeout(_PATIENCE):
            await attached.write(given)
            await attached.close_input()
            while len(output) < _MOST_SAID and (piece := await attached.read()) is not None:
                output += piece[1] if piece[0] == 1 else b""
            if len(output) >= _MOST_SAID:
                return None
            return output if await attached.wait() == 0 else None
    except (TimeoutError, FourfoldError):
        return None
    finally:
        await attached.close()


async def _output(argv: Sequence[str], given: bytes = b"") -> bytes | None:
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(Asked("").seconds + _PATIENCE):
            output, _ = await process.communicate(given)
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output if process.returncode == 0 else None


def _found(output: bytes | None) -> Found | None:
    if output is None:
        return None
    try:
        return Found(**json.loads(output))
    except (ValueError, TypeError):
        return None
