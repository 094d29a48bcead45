"""A registry of its own: Debian's docker-registry on loopback of a network namespace, which `skopeo` enters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.wait import until

HOST = "127.0.0.1:5000"
PASSWORD = ("ann", "secret")
_HTPASSWD = "ann:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"
_CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "127.0.0.1:5000"}}
"""
_AUTH = "auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"
_CONNECTS = "import socket; socket.create_connection(('127.0.0.1', 5000), 1)"


@contextmanager
def registry(folder: Path, login: bool = False) -> Iterator[Path]:
    """Gives a folder for the front of PATH: `skopeo` in it sees the registry, and nothing else of any network."""
    folder.mkdir()
    (folder / "config.yml").write_text((_CONFIG + (_AUTH if login else "")).format(folder=folder))
    (folder / "htpasswd").write_text(_HTPASSWD)
    serve = 'ip link set lo up && exec docker-registry serve "$1"'
    argv = ["unshare", "--net", "sh", "-c", serve, "sh", str(folder / "config.yml")]
    env = {"PATH": os.environ["PATH"]}  # it takes REGISTRY_AUTH_FILE for a setting of its own
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=env)
    enter = ["nsenter", f"--net=/proc/{process.pid}/ns/net"]
    try:
        until(lambda: _connects(enter), what="the registry to listen", every=0.1)
        programs = folder / "bin"
        programs.mkdir()
        (programs / "skopeo").write_text(f'#!/bin/sh\nexec {" ".join(enter)} /usr/bin/skopeo "$@"\n')
        (programs / "skopeo").chmod(0o755)
        yield programs
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait()


def _connects(enter: list[str]) -> bool:
    return subprocess.run([*enter, sys.executable, "-c", _CONNECTS], capture_output=True).returncode == 0
