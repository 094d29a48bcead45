"""Start the daemon when none runs, and wait until it answers or has ended; never a blind pause."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from fourfold.cli.link.endpoint import connects
from fourfold.cli.options import Options
from fourfold.cli.printing import output
from fourfold.errors import UserError, WorldError
from fourfold.paths import Paths

PATIENCE = 60.0
"""Seconds; a daemon on a busy machine takes a few."""
LOOK_EVERY = 5
"""Milliseconds between two looks at the socket, unless the process ends first."""
LAST_LINES = 15


class Starting:
    """A daemon that comes up, if none did already: begun at once, awaited when it is needed."""

    def __init__(self, paths: Paths, options: Options) -> None:
        self._paths = paths
        self._begin = _size(paths.daemon_log)
        self._process: subprocess.Popen[bytes] | None = None
        if not connects(paths.socket):
            output.say("starting the daemon", options)
            self._process = _spawn(paths)

    def wait(self) -> None:
        """Raises WorldError with the last lines of the daemon's log when it does not come up."""
        process, self._process = self._process, None
        if process is None:
            return
        descriptor = os.pidfd_open(process.pid)
        try:
            _await(process, descriptor, self._paths, self._begin)
        finally:
            os.close(descriptor)


def await_other(paths: Paths) -> None:
    """One that somebody else starts. Raises WorldError when it does not come."""
    deadline = time.monotonic() + PATIENCE
    while not connects(paths.socket):
        if time.monotonic() > deadline:
            raise WorldError(
                f"cannot see the daemon come again: it does not answer after {PATIENCE:.0f} s",
                "see: systemctl status fourfold, journalctl -u fourfold",
            )
        time.sleep(LOOK_EVERY / 1000)


def _spawn(paths: Paths) -> subprocess.Popen[bytes]:
    try:
        paths.daemon_log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = os.open(paths.daemon_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(
            f"cannot start the daemon: {error.filename}: {error.strerror}",
            "set FOURFOLD_HOME to a folder that you can write to",
        ) from error
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "fourfold.daemon"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=os.environ | ({"FOURFOLD_HOME": str(paths.home)} if paths.home else {}),  # it may be relative to here
            start_new_session=True,
        )
    finally:
        os.close(log)


def _await(process: subprocess.Popen[bytes], descriptor: int, paths: Paths, begin: int) -> None:
    ended = select.poll()
    ended.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + PATIENCE
    while not connects(paths.socket):
        if ended.poll(LOOK_EVERY):
            code = process.wait()
            if connects(paths.socket):
                return
            if _has_holder(paths):  # another command has started one at the same time: wait for that one
                ended.unregister(descriptor)
                continue
            kind = UserError if code == UserError.exit_code else WorldError
            raise kind(
                f"cannot start the daemon: it ended with exit code {code}\n{_last_lines(paths.daemon_log, begin)}",
                "`fourfold doctor --offline` looks for the cause",
            )
        if time.monotonic() > deadline:
            raise WorldError(
                f"cannot start the daemon: it does not answer after {PATIENCE:.0f} s\n"
                f"{_last_lines(paths.daemon_log, begin)}",
                f"its log is {paths.daemon_log}",
            )


def _has_holder(paths: Paths) -> bool:
    """Whether the daemon named in the lock file lives, and is to answer at our socket.

    Not by trying the lock: that could keep it from taking it.
    """
    from fourfold.store import layout

    try:
        pid, socket = layout.holder(paths)
        return socket == str(paths.socket) and Path(f"/proc/{int(pid)}").exists()
    except (OSError, ValueError):
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _last_lines(path: Path, begin: int) -> str:
    """What this start wrote, the end of it."""
    try:
        with path.open("rb") as file:
            file.seek(begin)
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        return f"  (its log cannot be read: {error})"
    return "\n".join(f"  {line}" for line in lines[-LAST_LINES:]) or "  (it wrote nothing to its log)"
