"""Which OCI runtimes work here, found out by having each start a container that holds nothing but its init."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from fourfold.errors import FourfoldError, UserError
from fourfold.launch import oci, seccomp
from fourfold.launch.accounts import Account
from fourfold.launch.common import SYSTEM_PATH
from fourfold.launch.model import Bundle, Launch, Limits, Mount, Powers, User
from fourfold.supervise.cgroups.cgroups import Groups
from fourfold.supervise.spawner.bundles import Bundles, runtime_group
from fourfold.supervise.spawner.program import SPAWNER_ARGV
from fourfold.supervise.spawner.request import spawn_request, words_of_runtime

RUNTIMES = ("runc", "crun", "runsc")
_NOBODY = Account(User(65533, 65533, "probe"))
_PATIENCE = 30.0


def try_runtimes(groups: Groups) -> tuple[tuple[str, ...], dict[str, str]]:
    """-> those that work; why `containers` cannot be had, or one of the runtimes. Some 0.1 s."""
    why = "containers need root" if os.geteuid() != 0 else _lacking(groups)
    if why:
        return (), {"containers": why}
    installed = [name for name in RUNTIMES if shutil.which(name, path=SYSTEM_PATH)]
    reasons = {name: f"{name} is not installed: apt-get install {name}" for name in RUNTIMES if name not in installed}
    with ThreadPoolExecutor() as pool:
        tried = dict(zip(installed, pool.map(lambda name: _try(name, groups), installed), strict=True))
    reasons |= {name: reason for name, reason in tried.items() if reason is not None}
    working = tuple(name for name in installed if tried[name] is None)
    return working, reasons if working else {**reasons, "containers": reasons["runc"]}


def read_profile() -> Mapping[str, Any]:
    """`seccomp.PROFILE`. UserError when it is not there or not to be used."""
    path = Path(seccomp.PROFILE)
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"cannot use the seccomp profile {path}: {why}", _GET_PROFILE) from error


@cache
def _read(path: Path, changed: int) -> Mapping[str, Any]:
    profile: Mapping[str, Any] = json.loads(path.read_text())
    try:
        number = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name
    except OSError:  # runtimes that do not need it
        return profile
    return seccomp.ordered(profile, lambda name: int(number(name.encode())))


_GET_PROFILE = "apt-get install golang-github-containers-common"
_PARTS = {
    oci.INIT_ON_HOST: "apt-get install tini",
    seccomp.PROFILE: _GET_PROFILE,
}
"""What every runtime needs -> how to get it on Debian."""


def kernel() -> tuple[int, int]:
    """Its version."""
    major, minor = os.uname().release.split("-")[0].split(".")[:2]
    return int(major), int(minor)


def _lacking(groups: Groups) -> str | None:
    if not groups.hierarchies:
        return "no control groups can be made: " + next(iter(groups.missing.values()), "unknown")
    absent = [f"{path} is missing: {hint}" for path, hint in _PARTS.items() if not Path(path).exists()]
    return "; ".join(absent) or None


def _try(runtime: str, groups: Groups) -> str | None:
    """-> None when it has run a container, else why not."""
    name = f"probe-{runtime}-{os.getpid()}.0"
    with tempfile.TemporaryDirectory(prefix="fourfold-probe-") as folder:
        bundles = Bundles(Path(folder), groups)
        try:
            launch = _smallest(runtime)
            assert launch.bundle is not None
            bundles.make(name, launch.bundle)
            request = spawn_request(launch, {}, Powers(users=True), **_UNUSED)
            groups.create(name, Limits())
            request |= bundles.starting(launch, launch.bundle, {}, name, held=True, tty=False)
            done = subprocess.run(
                [*SPAWNER_ARGV, "--try"],
                input=json.dumps(request),
                capture_output=True,
                timeout=_PATIENCE,
                check=True,
                env={},
                text=True,
            )
            return _outcome(json.loads(done.stdout))
        except (OSError, subprocess.SubprocessError, ValueError, KeyError, FourfoldError) as error:
            return f"{runtime} could not be tried: {error if str(error) else repr(error)}"
        finally:
            bundles.remove(name)
            bundles.close()
            for each in (name, runtime_group(name)):
                groups.kill(each)
                groups.remove(each)


_UNUSED: dict[str, Any] = {"run": 0, "hidden": (), "cgroups": (), "log": None, "held": True, "tty": False}


def _smallest(runtime: str) -> Launch:
    profile = seccomp.translate(read_profile(), (), os.uname().machine, kernel())
    container = oci.Container(
        account=_NOBODY,
        cwd="/",
        hostname="probe",
        read_only=True,
        tmp_bytes=1 << 20,
        seccomp=profile,
        mounts=(Mount(oci.INIT_ON_HOST, oci.INIT, read_only=True),),
        secrets=False,
    )
    bundle = Bundle(runtime, oci.config(container), {"rootfs": ()})
    return Launch("probe", (oci.INIT, "--version"), user=_NOBODY.user, bundle=bundle)


def _outcome(answer: Mapping[str, Any]) -> str | None:
    if answer["error"]:
        stage, number, detail = (answer["error"][key] for key in ("stage", "errno", "detail"))
        return f"{stage} {detail}: {os.strerror(number)}" if number else f"{stage}: {words_of_runtime(detail)}"
    if answer["code"] == 0:
        return None
    return words_of_runtime(answer["said"]) or f"a container ended with {answer['code'] or answer['signal']}"
