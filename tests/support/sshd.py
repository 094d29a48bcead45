"""An OpenSSH server of a test's own, on loopback, for the user who runs the tests."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.ports import free_port
from tests.support.wait import until

SERVER = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin") or "/usr/sbin/sshd"
ALIAS = "box"
"""As which `ssh` with the folder of `sshd` in its PATH knows it."""


@contextlib.contextmanager
def sshd(folder: Path, environ: dict[str, str]) -> Iterator[Path]:
    """Those who log in get `environ`. -> a folder for PATH, with an ssh that knows the server and has a key for it."""
    port = free_port()
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    settings = " ".join(f'"{name}={value}"' for name, value in environ.items())
    (folder / "sshd.conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        f"StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nSetEnv {settings}\n"
    )
    (folder / "ssh.conf").write_text(
        f"Host {ALIAS}\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n IdentityFile {folder}/user\n"
        f" UserKnownHostsFile {folder}/known\n StrictHostKeyChecking accept-new\n BatchMode yes\n"
    )
    bin = folder / "bin"
    bin.mkdir()
    (bin / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh.conf "$@"\n')
    (bin / "ssh").chmod(0o755)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it gives up its rights, sshd(8)
    log = folder / "log"
    with log.open("wb") as out:
        server = subprocess.Popen([SERVER, "-D", "-e", "-f", folder / "sshd.conf"], stderr=out)
    try:
        until(lambda: "listening" in log.read_text() or server.poll() is not None, 20)
        assert server.poll() is None, log.read_text()
        yield bin
    finally:
        server.terminate()
        server.wait()
