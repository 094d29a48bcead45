"""The store of disks: whole or not there, whoever else makes the same."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from fourfold.errors import WorldError
from fourfold.paths import Paths
from fourfold.store.files.artifacts import Artifacts
from fourfold.store.files.disks import Disks
from fourfold.store.files.staging import staging
from fourfold.store.garbage.disks import sweep_disks

KEY = "a" * 64


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.find({"FOURFOLD_HOME": str(tmp_path)}, 0)


def publish(paths: Paths, content: str) -> Path:
    with staging(paths.work, "disk", "make the disk") as folder:
        (folder / "out").mkdir()
        (folder / "out/new").write_text(content)
        return Disks(paths).publish(KEY, folder / "out/new")


def test_of_two_that_make_the_same_at_once_one_stays(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one comes between the look and the renaming."""
    publish(paths, "first")
    monkeypatch.setattr(Disks, "has", lambda self, key: False)
    assert publish(paths, "second").read_text() == "first"
    assert list(paths.work.iterdir()) == []


def test_gc_leaves_a_disk_that_is_asked_for_while_it_looks(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(publish(paths, "old"), (0, 0))
    disks, listed = Disks(paths), list(Disks(paths).list())
    monkeypatch.setattr(disks, "list", lambda: listed)
    assert disks.has(KEY)
    assert sweep_disks(disks, Artifacts(paths), time.time()).removed == {"disks": 0}
    os.utime(disks.path(KEY), (0, 0))
    assert sweep_disks(disks, Artifacts(paths), time.time()).removed == {"disks": 1}


def test_what_a_broken_removal_left_is_no_disk(paths: Paths) -> None:
    (paths.disks / KEY).mkdir(parents=True)
    assert not Disks(paths).has(KEY)
    assert publish(paths, "whole").read_text() == "whole"


def test_a_full_disk_leaves_nothing(paths: Paths) -> None:
    with (
        pytest.raises(WorldError, match=r"^cannot make the disk: No space left on device$"),
        staging(paths.work, "disk", "make the disk") as folder,
    ):
        (folder / "half").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(paths.work.iterdir()) == []
