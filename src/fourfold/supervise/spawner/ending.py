"""Ends the spawner of a home with everything that it started, without a daemon. Blocking."""

from __future__ import annotations

import json
import os
import select
import socket
from io import BufferedRWPair
from typing import Any

from fourfold.errors import WorldError
from fourfold.paths import Paths

PATIENCE = 30.0
"""Seconds."""


def end_everything(paths: Paths) -> None:
    """At once, by SIGKILL; returns when nothing of it runs any more. Raises WorldError when that does not come."""
    folder = paths.spawner_socket.parent
    try:
        handle = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # there is not even the folder
    try:
        with socket.socket(socket.AF_UNIX) as spawner:
            spawner.settimeout(PATIENCE)
            try:
                spawner.connect(f"/proc/self/fd/{handle}/{paths.spawner_socket.name}")
            except OSError:
                return  # none runs
            _end(spawner)
    except (OSError, ValueError, KeyError) as error:
        raise WorldError(
            f"cannot end what runs here: {error}", "see spawner.log; a restart of the machine ends all of it"
        ) from error
    finally:
        os.close(handle)


def _asked(lines: BufferedRWPair, op: str, **arguments: Any) -> Any:
    """The protocol is in `spawner.server`."""
    lines.write(json.dumps({"id": 1, "op": op, **arguments}).encode() + b"\n")
    lines.flush()
    return json.loads(lines.readline())["ok"]


def _end(spawner: socket.socket) -> None:
    with spawner.makefile("rwb") as lines:
        pid = int(_asked(lines, "hello")["pid"])
        descriptor = os.pidfd_open(pid)
        try:
            _asked(lines, "shutdown", force=True)
            ended = select.poll()
            ended.register(descriptor, select.POLLIN)
            if not ended.poll(PATIENCE * 1000):
                raise TimeoutError(f"the spawner (pid {pid}) has not ended within {PATIENCE:.0f} s")
        finally:
            os.close(descriptor)
