"""What tests of building do with a source, and with what it gave."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fourfold.errors import WorldError
from fourfold.store.files.artifacts import Artifact
from tests.support.wait import until

from .helpers import Home, environment


def run(artifact: Artifact, *argv: str) -> str:
    """What the artifact prints, run as an instance sees it: the tree at /app, read-only, as another user."""
    command = ["bwrap", "--unshare-pid", "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"]
    command += [word for name in ("bin", "lib", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}")]
    command += ["--ro-bind", str(artifact.tree), "/app", "--perms", "1777", "--tmpfs", "/tmp", "--chdir", "/app"]
    command += ["--ro-bind", "/etc", "/etc"]
    other = ["/usr/bin/setpriv", "--reuid=790123", "--regid=790123", "--clear-groups"] if os.geteuid() == 0 else []
    argv = argv or artifact.argv
    done = subprocess.run(
        [*command, *other, *argv], env=environment(artifact, HOME="/tmp"), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def build(home: Home, source: Path, service: str = "web", **spec: Any) -> Artifact:
    return asyncio.run(home.build(source, service, **spec))


def failure(home: Home, source: Path, **spec: Any) -> WorldError:
    with pytest.raises(WorldError) as caught:
        build(home, source, **spec)
    assert home.left_over == []
    assert list(home.builder._artifacts.list()) == []
    return caught.value


def seconds(number: int) -> str:
    """For a `sleep` to last: by them it is known among all processes of this machine, other tests' too."""
    return f"4321{number}{os.getpid()}"


def processes_with(mark: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def gone(mark: str) -> bool:
    return until(lambda: not processes_with(mark), what=f"the end of all with {mark}")
