"""What a runtime is given to start a program with, made in memory and seen by nobody else.

In a mount namespace of its own a tmpfs holds the bundle's files and what is written over the folders that its overlays
show. All of it goes with the last process that uses it: nothing is ever unmounted on the host.
"""

from __future__ import annotations

import os

from fourfold.spawner import kernel
from fourfold.spawner.namespace import PLAIN, kept_flags, make_below, stage, write_file
from fourfold.spawner.request import BUNDLE, Bundle, Spawn, User

SECRETS = "secrets"
"""In the bundle: the folder that holds the `files` of the Spawn."""


def build(spawn: Spawn, bundle: Bundle) -> None:
    """Afterwards the current folder is the bundle. Failed: the stage that the system refused."""
    with stage("bundle", bundle.folder):
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_SLAVE)
        kernel.mount("tmpfs", f"{bundle.folder}/{BUNDLE}", "tmpfs", PLAIN, f"mode=0700,size={bundle.size}")
        os.chdir(f"{bundle.folder}/{BUNDLE}")
        owner = spawn.user if bundle.as_user else None
        for path, content in bundle.files:
            write_file(path, content, 0o600 if bundle.as_user else 0o644)
            own(path, owner)
        own(".", owner)
        if spawn.files:
            _put_secrets(spawn.files, spawn.user)
    for name, shown in bundle.binds.items():
        with stage("mount", shown):
            _show(name, shown, name in bundle.written)
    for name, layers in bundle.overlays.items():
        with stage("root", name):
            _overlay(name, layers)
    for point in bundle.points:
        with stage("mount", point):
            make_below(".", point.split("/"), folder=True)
    with stage("root"):
        for mounted in bundle.unmounted:
            kernel.detach(mounted)


def own(path: str, user: User | None) -> None:
    if user is not None:
        os.chown(path, user.uid, user.gid)


def _show(name: str, shown: str, written: bool) -> None:
    """A file of the host."""
    write_file(name, "", 0o644)
    kernel.mount(shown, name, None, kernel.MS_BIND)
    access = 0 if written else kernel.MS_RDONLY
    kernel.mount("none", name, None, kernel.MS_REMOUNT | kernel.MS_BIND | access | PLAIN | kept_flags(name))


def _put_secrets(files: list[tuple[str, str]], user: User | None) -> None:
    os.mkdir(SECRETS, 0o700)
    for path, content in files:
        name = os.path.join(SECRETS, os.path.basename(path))
        write_file(name, content, 0o600)
        if user is not None:
            os.chown(name, user.uid, user.gid)
    if user is not None:
        os.chown(SECRETS, user.uid, user.gid)


def _overlay(name: str, layers: list[str]) -> None:
    """By short links: the kernel takes one page of options, and colons and commas part them."""
    os.mkdir(name)
    os.chmod(name, 0o755)
    if not layers:
        return
    links = []
    for number, layer in enumerate(reversed(layers)):
        links.append(f"{name}-{number}")
        os.symlink(layer, links[-1])
    upper, work = f"{name}-upper", f"{name}-work"
    os.mkdir(upper)
    shown = os.stat(links[0])
    os.chmod(upper, shown.st_mode & 0o7777)
    os.chown(upper, shown.st_uid, shown.st_gid)
    os.mkdir(work)
    kernel.mount("overlay", name, "overlay", PLAIN, f"lowerdir={':'.join(links)},upperdir={upper},workdir={work}")
