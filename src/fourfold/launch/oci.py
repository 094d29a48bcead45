"""config.json of an OCI bundle, and how a runtime is called (runtime-spec v1.0: config.md, config-linux.md).

Masked and read-only paths are those of `runc spec`. There are no rlimits: the container has the daemon's, and raising
them takes a capability that the daemon may lack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fourfold.launch.accounts import Account
from fourfold.launch.model import Mount

INIT = "/.fourfold/init"
"""Where the container has its first process: it passes signals on, and waits for orphans."""
INIT_ON_HOST = "/usr/bin/tini-static"
SECRETS = "/run/secrets"
PROCESS = "process.json"

ROOT_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
)
"""For images that run as root: Docker's set without NET_RAW, MKNOD, AUDIT_WRITE and SYS_CHROOT."""

_NAMESPACES = ("pid", "mount", "ipc", "uts", "cgroup")
"""No network: the container stays in the one that it is started in."""
_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_PLAIN = ("nosuid", "nodev")
_DATALESS = ("nosuid", "noexec", "nodev")
_RUN_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Container:
    """What its config.json is made of, beside what all of ours have."""

    account: Account
    cwd: str
    hostname: str
    read_only: bool
    tmp_bytes: int
    seccomp: Mapping[str, Any]
    mounts: tuple[Mount, ...]
    """Relative sources are those of the bundle."""
    secrets: bool
    """Whether the bundle has a folder of that name, with files for it."""
    own_run: bool = True
    """Whether /run is its own, in memory and empty; else the image's: some programs only start with what lies there."""

    @property
    def capabilities(self) -> tuple[str, ...]:
        return capabilities(self.account)


def capabilities(account: Account) -> tuple[str, ...]:
    return ROOT_CAPABILITIES if account.user.uid == 0 else ()


def config(container: Container) -> dict[str, Any]:
    """All but `process.args`, `process.env` and the control group: see `completed`."""
    return {
        "ociVersion": "1.0.2",
        "process": _process(container),
        "root": {"path": "rootfs", "readonly": container.read_only},
        "hostname": container.hostname,
        "mounts": [*_system_mounts(container), *map(_bind, container.mounts), *_secrets(container)],
        "linux": {
            "namespaces": [{"type": kind} for kind in _NAMESPACES],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
            "seccomp": dict(container.seccomp),
        },
    }


def completed(
    config: Mapping[str, Any], argv: Sequence[str], env: Mapping[str, str], tty: bool, group: str
) -> dict[str, Any]:
    """config.json. `group`: path of its control group, the same in all hierarchies."""
    process = entered(config, (INIT, "--", *argv), env, tty)
    return {**config, "process": process, "linux": {**config["linux"], "cgroupsPath": group}}


def entered(config: Mapping[str, Any], argv: Sequence[str], env: Mapping[str, str], tty: bool) -> dict[str, Any]:
    """PROCESS of another program in that container."""
    pairs = [f"{name}={value}" for name, value in env.items()]
    return {**config["process"], "args": list(argv), "env": pairs, "terminal": tty}


def run_command(runtime: str, name: str, folder: str, bundle: str, pid_file: str | None) -> tuple[str, ...]:
    """Start the container `name`, whose state and errors go to `folder`. Without `pid_file` it stays with it."""
    leave = ("--detach", "--pid-file", pid_file) if pid_file else ()
    return (*_command(runtime, folder), "run", *leave, "--bundle", bundle, name)


def exec_command(runtime: str, name: str, folder: str, bundle: str) -> tuple[str, ...]:
    """Run what PROCESS in `bundle` says in the container `name`, and stay with it. What it logs goes with `bundle`."""
    return (*_command(runtime, folder, bundle), "exec", "--process", f"{bundle}/{PROCESS}", name)


def _command(runtime: str, folder: str, log: str = "") -> tuple[str, ...]:
    # Debian's gVisor takes one of KVM, which is seldom there, or ptrace; of networks the one that it is started in.
    own = ("--platform=ptrace", "--network=host", "--ignore-cgroups") if runtime == "runsc" else ()
    return (runtime, "--root", f"{folder}/state", "--log", f"{log or folder}/report", "--log-format", "json", *own)


def _process(container: Container) -> dict[str, Any]:
    account, capabilities = container.account, list(container.capabilities)
    sets = ("bounding", "effective", "permitted")
    return {
        "user": {
            "uid": account.user.uid,
            "gid": account.user.gid,
            **({"additionalGids": list(account.groups)} if account.groups else {}),
        },
        "cwd": container.cwd,
        "capabilities": dict.fromkeys(sets, capabilities),
        "noNewPrivileges": True,
    }


def _system_mounts(container: Container) -> list[dict[str, Any]]:
    user = container.account.user
    owner = (f"uid={user.uid}", f"gid={user.gid}")
    run = _mount("/run", "tmpfs", *_PLAIN, "mode=0755", f"size={_RUN_BYTES}", *owner)
    return [
        _mount("/proc", "proc", *_DATALESS),
        _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        _mount("/dev/shm", "tmpfs", *_DATALESS, "mode=1777", "size=65536k"),
        _mount("/dev/mqueue", "mqueue", *_DATALESS),
        _mount("/sys", "sysfs", *_DATALESS, "ro"),
        _mount("/sys/fs/cgroup", "cgroup", *_DATALESS, "relatime", "ro"),
        _mount("/tmp", "tmpfs", *_PLAIN, "mode=1777", f"size={container.tmp_bytes}"),
        *([run] if container.own_run else []),
    ]


def _mount(target: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


def _bind(mount: Mount) -> dict[str, Any]:
    options = ["rbind", *_PLAIN, "ro" if mount.read_only else "rw"]
    return {"destination": mount.target, "type": "bind", "source": mount.source, "options": options}


def _secrets(container: Container) -> list[dict[str, Any]]:
    options = ["bind", *_DATALESS, "ro"]
    secrets = {"destination": SECRETS, "type": "bind", "source": "secrets", "options": options}
    return [secrets] if container.secrets else []
