"""The sandbox of a build step: a bubblewrap command line. Pure.

Inside: /usr and the needed parts of /etc read-only, the work tree at /app, the service's own cache at /cache, an empty
/tmp and home, own process, IPC and host name spaces, and the host's network only for steps that resolve and download.
Nothing of the host's /home, /root, /var or /run. As root, bubblewrap makes the mounts and setpriv then becomes the
build's user; without root, bubblewrap maps this user into a user namespace of its own. Options: bwrap(1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fourfold.build.model import APP, OWN, SYSTEM_PATH, Step

Mode = Literal["root", "user", "none"]
"""`none`: this host has no way to make namespaces; steps run as they are (under the build's user if we are root)."""
HOME = "/home/build"
TOOLS = "/tools"
BWRAP = "/usr/bin/bwrap"
HOST = "/host"
"""In another root: where the host's /usr is, for the few programs of ours that a step is started with."""
_SYSTEM = ("/usr/", "/etc/")

_ETC = (
    "alternatives", "ca-certificates", "ca-certificates.conf", "gemrc", "host.conf", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "localtime", "maven", "mime.types", "npmrc", "nsswitch.conf", "pki", "protocols", "services",
    "ssl/certs", "ssl/openssl.cnf", "timezone",
)  # fmt: skip
_ETC_NETWORK = ("hosts", "pip.conf", "resolv.conf", "uv")


PROCESSES = 1024
"""Of a build, where only its user's can be counted."""


@dataclass(frozen=True)
class Bounds:
    """Resource limits of every process of a step (setrlimit(2)); they can only be lowered. Sizes in bytes."""

    processes: int | None = PROCESSES
    """Of the build's user, counted by the kernel per user (and per user namespace): of all builds of this host, then.
    None: its control group bounds them."""
    data: int = 4 * 1024**3
    """Private writable memory of one process."""
    file: int = 2 * 1024**3
    scratch: int = 1024**3
    """Of /tmp and of the home of steps without network: both are memory."""
    shared: int = 64 * 1024**2
    """Of /dev/shm: what Docker gives."""


@dataclass(frozen=True)
class Registry:
    """How this host reaches package registries: see `registry.find_registry`."""

    env: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[str, ...] = ()
    """Files and folders of the host that it names: certificates, local package folders. See `_place`."""


@dataclass(frozen=True)
class Root:
    """Another system than the host's for the steps of a build: a base, or an image."""

    layers: tuple[str, ...]
    """Folders, lowest first."""
    mount: str
    """Where they are put together for the build; a single layer is its own."""
    entries: Mapping[str, str]
    """What is at its top and in its /etc, without the slash at the front -> where it leads, if it is a link."""
    loader: tuple[str, ...]
    """The command line, as seen inside, that starts a program of the host which lies below HOST."""
    links: str = ""
    """A folder with a link to each layer, by its number: mount(2) takes no more than a page of options."""


@dataclass(frozen=True)
class Box:
    """Where the steps of one build run."""

    mode: Mode
    tree: Path
    cache: Path
    files: Path
    """Made for this build: `passwd`, `group`, `hosts`, and `home` with configuration of package managers."""
    uid: int
    gid: int
    tools: Mapping[str, str] = field(default_factory=dict)
    """Programs outside /usr, by name, bound into the sandbox."""
    show: tuple[str, ...] = ()
    """Folders outside /usr that interpreters live in."""
    path: tuple[str, ...] = ()
    """Folders of the build's own runtime, for PATH."""
    registry: Registry = Registry()
    bounds: Bounds = Bounds()
    groups: tuple[str, ...] = ()
    """Folders of the control groups that bound a build as a whole; none where this host lets none be made."""
    root: Root | None = None
    """None: steps run in the host's own /usr."""


_JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 125; shift; done; shift; exec "$@"'
_AFTER_OTHERS = '{ echo 10 > /proc/self/autogroup; } 2>/dev/null; exec "$@"'
"""Builds yield the CPU to services. Where the kernel groups processes by session, niceness counts within a session,
and the session has a niceness of its own: sched(7), "The autogroup feature"."""
_OVERLAY = '(cd "$1" && LIBMOUNT_FORCE_MOUNT2=always mount -t overlay -o "ro,$2" overlay "$3") && shift 3 && exec "$@"'
"""By mount(2): fsconfig(2), which mount(8) prefers since 2.39, takes 255 bytes of options."""
_NOT_SHOWN = {
    "app", "cache", "dev", "etc", "home", "host", "proc", "root", "run", "sys", "tmp", "tools",
    "etc/group", "etc/hostname", "etc/hosts", "etc/mtab", "etc/passwd", "etc/pip.conf", "etc/resolv.conf",
}  # fmt: skip
"""Of another root: what a build has of its own, or none of."""

# Helper programs by full path: PATH starts with folders of the work tree, and setpriv is still started as root.


def step_argv(step: Step, box: Box) -> list[str]:
    """The whole command line that runs `step` in `box`; its environment is `step_env`."""
    join = ["/bin/sh", "-c", _JOIN, "sh", *box.groups, "--"] if box.groups else []
    if box.mode == "none":
        return [*join, *_as_user(box), *_bounded(step, box)]
    argv = [
        *join,
        *_mounted(box.root),
        BWRAP,
        "--die-with-parent",
        "--new-session",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
    ]
    argv += ["--unshare-user"] if box.mode == "user" else []
    argv += [] if step.network else ["--unshare-net"]
    argv += ["--hostname", "build", "--proc", "/proc", "--dev", "/dev", *_system(step, box)]
    argv += [*_memory("/tmp", box.bounds.scratch), *_memory("/dev/shm", box.bounds.shared)]
    argv += _folder(TOOLS) + [
        word for name, path in box.tools.items() for word in ("--ro-bind", path, f"{TOOLS}/{name}")
    ]
    argv += [word for path in box.show for word in _shown(path)]
    if step.network:
        argv += [word for path in box.registry.binds for word in _bound(path, _place(path))]
        argv += [*_folder("/home"), "--bind", str(box.files / "home"), HOME]
    else:
        argv += [*_folder("/home"), *_memory(HOME, box.bounds.scratch)]
    argv += ["--bind", str(box.tree), APP, "--bind", str(box.cache), "/cache", "--chdir", APP, "--"]
    return argv + (_as_user(box) if box.mode == "root" else []) + _bounded(step, box)


def step_env(step: Step, box: Box) -> dict[str, str]:
    """The whole environment of a step: nothing is inherited. Registry settings (passwords!) for network steps only."""
    plain = box.mode == "none"
    app, cache = (str(box.tree), str(box.cache)) if plain else (APP, "/cache")
    path = [
        f"{app}/.venv/bin",
        f"{app}/node_modules/.bin",
        f"{app}/{OWN}/bin",
        *box.path,
        *([] if plain else [TOOLS]),
        SYSTEM_PATH,
    ]
    folders = sorted({str(Path(tool).parent) for tool in box.tools.values()}) if plain else []
    first = [step.env["PATH"]] if "PATH" in step.env else []
    env = {
        "HOME": str(box.files / "home") if plain else HOME,
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",
        "CI": "true",
        "UV_CACHE_DIR": f"{cache}/uv",
        "npm_config_cache": f"{cache}/npm",
        "PIP_CACHE_DIR": f"{cache}/pip",
        "npm_config_offline": "false" if step.network else "true",
        **({} if not step.network else box.registry.env if plain else _placed_in(box.registry)),
        **step.env,
        "PATH": ":".join([*first, *path, *folders]),
    }
    return {name: _placed(value, box) for name, value in env.items()} if plain else env


def _placed(text: str, box: Box) -> str:
    """Without a sandbox there is no /app: its real place instead."""
    return ":".join(
        f"{real}{part[len(seen) :]}" if part == seen or part.startswith(f"{seen}/") else part
        for part in text.split(":")
        for seen, real in ([("/cache", box.cache)] if part.startswith("/cache") else [(APP, box.tree)])
    )


def _mounted(root: Root | None) -> list[str]:
    """An overlay of several layers, in a mount namespace of its own: it ends with the step."""
    if root is None or len(root.layers) == 1:
        return []
    lower = ":".join(map(str, reversed(range(len(root.layers)))))
    overlay = [root.links, f"lowerdir={lower}", root.mount]
    return ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", _OVERLAY, "sh", *overlay]


def _system(step: Step, box: Box) -> list[str]:
    if box.root is None:
        return [*_usr(), *_etc(step, box)]
    argv = [*_folder("/etc")]
    for name, target in sorted(box.root.entries.items()):
        if name in _NOT_SHOWN:
            continue
        argv += ["--symlink", target, f"/{name}"] if target else ["--ro-bind", f"{box.root.mount}/{name}", f"/{name}"]
    if step.network:
        argv += [word for name in _ETC_NETWORK for word in ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")]
        # Mirrors of companies are certified by authorities that only the host knows.
        argv += ["--ro-bind-try", "/etc/ssl/certs", "/etc/ssl/certs"] if "etc/ssl" in box.root.entries else []
    return [*argv, *_accounts(box), *_folder(HOST), "--ro-bind", "/usr", f"{HOST}/usr"]


def _accounts(box: Box) -> list[str]:
    return [word for name in ("passwd", "group") for word in ("--ro-bind", str(box.files / name), f"/etc/{name}")]


def _helper(name: str, box: Box) -> list[str]:
    """A program of the host, which the root of the steps may not have, or only for another C library."""
    return [*box.root.loader, f"{HOST}/usr/bin/{name}"] if box.root else [f"/usr/bin/{name}"]


def _usr() -> list[str]:
    """/usr and the links to it at the top (all distributions that matter have merged /usr by now)."""
    links = [
        word for name in ("bin", "sbin", "lib", "lib32", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}")
    ]
    return ["--ro-bind", "/usr", "/usr", *links]


def _etc(step: Step, box: Box) -> list[str]:
    names = (*_ETC, *_ETC_NETWORK) if step.network else _ETC
    shared = [word for name in names for word in ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")]
    java = [word for path in box.show if path.startswith("/etc/") for word in ("--ro-bind-try", path, path)]
    return [*_folder("/etc"), *_folder("/etc/ssl"), *shared, *java, *_accounts(box)]


def _folder(path: str) -> list[str]:
    """bwrap makes folders for mount points with mode 0700, which the build's user could not enter."""
    return ["--perms", "0755", "--dir", path]


def _memory(path: str, size: int) -> list[str]:
    return ["--perms", "1777", "--size", str(size), "--tmpfs", path]


def _shown(path: str) -> list[str]:
    return [] if path.startswith(_SYSTEM) else _bound(path, path)


def _place(path: str) -> str:
    """Where a build finds what its registry names: nothing can be added to a /usr or /etc that is another root's."""
    return f"{HOST}{path}" if path.startswith(_SYSTEM) else path


def _placed_in(registry: Registry) -> dict[str, str]:
    """Its variables, with the places in a build."""
    moved = sorted((path for path in registry.binds if _place(path) != path), reverse=True)
    if not moved:
        return dict(registry.env)
    pattern = re.compile(rf"(?<![^\s/])({'|'.join(map(re.escape, moved))})(?![^\s/])")
    return {name: pattern.sub(lambda found: _place(found[1]), value) for name, value in registry.env.items()}


def _bound(path: str, at: str) -> list[str]:
    above = [str(parent) for parent in reversed(Path(at).parents) if str(parent) != "/"]
    return [word for folder in above for word in _folder(folder)] + ["--ro-bind-try", path, at]


def _as_user(box: Box) -> list[str]:
    if box.uid == 0:
        return []
    return [*_helper("setpriv", box), f"--reuid={box.uid}", f"--regid={box.gid}", "--clear-groups", "--no-new-privs"]


def _bounded(step: Step, box: Box) -> list[str]:
    bounds = box.bounds
    limits = [f"--data={bounds.data}", f"--fsize={bounds.file}", "--core=0"]
    if bounds.processes is not None:
        limits.insert(0, f"--nproc={bounds.processes}")
    argv = [_placed(word, box) for word in step.argv] if box.mode == "none" else list(step.argv)
    nice = [*_helper("nice", box), "-n", "10"]
    return ["/bin/sh", "-c", _AFTER_OTHERS, "sh", *nice, *_helper("prlimit", box), *limits, "--", *argv]
