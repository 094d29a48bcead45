"""Folders of single starts: what a runtime or a virtual machine keeps, and where it is reached.

The spawner removes one with its instance, the daemon removes what a dead spawner left.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from fourfold.errors import WorldError


class Folders:
    def __init__(self, home: Path) -> None:
        self._home = home

    def path(self, name: str) -> Path:
        return self._home / name

    def make(self, name: str, *inner: str) -> None:
        """With folders in it. WorldError."""
        folder = self.path(name)
        try:
            with suppress(FileExistsError):
                self._home.mkdir(mode=0o700, parents=True)
            if not self._is_own():
                raise WorldError(f"cannot use {self._home}: it is another user's", "remove it")
            for each in (folder, *(folder / name for name in inner)):
                each.mkdir(mode=0o700)
        except OSError as error:
            raise WorldError(
                f"cannot start {name}: {error.filename}: {error.strerror}",
                f"see that {self._home} can be written to",
            ) from error

    def remove(self, name: str) -> None:
        if self._is_own():
            shutil.rmtree(self.path(name), ignore_errors=True)

    def clear(self, kept: Collection[str]) -> None:
        """Those of starts that nobody knows any more."""
        if self._is_own():
            for name in {folder.name for folder in self._home.iterdir()} - {*kept}:
                self.remove(name)

    def close(self) -> None:
        """Leave no trace of a home that runs nothing."""
        if self._is_own():
            with suppress(OSError):  # not empty: instances go on
                self._home.rmdir()

    def _is_own(self) -> bool:
        """Whether it is a folder of this user alone: anybody may make one of that name in /dev/shm, or a link.

        What is once there is safe: nobody else can rename it or take it away (sticky bit).
        """
        try:
            found = self._home.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
