"""Who deploys and from which commit, found out by itself."""

from __future__ import annotations

import pwd
import subprocess
from collections.abc import Mapping
from os import getuid
from pathlib import Path

MOST = 200
"""Letters of who it is that the daemon takes."""


def actor(environ: Mapping[str, str]) -> str:
    """The person: behind sudo the one who called it, else the user, else git's, else the uid's."""
    for name in ("SUDO_USER", "USER", "LOGNAME"):
        if environ.get(name):
            return environ[name][:MOST]
    if name := _git(Path.cwd(), "config", "user.name"):
        return name[:MOST]
    try:
        return pwd.getpwuid(getuid()).pw_name
    except KeyError:
        return f"uid {getuid()}"


def commit(folder: Path) -> str | None:
    """The commit that `folder` is at, with `-dirty` when files in it differ from it. None outside of git."""
    head = _git(folder, "rev-parse", "--short=12", "HEAD")
    if not head:
        return None
    return f"{head}-dirty" if _git(folder, "status", "--porcelain", "--", ".") else head


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
