"""Run Python in a mount namespace of its own: mounts made there are seen by nobody else and vanish with it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]


def run_with_mounts(script: str, *arguments: str) -> str:
    """What the script prints; the test is skipped where this host lets nobody mount, and fails when the script does."""
    try:
        possible = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare(1)")
    if possible.returncode:
        pytest.skip(f"no mounts here: {possible.stderr.decode().strip()}")
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
