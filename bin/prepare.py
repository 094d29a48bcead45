#!/usr/bin/python3
"""Make a bare machine ready: install what is missing with apt, and keep `.venv` up to date. Standard library only.

Used by `bin/demo`, `bin/test` and the benches; by hand: `bin/prepare.py [demo|test|bench]`. Safe to run twice and side
by side. Nothing is installed that is there already, whoever installed it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "fourfold-stamp.json"
EMULATOR = VENV / "share" / "aws-lambda-rie"
PYTHON = "/usr/bin/python3"  # services must be able to execute it: not one below somebody's home
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE = 1800  # seconds for one command of apt or pip
APT = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300")


class CannotPrepareError(Exception):
    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


@dataclass(frozen=True)
class Part:
    """Something a machine must have: how to see that it is there, and the Debian package that brings it."""

    there: Callable[[], bool]
    package: str


def command(name: str) -> Callable[[], bool]:
    """Root's own folders do not count for root: services run as other users and could not execute what is there."""
    path = SYSTEM_PATH if os.geteuid() == 0 else f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    return lambda: shutil.which(name, path=path) is not None


def _can_make_venv() -> bool:
    return subprocess.run([PYTHON, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0


def _has_virtiofsd() -> bool:
    """Debian 12 has it in what qemu-system-x86 depends on, later releases in a package of its own."""
    return _is_bookworm() or Path("/usr/libexec/virtiofsd").exists()


def _is_bookworm() -> bool:
    release = Path("/etc/os-release")
    return release.exists() and "VERSION_CODENAME=bookworm" in release.read_text()


def _is_ubuntu() -> bool:
    release = Path("/etc/os-release")
    return release.exists() and "ID=ubuntu" in release.read_text().splitlines()


def _has_docker() -> bool:
    """Debian 12 and Ubuntu have the command in docker.io, later releases of Debian in a package of its own."""
    return _is_bookworm() or _is_ubuntu() or command("docker")()


def _has_container_network() -> bool:
    """What buildah 1.39 and newer makes networks with."""
    return _is_bookworm() or _is_ubuntu() or Path("/usr/lib/podman/netavark").exists()


def _has_browser() -> bool:
    """Ubuntu has one as a snap only, which does not start in a container: tests of pages are left out there."""
    return _is_ubuntu() or any(command(name)() for name in ("chromium-headless-shell", "chromium", "google-chrome"))


MACHINES = (
    Part(command("mkfs.erofs"), "erofs-utils"),
    Part(command("qemu-system-x86_64"), "qemu-system-x86"),
    Part(_has_virtiofsd, "virtiofsd"),
    Part(command("lz4"), "lz4"),  # Debian 12's kernel is compressed by it
    Part(command("zstd"), "zstd"),  # Debian 13's and Ubuntu's
    Part(command("gcc"), "gcc"),
    Part(lambda: any(Path("/usr/lib").glob("*-linux-gnu/libc.a")), "libc6-dev"),
)
"""For pattern vm."""
DISKS = (
    Part(command("qemu-img"), "qemu-utils"),
    Part(command("mcopy"), "mtools"),
    Part(command("syslinux"), "syslinux"),
    Part(Path("/usr/lib/syslinux/mbr/gptmbr.bin").exists, "syslinux-common"),
    Part(Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi").exists, "systemd-boot-efi"),
    Part(Path("/usr/share/OVMF/OVMF_CODE_4M.fd").exists, "ovmf"),
)
"""For disks that boot elsewhere, and trying them."""
DEMO = (
    Part(_can_make_venv, "python3-venv"),
    Part(Path("/etc/ssl/certs/ca-certificates.crt").exists, "ca-certificates"),
    Part(command("haproxy"), "haproxy"),
    Part(command("bwrap"), "bubblewrap"),
    Part(command("ip"), "iproute2"),
    Part(command("nft"), "nftables"),
    Part(command("runc"), "runc"),
    Part(command("tini-static"), "tini"),
    Part(Path("/usr/share/containers/seccomp.json").exists, "golang-github-containers-common"),
    Part(command("node"), "nodejs"),
    Part(command("npm"), "npm"),
    Part(command("javac"), "default-jdk-headless"),
    Part(Path("/usr/share/java/tomcat10-catalina.jar").exists, "tomcat10-common"),
    Part(Path("/usr/share/tomcat-jakartaee-migration/lib").exists, "tomcat-jakartaee-migration"),
    Part(command("ruby"), "ruby"),
    Part(command("mmdebstrap"), "mmdebstrap"),
    *MACHINES,
)
TEST = (
    *DEMO,
    *DISKS,
    Part(command("bundle"), "ruby-bundler"),
    Part(Path("/usr/share/tomcat10-examples/examples").exists, "tomcat10-examples"),
    Part(command("openssl"), "openssl"),
    Part(command("ssh"), "openssh-client"),
    Part(command("sshd"), "openssh-server"),
    Part(command("mount"), "mount"),
    Part(command("crun"), "crun"),
    Part(command("runsc"), "runsc"),
    Part(command("slirp4netns"), "slirp4netns"),
    Part(command("iptables"), "iptables"),
    Part(command("skopeo"), "skopeo"),
    Part(command("buildah"), "buildah"),
    Part(command("docker-registry"), "docker-registry"),
    Part(command("dockerd"), "docker.io"),
    Part(_has_docker, "docker-cli"),
    Part(_has_container_network, "netavark"),
    Part(command("curl"), "curl"),
    Part(_has_browser, "chromium-headless-shell"),
    Part(command("make"), "make"),
    Part(command("g++"), "g++"),
    Part(command("cmake"), "cmake"),
    Part(command("autoconf"), "autoconf"),
    Part(command("automake"), "automake"),
    Part(command("libtoolize"), "libtool"),
    Part(Path("/usr/share/java/eclipse-osgi.jar").exists, "libeclipse-osgi-java"),
    Part(Path("/usr/share/java/org.apache.felix.framework.jar").exists, "libfelix-framework-java"),
)
BENCH = (
    *DEMO,
    *DISKS,
    Part(command("wrk"), "wrk"),
    Part(command("slirp4netns"), "slirp4netns"),
    Part(command("iptables"), "iptables"),
    Part(command("dockerd"), "docker.io"),
    Part(_has_docker, "docker-cli"),
    Part(command("docker-compose"), "docker-compose"),
    Part(Path("/usr/share/java/tomcat10-embed-core.jar").exists, "libtomcat10-embed-java"),
    Part(Path("/usr/share/java/tomcat10-annotations-api.jar").exists, "libtomcat10-java"),
)
WANTED = {"demo": (DEMO, None), "test": (TEST, "dev"), "bench": (BENCH, None)}


def prepare(what: str) -> None:
    """Raises CannotPrepareError. Says nothing when there is nothing to do."""
    if sys.platform != "linux":
        raise CannotPrepareError("cannot run here: Fourfold needs Linux", "use a Linux machine, VM or container")
    parts, group = WANTED[what]
    with _locked(ROOT):
        install(parts)
        make_venv(group)
        compile_sources()
        if what != "demo":
            fetch_emulator()


def install(parts: Sequence[Part]) -> None:
    missing = [part.package for part in parts if not part.there()]
    if not missing:
        return
    packages = " ".join(missing)
    by_hand = f"apt-get install --no-install-recommends {packages}"
    if shutil.which("apt-get") is None:
        raise CannotPrepareError(
            f"cannot install {packages}: this machine has no apt-get",
            "install what has these names here, then try again",
        )
    if os.geteuid() != 0:
        raise CannotPrepareError(f"cannot install {packages}: not root", f"as root: {by_hand}")
    began = _say(f"Installing {packages}")
    _update_lists()
    with _no_service_is_started():
        _run([*APT, "install", "-y", "--no-install-recommends", *missing], f"apt-get -y install {packages}", by_hand)
    _done(began)
    still = [part.package for part in parts if not part.there()]
    if still:
        raise CannotPrepareError(f"{' '.join(still)}: installed, and still not found", f"look at PATH; try: {by_hand}")


@contextlib.contextmanager
def _no_service_is_started() -> Iterator[None]:
    """Nobody who runs tests has asked for a Docker daemon or a registry; tests start their own. invoke-rc.d(8)."""
    policy = Path("/usr/sbin/policy-rc.d")
    try:
        with policy.open("x") as file:
            file.write("#!/bin/sh\nexit 101\n")
    except FileExistsError:
        yield
        return
    try:
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink()


def _update_lists() -> None:
    """`apt-get update` does not wait for another one to end, as `install` does."""
    deadline = time.monotonic() + 300
    while True:
        try:
            return _run([*APT, "update"], "apt-get update", "look at the network and /etc/apt/sources.list.d")
        except CannotPrepareError as error:
            if "Could not get lock" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(2)


def make_venv(group: str | None) -> None:
    """`.venv` with this project and one of its dependency groups; skipped when it was made from this pyproject.toml."""
    version = _system_python()
    made_from = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + f"{version} {ROOT}".encode()).hexdigest()
    was_made_from, groups = _read_stamp()
    if was_made_from == made_from and (group is None or group in groups):
        return
    groups = sorted({*groups, *([group] if group else [])})
    began = _say("Preparing .venv")
    STAMP.unlink(missing_ok=True)
    if not _healthy(version):
        _run([PYTHON, "-m", "venv", "--clear", str(VENV)], "python3 -m venv .venv", "remove .venv and try again")
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    hint = "look at the network, and at the settings that `.venv/bin/pip config list` shows"
    if groups:
        _run([*pip, "pip>=25.1"], "pip install pip", hint)  # the first that knows dependency groups
    _run([*pip, "-e", ".", *(f"--group={name}" for name in groups)], "pip install fourfold", hint)
    STAMP.write_text(json.dumps({"made_from": made_from, "groups": groups}))
    _done(began)


def compile_sources() -> None:
    """pip compiles what it copies, and it copies nothing here.

    Python keeps what it compiles by itself only where it may write and PYTHONDONTWRITEBYTECODE is not set; otherwise a
    third of what importing the daemon takes is compiling.
    """
    subprocess.run([VENV / "bin" / "python", "-m", "compileall", "-qq", ROOT / "src"], check=False)


def fetch_emulator() -> None:
    """AWS's own runtime interface emulator, which answers are compared with: one file of a wheel of 10 MB."""
    if EMULATOR.exists():
        return
    began = _say("Fetching aws-lambda-rie")
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    EMULATOR.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=EMULATOR.parent) as folder:
        _run([*pip, "-d", folder, "aws-sam-cli>=1.140"], "pip download aws-sam-cli", "look at the network")
        wheel = next(Path(folder).glob("*.whl"))
        kind = "arm64" if platform.machine() == "aarch64" else "x86_64"
        unfinished = Path(folder) / "unfinished"
        with zipfile.ZipFile(wheel) as archive:
            unfinished.write_bytes(archive.read(f"samcli/local/rapid/aws-lambda-rie-{kind}"))
        unfinished.chmod(0o755)
        unfinished.rename(EMULATOR)
    _done(began)


def _system_python() -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))"
    try:
        answer = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    except OSError as error:
        raise CannotPrepareError(f"cannot run {PYTHON}: {error.strerror}", "as root: apt-get install python3") from None
    if answer.returncode != 0:
        raise CannotPrepareError(
            f"cannot use {PYTHON}: it is Python {answer.stdout.strip()}, and 3.11 or newer is needed",
            "use Debian 12, Ubuntu 24.04 or newer",
        )
    return answer.stdout.strip()


def _healthy(version: str) -> bool:
    """The environment that is there works, belongs to this folder, and is made with the system's own Python."""
    code = "import sys, pip; print(sys.prefix, sys._base_executable, '%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([VENV / "bin" / "python", "-c", code], capture_output=True, text=True)
    except OSError:
        return False
    prefix, base, found = [*answer.stdout.split(), "", "", ""][:3]
    return prefix == str(VENV) and found == version and os.path.realpath(base) == os.path.realpath(PYTHON)


def _read_stamp() -> tuple[str, list[str]]:
    """What `.venv` was made from, and with which groups."""
    try:
        stamp = json.loads(STAMP.read_text())
        return str(stamp["made_from"]), [str(name) for name in stamp["groups"]]
    except (OSError, ValueError, KeyError, TypeError):
        return "", []


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One at a time in this checkout; the folder itself is the lock, so that no file is left behind."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another bin/demo or bin/test to prepare this checkout", flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _run(argv: Sequence[str], name: str, hint: str) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            argv,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotPrepareError(f"{name} failed: {error}", hint) from None
    if done.returncode != 0:
        tail = "\n".join(f"  {line}" for line in done.stdout.splitlines()[-15:])
        raise CannotPrepareError(f"{name} failed (exit code {done.returncode}):\n{tail}", hint)


def _say(text: str) -> float:
    print(f"{text} …", end="", flush=True)
    return time.monotonic()


def _done(began: float) -> None:
    print(f" {time.monotonic() - began:.0f} s", flush=True)


def main(argv: Sequence[str]) -> int:
    what = argv[0] if argv else "demo"
    if what not in WANTED or len(argv) > 1:
        print(f"usage: bin/prepare.py [{'|'.join(WANTED)}]", file=sys.stderr)
        return 2
    return or_explain(lambda: prepare(what))


def or_explain(job: Callable[[], None]) -> int:
    """Run `job`; say what is wrong and what to do as `fourfold` itself does."""
    try:
        job()
    except CannotPrepareError as error:
        print(f"\nerror: {error}\nhint: {error.hint}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
