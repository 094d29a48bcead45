"""A home on a file system so small that it can be filled."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.e2e.home import Home
from tests.support.wait import until

MEBIBYTE = 1 << 20


class SmallDisk:
    def __init__(self, folder: Path, megabytes: int) -> None:
        self._folder = folder
        self._filler = folder / "filler"
        self._megabytes = megabytes

    def fill(self) -> None:
        """To the last byte; never more than it has, whatever may have become of the mount."""
        assert self._folder.is_mount() and self._size() <= self._megabytes * MEBIBYTE, "this is another file system"
        with self._filler.open("ab", buffering=0) as filler:
            for size in (65536, 1):  # what is left after the last whole block, byte for byte
                try:
                    while filler.tell() < self._megabytes * MEBIBYTE:
                        filler.write(b"x" * size)
                except OSError as error:
                    assert error.errno == errno.ENOSPC, error

    def free(self) -> None:
        self._filler.unlink()

    def _size(self) -> int:
        told = os.statvfs(self._folder)
        return told.f_blocks * told.f_frsize


@contextmanager
def small_disk(home: Home, megabytes: int = 24) -> Iterator[SmallDisk]:
    """A tmpfs under this home, gone with everything on it afterwards; the test is skipped where nobody may mount."""
    home.home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=711", "tmpfs", str(home.home)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    try:
        yield SmallDisk(home.home, megabytes)
    finally:
        for process in home.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        until(lambda: subprocess.run(["umount", "-l", str(home.home)]).returncode == 0, 60, "the unmount")
