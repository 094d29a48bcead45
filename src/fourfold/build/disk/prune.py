"""What of a base is left out of a virtual machine's `minimal` root: everything that only people and installers need.

No shell, no package manager, no program but the runtime (and env(1), which `#!/usr/bin/env node` needs). Where the
service is one static program, no C library either: certificates, time zones and the files of /etc.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = re.compile(r"env|python3(\.\d+)?|node|nodejs|java|ruby(\d\.\d)?|bundle3?(\.\d)?|bundler")
"""What may stay in the folders of programs. Bundler is how programs in Ruby find their gems."""
_PROGRAM_FOLDERS = ("usr/bin", "usr/local/bin")
_DROPPED = (
    "etc/apt", "etc/default", "etc/dpkg", "etc/init.d", "etc/pam.d", "etc/profile", "etc/profile.d", "etc/security",
    "etc/shells", "etc/skel", "etc/update-motd.d", "usr/games", "usr/include", "usr/lib/apt", "usr/lib/dpkg",
    "usr/lib/init", "usr/lib/locale", "usr/lib/mime", "usr/lib/openssh", "usr/lib/tmpfiles.d", "usr/libexec",
    "usr/local/lib/node_modules", "usr/local/sbin", "usr/sbin", "usr/share/apport", "usr/share/base-files",
    "usr/share/debconf", "usr/share/debianutils", "usr/share/dpkg", "usr/share/gdb",
    "usr/share/keyrings", "usr/share/menu",
    "usr/share/nodejs/npm", "usr/share/perl5", "usr/share/zoneinfo/posix",
    "usr/share/zoneinfo/right", "var/backups", "var/lib/dpkg", "var/lib/systemd", "var/local", "var/mail", "var/spool",
)  # fmt: skip
_DROPPED_NAMES = re.compile(r"gconv|perl|perl-base|perl5|gcc|systemd")
"""Below the folder of libraries; `gconv` is for programs that read encodings of the last century by iconv(3)."""
_UNUSED = ("ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "turtledemo")
"""Of Python's standard library: installers, editors, manuals and its own tests."""
_WITHOUT_LIBRARIES = (
    "bin", "etc/alternatives", "etc/ld.so.cache", "etc/ld.so.conf", "etc/ld.so.conf.d", "lib", "lib32", "lib64",
    "libx32", "sbin", "usr/bin", "usr/lib", "usr/lib64", "usr/libexec", "usr/local", "usr/share/doc",
)  # fmt: skip


def left_out(root: Path, bare: bool) -> list[str]:
    """Paths in the base `root`; `bare`: for a static program."""
    names = set(_outer(_there(root, (*_DROPPED, *(_WITHOUT_LIBRARIES if bare else ())))))
    if not bare:
        names |= set(_programs(root)) | set(_libraries(root))
    return sorted(names)


def _there(root: Path, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        place = root / name
        if place.is_symlink() or place.exists():
            yield name


def _outer(names: Iterator[str]) -> Iterator[str]:
    """Without those below another one."""
    found = sorted(names)
    for name in found:
        if not any(name.startswith(f"{other}/") for other in found):
            yield name


def _programs(root: Path) -> Iterator[str]:
    for folder in _PROGRAM_FOLDERS:
        if (root / folder).is_dir():
            for path in (root / folder).iterdir():
                if not PROGRAMS.fullmatch(path.name):
                    yield f"{folder}/{path.name}"


def _libraries(root: Path) -> Iterator[str]:
    for path in (root / "usr/lib").glob("*-linux-gnu*/*"):
        if _DROPPED_NAMES.fullmatch(path.name):
            yield str(path.relative_to(root))
    for name in _UNUSED:
        yield from (str(path.relative_to(root)) for path in (root / "usr/lib").glob(f"python3.*/{name}"))
