"""A program that looks through the files that an instance can reach, as the user that it runs as.

One JSON object on standard input (`Asked`), one on standard output (`Found`). It is a process of its own: so it can
change its root and user, and keeps neither the daemon nor what is measured from working. Standard library only, for
Python from 3.7 on: it is run in virtual machines too, where they have one.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

MOST_WRITTEN = 20
_DPKG, _APK = "/var/lib/dpkg/status", "/lib/apk/db/installed"
_DOCUMENTS = "/usr/share/doc"
"""Each Debian package has a folder here with its `copyright` (Debian Policy, 12.5), where there is no list too."""
_LANGUAGE = ("/app/", "/var/task/", "/opt/", "/usr/local/")
"""Where packages of languages are that no package of the system has brought."""
_PYTHON = re.compile(r"\.(dist|egg)-info$")
_NODE = re.compile(r"/node_modules/(@[^/]+/)?[^/@.][^/]*/package\.json$")
_RUBY = re.compile(r"/specifications/[^/]+\.gemspec$")


@dataclass(frozen=True)
class Asked:
    root: str
    """Folder that is `/` to the instance."""
    skipped: tuple[str, ...] = ()
    """Paths in it that are not looked into."""
    uid: int | None = None
    """Whom to be, in that root. None: who this is; both take root."""
    gid: int = 0
    groups: tuple[int, ...] = ()
    since: float | None = None
    """Epoch seconds: what was written after that is told. None: nothing is."""
    only_mine: bool = False
    """Others write there too: what was written by it belongs to the user that it is looked at as."""
    seconds: float = 15.0
    """After which it gives up."""


@dataclass
class Found:
    setuid_files: int = 0
    packages: int = 0
    written: list[str] = field(default_factory=list)
    """At most twenty."""
    whole: bool = True
    """False: it took too long, so that the numbers are too low."""


class Look:
    def __init__(self, asked: Asked, prefix: str) -> None:
        """`prefix`: what stands before paths of the instance here; empty: nothing."""
        self._asked = asked
        self._prefix = prefix
        self._skipped = frozenset(asked.skipped)
        self._deadline = time.monotonic() + asked.seconds
        self.found = Found()

    def run(self) -> Found:
        self.found.packages = self._of_system()
        for path, entry in self._walk(""):
            try:
                self._note(path, entry)
            except OSError:  # it has gone
                continue
        self.found.written = sorted(self.found.written)[:MOST_WRITTEN]
        return self.found

    def _walk(self, folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        waiting = [folder]
        while waiting:
            if time.monotonic() > self._deadline:
                self.found.whole = False
                return
            folder = waiting.pop()
            try:
                with os.scandir(f"{self._prefix}{folder}" or "/") as entries:
                    for entry in entries:
                        path = f"{folder}/{entry.name}"
                        if path not in self._skipped:
                            yield path, entry
                            if entry.is_dir(follow_symlinks=False):
                                waiting.append(path)
            except OSError:  # not for this user
                continue

    def _note(self, path: str, entry: os.DirEntry[str]) -> None:
        if path.startswith(_LANGUAGE) and _is_package(path):
            self.found.packages += 1
        if not entry.is_file(follow_symlinks=False):
            return
        status = entry.stat(follow_symlinks=False)
        if status.st_mode & (stat.S_ISUID | stat.S_ISGID) and status.st_mode & 0o111:
            self.found.setuid_files += 1
        if self._is_written(status):
            self.found.written.append(path)

    def _is_written(self, status: os.stat_result) -> bool:
        asked = self._asked
        if asked.since is None or (asked.only_mine and status.st_uid != os.geteuid()):
            return False
        # What was unpacked has an old time of its own; one more link to a file, as builds make them, is no writing.
        return status.st_mtime >= asked.since or (status.st_ctime >= asked.since and status.st_nlink == 1)

    def _of_system(self) -> int:
        if listed := self._read(_DPKG):
            return sum(" installed" in line for line in listed.splitlines() if line.startswith("Status:"))
        if listed := self._read(_APK):
            return sum(line.startswith("P:") for line in listed.splitlines())
        return len(list(Path(self._prefix + _DOCUMENTS).glob("*/copyright")))

    def _read(self, path: str) -> str:
        try:
            return Path(self._prefix + path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def _is_package(path: str) -> bool:
    return path.endswith(".jar") or any(kind.search(path) for kind in (_PYTHON, _NODE, _RUBY))


def look(asked: Asked) -> Found:
    """Changes this process for good where it is told whom to be. OSError: it may not."""
    os.nice(19)
    if asked.uid is None:
        os.chdir(asked.root)  # by way of /proc/PID/root each path would cost a permission check more
        return Look(asked, ".").run()
    os.chroot(asked.root)
    os.chdir("/")
    os.setgroups(asked.groups)
    os.setresgid(asked.gid, asked.gid, asked.gid)
    os.setresuid(asked.uid, asked.uid, asked.uid)
    return Look(asked, "").run()


def main() -> None:
    given: dict[str, Any] = json.load(sys.stdin)
    given.update({name: tuple(value) for name, value in given.items() if isinstance(value, list)})
    json.dump(asdict(look(Asked(**given))), sys.stdout)


if __name__ == "__main__":
    main()
