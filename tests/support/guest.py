"""A virtual machine of ours with this very checkout in it: systemd, pure cgroup v2, and nobody else's groups."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/app/.venv/bin/python"
BROUGHT = ("haproxy", "bwrap")
"""Programs that Fourfold needs and a whole system's base does not have."""
TOOLS = ("pytest", "pytest-timeout", "hypothesis")
"""Of pyproject.toml's group `dev`: what running tests takes."""
FILE = """\
app: app
services:
  guest:
    source: ./checkout
    run: exec sleep infinity
    port: 22
    pattern: vm
    vm: {base: debian}
    resources: {cpu: 2, memory: 1Gi}
    health: {tcp: true, interval: 1h, grace: 10m}
    volumes: [{name: kept, path: /kept}]
    secrets: [{SSH_KEYS: {name: ssh-keys, file: /run/secrets/authorized_keys}}]
"""
"""It is ready once its sshd listens; to be asked more often would have it greet strangers all day."""


def checkout(folder: Path) -> None:
    """What git tracks or is about to, as it is now, with what it takes to test it in there: packages and programs."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, place, follow_symlinks=False)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tools = [each for each in project["dependency-groups"]["dev"] if re.split(r"[>=~]", each)[0] in TOOLS]
    (folder / "requirements.txt").write_text("\n".join([*project["project"]["dependencies"], *tools]) + "\n")
    for program in BROUGHT:
        _bring(program, folder / "brought")


def _bring(program: str, into: Path) -> None:
    """With its libraries, to the same places: the guest's base is of this host's own release."""
    found = shutil.which(program, path="/usr/sbin:/usr/bin")
    assert found, f"{program} is not installed: bin/prepare.py test"
    needed = subprocess.run(["ldd", found], capture_output=True, check=True, text=True).stdout
    for path in (found, *re.findall(r"=> (/\S+)", needed)):
        merged = Path(path) if path.startswith("/usr/") else Path("/usr", path.lstrip("/"))
        place = into / merged.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)


class Guest:
    """Root in there, by ssh."""

    def __init__(self, address: str, key: Path) -> None:
        self.key = key
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"]
        # One connection for all commands: to agree upon keys takes a guest without KVM a second.
        options += ["ControlMaster=auto", "ControlPersist=600", f"ControlPath={key}.control"]
        self._ssh = ["ssh", "-i", str(key), *(word for option in options for word in ("-o", option)), f"root@{address}"]

    def try_run(self, command: str, patience: float = 120) -> subprocess.CompletedProcess[str]:
        """For the guest's shell."""
        return subprocess.run(
            [*self._ssh, command], capture_output=True, text=True, timeout=patience, stdin=subprocess.DEVNULL
        )

    def run(self, command: str, patience: float = 120) -> str:
        """Its output; AssertionError with what it said when it failed."""
        done = self.try_run(command, patience)
        assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        folder = path.rpartition("/")[0]
        subprocess.run(
            [*self._ssh, f"mkdir -p {folder} && cat >{path}"], input=text, text=True, check=True, timeout=120
        )

    def pytest(self, *arguments: str, env: str = "", patience: float = 1200) -> str:
        """Tests of this checkout, run there. -> what pytest said."""
        options = ["-p", "no:cacheprovider", "-rs", "--tb=short", "--durations=10"]
        words = " ".join(f"'{word}'" for word in (*options, *arguments))
        return self.run(f"cd /app && {env} {PYTHON} -m pytest {words}", patience)

    def close(self) -> None:
        subprocess.run([*self._ssh[:-1], "-O", "exit", self._ssh[-1]], capture_output=True)


def key_pair(folder: Path) -> tuple[Path, str]:
    """-> the private key's file, and the public key's line."""
    key = folder / "key"
    argv: Sequence[str] = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(argv, check=True)
    return key, Path(f"{key}.pub").read_text()
