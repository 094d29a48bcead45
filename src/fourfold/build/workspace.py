"""The folders of one build: its work tree, its service's cache, and the few files that stand in for the host's /etc."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from fourfold.build.bases.look import root_of
from fourfold.build.host import usable
from fourfold.build.model import Host
from fourfold.build.registry import copy_home
from fourfold.build.sandbox import BWRAP, PROCESSES, TOOLS, Bounds, Box, Mode, Registry
from fourfold.store.files import trees

UV = "uv-itself"
"""Its name in another root, where `uv` is a script."""


def find_mode(uid: int) -> Mode:
    """How this host can isolate builds; tried once with a harmless program (about 10 ms)."""
    probe = [
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--unshare-pid",
        "--unshare-net",
        "/usr/bin/true",
    ]
    modes: list[tuple[Mode, list[str]]] = [("user", [BWRAP, "--unshare-user"])]
    if uid == 0:
        modes.insert(0, ("root", [BWRAP]))
    for mode, start in modes:
        try:
            subprocess.run([*start, *probe], check=True, capture_output=True, timeout=20)
            return mode
        except (OSError, subprocess.SubprocessError):
            continue
    return "none"


def no_isolation() -> tuple[str, str]:
    """Why there is none, and what to do."""
    if not Path(BWRAP).exists():
        return "bubblewrap is not installed", "apt-get install bubblewrap"
    return "bubblewrap cannot make namespaces here", "let the kernel make them (in a container: run it privileged)"


@asynccontextmanager
async def workspace(
    work: Path,
    cache: Path,
    host: Host,
    mode: Mode,
    owner: tuple[int, int],
    registry: Registry,
    groups: tuple[str, ...],
    layers: Sequence[Path] = (),
) -> AsyncIterator[Box]:
    """A `Box` with an absent `tree` to fill (and to hand over with `hand_over`); removed at the end, whatever happens.

    `owner` is the uid and gid of the build's user: another one than ours only if we are root.
    `groups`: see `Box`.
    `layers`: the root to build in, lowest first; none: the host's.
    """
    folder = await asyncio.to_thread(_folder, work)
    try:
        box = await asyncio.to_thread(_make, folder, cache, host, mode, owner, registry, groups)
        yield await asyncio.to_thread(_in_root, box, layers) if layers else box
    finally:
        await asyncio.shield(asyncio.to_thread(trees.remove, folder))


def _folder(work: Path) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=work, prefix="build-"))


def _make(
    folder: Path, cache: Path, host: Host, mode: Mode, owner: tuple[int, int], registry: Registry,
    groups: tuple[str, ...],
) -> Box:  # fmt: skip
    _write_files(folder / "files", os.environ, *owner)
    cache.mkdir(parents=True, exist_ok=True)
    # Without mounts, the build's user must get to its folders by their real paths.
    closed = 0o711 if mode == "none" else 0o700
    cache.parent.chmod(closed)
    folder.chmod(closed)
    tools = {name: path for name, path in host.tools.items() if not path.startswith(("/usr/", "/bin/"))}
    if os.geteuid() == 0:
        os.chown(cache, *owner)
        if mode == "none":
            tools = {name: _within_reach(path, folder / "files/tools" / name) for name, path in tools.items()}
    return Box(
        mode=mode,
        tree=folder / "tree",
        cache=cache,
        files=folder / "files",
        uid=owner[0] if os.geteuid() == 0 else 0,
        gid=owner[1],
        tools=tools,
        show=_show(host),
        registry=registry,
        bounds=Bounds(processes=_most_processes(owner[0], groups)),
        groups=groups,
    )


def _in_root(box: Box, layers: Sequence[Path]) -> Box:
    """uv is started by the host's loader: the root may have another C library, or none that is new enough."""
    mount = box.files / "root"
    mount.mkdir()
    root = root_of(layers, mount, box.files / "layers")
    tools = {}
    if uv := box.tools.get("uv"):
        script = box.files / "uv"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(root.loader)} {TOOLS}/{UV} "$@"\n')
        script.chmod(0o755)
        tools = {"uv": str(script), UV: uv}
    return replace(box, root=root, tools=tools, show=())


def _within_reach(tool: str, place: Path) -> str:
    """The tool, or a copy of one that lies where only root can go (uv beside a checkout in /root)."""
    if usable(Path(tool)):
        return tool
    place.parent.mkdir(exist_ok=True)
    try:
        os.link(Path(tool).resolve(), place)
    except OSError:  # another file system
        shutil.copy(tool, place)
    return str(place)


def hand_over(box: Box) -> None:
    """The tree belongs to the build's user from here on."""
    if box.uid:
        trees.give(box.tree, box.uid, box.gid)


def _write_files(files: Path, environ: Mapping[str, str], uid: int, gid: int) -> None:
    home = files / "home"
    copy_home(environ, Path(environ.get("HOME", "/nonexistent")), home)
    (files / "passwd").write_text(
        f"root:x:0:0:root:/root:/usr/sbin/nologin\nbuild:x:{uid}:{gid}::/home/build:/bin/sh\n"
    )
    (files / "group").write_text(f"root:x:0:\nbuild:x:{gid}:\n")
    if os.geteuid() == 0:
        trees.give(home, uid, gid)


def _show(host: Host) -> tuple[str, ...]:
    """Homes of interpreters outside /usr, not this user's own, and the configuration that Debian's Java has in /etc."""
    programs = [runtime.path for runtime in host.runtimes.values()]
    programs += [host.tools[name] for name in ("npm", "mvn", "bundle") if name in host.tools]
    homes = {Path(program).resolve().parents[1] for program in programs}
    homes.discard(Path.home())
    outside = {str(home) for home in homes if not str(home).startswith("/usr") and len(home.parents) > 1}
    return (*sorted(outside), *sorted(str(path) for path in Path("/etc").glob("java*")))


def _most_processes(uid: int, groups: Iterable[str]) -> int | None:
    """None where a control group counts the build's own. Else the kernel counts the threads of its user, all of them:
    those of another build could leave it none."""
    if any((Path(group) / "pids.max").exists() for group in groups):
        return None
    total = PROCESSES
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                total += len(list((entry / "task").iterdir()))
        except OSError:  # gone meanwhile
            continue
    return total


def trim_cache(cache: Path, limit: int) -> None:
    """A download cache that has grown beyond `limit` bytes starts anew."""
    if cache.is_dir() and trees.size_of(cache) > limit:
        shutil.rmtree(cache, ignore_errors=True)
