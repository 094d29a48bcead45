"""The instance's own view of the file system: the host's root, with a private /tmp, and its mounts put in.

A new root on tmpfs shows the host's top-level entries by recursive bind mounts, so that /app and volumes can stand
beside them without a trace on the host. Where a mount point is missing deeper down, its folder is replaced in this view
by a tmpfs that shows the same entries ("loosened"). Propagation is slave: the host can still unmount its disks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fourfold.spawner import kernel
from fourfold.spawner.process import read_text
from fourfold.spawner.request import Failed, Spawn, User

_HOST = "/.host"
_SECRETS = "/run/secrets"
PLAIN = kernel.MS_NOSUID | kernel.MS_NODEV
_KEPT_FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC | kernel.MS_NOATIME | kernel.MS_NODIRATIME
_ST_RELATIME = 0x1000
_SCRATCH = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")
"""Where everybody may write."""
PRIVATE = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC


@contextmanager
def stage(name: str, detail: str = "") -> Iterator[None]:
    """Names what was being done when the system said no."""
    try:
        yield
    except OSError as error:
        raise Failed(name, error.errno or 0, detail or str(error.filename or "")) from error


def unshare(spawn: Spawn) -> None:
    """Leave the host's namespaces: mounts and System V IPC (which would outlive the instance), perhaps the network."""
    flags = PRIVATE if spawn.private else 0
    flags |= kernel.CLONE_NEWNET if spawn.network == "none" else 0
    if not flags:
        return
    with stage("namespace"):
        leave(flags, spawn.user_namespace)
        if spawn.network == "none":
            kernel.loopback_up()


def leave(flags: int, user_namespace: bool) -> None:
    """`user_namespace`: inside a new one, which knows this user alone."""
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(flags | (kernel.CLONE_NEWUSER if user_namespace else 0))
    if user_namespace:
        for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(line)


class View:
    """Builds the new root; afterwards `/` is it."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._loose = {"/"}
        """Folders on a tmpfs of ours: entries can be made there."""
        self._sealed = ["/"]
        """Those of them that the program may not write to."""
        self._volumes: list[str] = []
        """Targets that can be written to: entries can be made there too, and are kept. Outer ones come first."""

    def build(self) -> None:
        with stage("root"):
            self._pivot()
            self._private_tmp()
        if self._spawn.user is not None:
            with stage("passwd"):
                self._name_user(self._spawn.user)
        for source, target, read_only in sorted(self._spawn.mounts, key=lambda mount: mount[1].count("/")):
            with stage("mount", f"{source} at {target}"):
                self._bind(_HOST + source, target, read_only)
        for folder in self._spawn.hidden:
            with stage("hide", folder):
                self._hide(folder)
        if self._spawn.files:
            with stage("secrets", _SECRETS):
                self._put_files()
        with stage("root"):
            kernel.detach(_HOST)
            os.rmdir(_HOST)
            for folder in self._sealed:
                kernel.mount("none", folder, None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | PLAIN)

    def _pivot(self) -> None:
        kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_SLAVE)
        # /tmp is only where the new root is put together: after the pivot the host's /tmp is seen again below _HOST.
        kernel.mount("tmpfs", "/tmp", "tmpfs", PLAIN, "mode=0755,size=4m")
        os.mkdir("/tmp" + _HOST)
        kernel.pivot_root("/tmp", "/tmp" + _HOST)
        os.chdir("/")
        _mirror(_HOST, "/", leave_out=("tmp",))

    def _private_tmp(self) -> None:
        os.mkdir("/tmp")
        for path in _SCRATCH:
            if path == "/tmp" or (os.path.isdir(path) and not os.path.islink(path)):
                options = f"mode=1777,size={self._spawn.tmp_bytes},nr_inodes=100k"
                kernel.mount("tmpfs", path, "tmpfs", PLAIN, options)
                self._loose.add(path)

    def _name_user(self, user: User) -> None:
        """passwd and group of the host plus this user: some runtimes fail for a uid without a name."""
        entries = {
            "/etc/passwd": (user.uid, f"{user.name}:x:{user.uid}:{user.gid}:Fourfold service:{user.home}:/bin/sh"),
            "/etc/group": (user.gid, f"{user.name}:x:{user.gid}:"),
        }
        for path, (number, entry) in entries.items():
            lines = [line for line in (read_text(path) or "").splitlines() if not _names(line, user.name, number)]
            write_file("/.names", "\n".join([*lines, entry, ""]), 0o644)  # root's, so that the user cannot write to it
            self._point(path, folder=False)
            kernel.mount("/.names", path, None, kernel.MS_BIND)
            os.unlink("/.names")

    def _bind(self, source: str, target: str, read_only: bool) -> None:
        target = os.path.realpath(target)
        self._point(target, folder=os.path.isdir(source))
        kernel.mount(source, target, None, kernel.MS_BIND | kernel.MS_REC)
        self._loose.discard(target)
        if not read_only:
            self._volumes.append(target)
        else:
            flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY
            kernel.mount("none", target, None, flags | kept_flags(target))

    def _hide(self, folder: str) -> None:
        """After the mounts: what was bound from in there stays visible where it was bound to."""
        if os.path.isdir(folder):
            kernel.mount("tmpfs", folder, "tmpfs", PLAIN | kernel.MS_NOEXEC | kernel.MS_RDONLY, "mode=0,nr_inodes=1")

    def _put_files(self) -> None:
        self._point(_SECRETS, folder=True)
        kernel.mount("tmpfs", _SECRETS, "tmpfs", PLAIN | kernel.MS_NOEXEC, "mode=0700,size=16m")
        for path, content in self._spawn.files:
            write_file(path, content, 0o600)
            if self._spawn.user is not None:
                os.chown(path, self._spawn.user.uid, self._spawn.user.gid)
        if self._spawn.user is not None:
            os.chown(_SECRETS, self._spawn.user.uid, self._spawn.user.gid)
        flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOEXEC | PLAIN
        kernel.mount("none", _SECRETS, None, flags)

    def _point(self, target: str, folder: bool) -> None:
        """Make sure that there is something to mount on."""
        volume = next((each for each in self._volumes if target.startswith(f"{each}/")), None)
        if volume is not None:
            return make_below(volume, target[len(volume) + 1 :].split("/"), folder)
        if os.path.lexists(target):
            return
        parent = os.path.dirname(target)
        self._point(parent, folder=True)
        if parent not in self._loose:
            _loosen(parent)
            self._loose.add(parent)
            self._sealed.append(parent)
        if folder:
            os.mkdir(target)
            self._loose.add(target)
        else:
            write_file(target, "", 0o644)


def kept_flags(target: str) -> int:
    """Of a mount: in a user namespace what restricts it cannot be taken away."""
    shown = os.statvfs(target).f_flag
    return shown & _KEPT_FLAGS | (kernel.MS_RELATIME if shown & _ST_RELATIME else 0)


def make_below(volume: str, names: list[str], folder: bool) -> None:
    """Without following a link: others may write to the volume at this very moment, and we are in sight of the host."""
    below = os.open(volume, os.O_PATH | os.O_DIRECTORY)
    try:
        for name in names if folder else names[:-1]:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=below)
            inner = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=below)
            os.close(below)
            below = inner
        if not folder:
            with suppress(FileExistsError):
                os.close(os.open(names[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=below))
    finally:
        os.close(below)


def _loosen(folder: str) -> None:
    """Put a tmpfs over `folder` that shows what `folder` shows."""
    below = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        shown = os.stat(below)
        kernel.mount("tmpfs", folder, "tmpfs", PLAIN, f"mode={shown.st_mode & 0o7777:o},size=4m")
        if os.geteuid() == 0:
            os.chown(folder, shown.st_uid, shown.st_gid)
        _mirror(f"/proc/self/fd/{below}", folder)
    finally:
        os.close(below)


def _mirror(source: str, target: str, leave_out: tuple[str, ...] = ()) -> None:
    """Show every entry of `source` in the empty folder `target`."""
    with os.scandir(source) as entries:
        for entry in entries:
            shown = os.path.join(target, entry.name)
            if entry.name in leave_out or shown == _HOST:
                continue
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), shown)
                continue
            if entry.is_dir():
                os.mkdir(shown)
            else:
                write_file(shown, "", 0o600)
            kernel.mount(entry.path, shown, None, kernel.MS_BIND | kernel.MS_REC)


def _names(line: str, name: str, number: int) -> bool:
    """Whether a line of passwd or group already speaks of this name or id."""
    fields = line.split(":")
    return fields[0] == name or fields[2:3] == [str(number)]


def write_file(path: str, content: str, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:
        file.write(content.encode(errors="surrogateescape"))
        os.fchmod(fd, mode)
