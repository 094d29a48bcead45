"""Unpacked packages become a root: what their scripts would have made, and nothing that running does not need.

Scripts of packages are not run: they expect a running system. What they would have left behind is made here by hand,
with the root's own programs where bytes depend on them (ldconfig, openssl, python, java), without network.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from fourfold.build.bases.apt import EPOCH
from fourfold.build.bases.keystore import key_store
from fourfold.build.bases.systems import Recipe, java_home
from fourfold.build.sandbox import BWRAP
from fourfold.errors import WorldError
from fourfold.store.files import trees

_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_FOLDERS: Mapping[str, int] = {
    "app": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755, "sys": 0o755,
    "tmp": 0o1777, "usr/local/bin": 0o755, "var/cache": 0o755, "var/lib": 0o755, "var/log": 0o755, "var/tmp": 0o1777,
}  # fmt: skip
"""Made where missing: also what an instance's mounts need to be there."""
_EMPTIED = ("dev", "run", "tmp", "var/cache", "var/log", "var/lib/apt")
_DROPPED = (
    "etc/apt", "etc/cron.daily", "etc/cron.d", "etc/fstab", "etc/init.d", "etc/logrotate.d", "etc/systemd",
    "usr/lib/systemd", "usr/share/bash-completion", "usr/share/bug", "usr/share/doc-base", "usr/share/info",
    "usr/share/lintian", "usr/share/locale", "usr/share/man", "var/lib/dpkg/arch",
)  # fmt: skip
_FILES: Mapping[str, str] = {
    "etc/hostname": "",
    "etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
    "etc/resolv.conf": "",
    "etc/timezone": "Etc/UTC\n",
    "etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n",
}
_COPIES = {
    "etc/passwd": "usr/share/base-passwd/passwd.master",
    "etc/group": "usr/share/base-passwd/group.master",
    "etc/nsswitch.conf": "usr/share/libc-bin/nsswitch.conf",
}
_ALTERNATIVES = {"usr/bin/awk": "mawk", "usr/local/bin/npm": "../../bin/npm"}
"""Links to make where their target is there and they are not; npm is in one place, whoever brought it."""
_LINKS = {"etc/localtime": "/usr/share/zoneinfo/Etc/UTC", "etc/mtab": "/proc/mounts"}
_AUTHORITIES = "usr/share/ca-certificates"
_CERTIFICATES = "etc/ssl/certs"
_KEPT_TIMES = "jvm"
"""Below the folder of this name."""
_SECONDS = 300


def finish(root: Path, recipe: Recipe, extra: Path | None = None) -> None:
    """Make the folder `root` a root. `extra`: a tree of programs for /usr/local.

    Raises WorldError when one of its own programs fails.
    """
    _merge(root)
    _tidy(root)
    for name, mode in _FOLDERS.items():
        place = root / name
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(mode)
    if extra is not None:
        add_programs(root, extra, headers=recipe.building)
    _write(root)
    run_in(root, ["/sbin/ldconfig", "-X"])
    trees.remove(root / "var/cache/ldconfig")
    trust = _trust(root)
    for name in recipe.runtimes:
        if name.startswith("python"):
            compile_python(root, name)
        if name.startswith("java"):
            _finish_java(root, java_home(name.removeprefix("java"), recipe.system), trust)
    normalise(root)


def run_in(root: Path, argv: list[str], env: Mapping[str, str] | None = None) -> None:
    """Run one of the root's programs in it, able to write there and nowhere else. Raises WorldError if it fails."""
    box = [
        *[BWRAP, "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc", "--unshare-net"],
        *["--bind", str(root), "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--"],
    ]
    clean = {"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8", "HOME": "/tmp", "SOURCE_DATE_EPOCH": str(EPOCH)}
    try:
        subprocess.run(
            [*box, *argv], env={**clean, **(env or {})}, check=True, capture_output=True, text=True, timeout=_SECONDS
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout).strip().rpartition("\n")[2]
        raise WorldError(f"cannot make the base: {argv[0]} failed in it: {last}") from error
    except subprocess.TimeoutExpired as error:
        raise WorldError(f"cannot make the base: {argv[0]} took more than {_SECONDS} s in it") from error


def _merge(root: Path) -> None:
    """/bin, /sbin and /lib become links to those in /usr, as every system of today has it: usrmerge(1)."""
    for name in _MERGED:
        place, target = root / name, root / "usr" / name
        if place.is_symlink():
            continue
        if place.is_dir():
            _move_into(place, target)
            place.rmdir()
        elif not target.is_dir():
            continue
        place.symlink_to(f"usr/{name}")


def _move_into(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for path in sorted(source.iterdir()):
        place = target / path.name
        if path.is_dir() and not path.is_symlink():
            _move_into(path, place)
            path.rmdir()
        elif place.is_symlink() or place.exists():  # compatibility links in both places, or a link to the other one
            if path.is_symlink():
                path.unlink()
            else:
                path.replace(place)
        else:
            path.rename(place)


def _tidy(root: Path) -> None:
    for name in _EMPTIED:
        trees.remove(root / name)
    for name in _DROPPED:
        place = root / name
        if place.is_symlink() or place.is_file():
            place.unlink()
        else:
            trees.remove(place)
    documents = root / "usr/share/doc"
    for path in sorted(documents.rglob("*"), reverse=True) if documents.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.name != "copyright":  # whose terms ask that it goes with the program
            path.unlink()


def add_programs(root: Path, extra: Path, headers: bool = False) -> None:
    """What a wheel has installed: Python packages cannot hold links, so npm's are made here."""
    local = root / "usr/local"
    left_out = ("*.py", "__pycache__", "py.typed", "corepack", *(() if headers else ("include",)))
    shutil.copytree(extra, local, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*left_out))
    for path in sorted((local / "lib/node_modules/npm/bin").glob("*-cli.js")):
        link = local / "bin" / path.name.removesuffix("-cli.js")
        link.unlink(missing_ok=True)
        link.symlink_to(f"../lib/node_modules/npm/bin/{path.name}")


def _write(root: Path) -> None:
    for name, text in _FILES.items():
        (root / name).write_text(text)
        (root / name).chmod(0o644)
    for name, source in _COPIES.items():
        if (root / source).is_file() and not (root / name).exists():
            shutil.copyfile(root / source, root / name)
            (root / name).chmod(0o644)
    for name, target in _LINKS.items():
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(target)
    for name, target in _ALTERNATIVES.items():
        place = root / name
        if (place.parent / target).exists() and not place.is_symlink() and not place.exists():
            place.symlink_to(target)


def _trust(root: Path) -> dict[str, str]:
    """The certificate authorities, as update-ca-certificates(8) lays them out; their names and PEM texts."""
    folder = root / _CERTIFICATES
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    authorities = sorted((root / _AUTHORITIES).rglob("*.crt"))
    for path in authorities:
        found[path.stem] = path.read_text().rstrip("\n") + "\n"
        (folder / f"{path.stem}.pem").symlink_to(f"/{path.relative_to(root)}")
    (folder / "ca-certificates.crt").write_text("".join(found.values()))
    listed = "".join(f"{path.relative_to(root / _AUTHORITIES)}\n" for path in authorities)
    (root / "etc/ca-certificates.conf").write_text(listed)
    run_in(root, ["/usr/bin/openssl", "rehash", f"/{_CERTIFICATES}"])
    return found


def compile_python(root: Path, name: str) -> None:
    """Links, and the standard library compiled: a root that cannot be written would be compiled at every start.

    Forced, for what the compiler itself has imported is there already, and is good only as long as times stay.
    """
    link = root / "usr/bin/python3"
    if not link.is_symlink():
        link.symlink_to(name)
    compile_ = ["-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash", f"/usr/lib/{name}"]
    run_in(root, [f"/usr/bin/{name}", *compile_], {"PYTHONHASHSEED": "0"})


def _finish_java(root: Path, home: str, trust: Mapping[str, str]) -> None:
    store = root / _CERTIFICATES / "java/cacerts"
    store.parent.mkdir(exist_ok=True)
    store.write_bytes(key_store(trust))
    java_links(root, home)


def java_links(root: Path, home: str) -> None:
    for path in (root / home.lstrip("/") / "bin").iterdir():
        link = root / "usr/bin" / path.name
        if not link.is_symlink() and not link.exists():
            link.symlink_to(f"{home}/bin/{path.name}")


def normalise(root: Path) -> None:
    """One time for every file, and no set-user-id bits: nobody gets other rights than their own.

    Only Java's own files keep theirs: its archive of prepared classes is refused when those it was made of are newer.
    """
    for path, status in trees.walk(root):
        if stat.S_ISREG(status.st_mode):
            if status.st_mode & (stat.S_ISUID | stat.S_ISGID):
                path.chmod(stat.S_IMODE(status.st_mode) & 0o1777)
            if _KEPT_TIMES in path.relative_to(root).parts:
                continue
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    os.utime(root, (EPOCH, EPOCH))
