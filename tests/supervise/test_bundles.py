"""The folders of starts: only in a home that is this user's alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fourfold.errors import WorldError
from fourfold.launch.model import Bundle
from fourfold.supervise.cgroups.cgroups import Groups
from fourfold.supervise.spawner import bundles
from fourfold.supervise.spawner.bundles import Bundles, homes

CRUN = Bundle("crun", {}, {})


def link(home: Path, elsewhere: Path) -> None:
    home.symlink_to(elsewhere)


def others(home: Path, elsewhere: Path) -> None:
    elsewhere.rename(home)
    os.chown(home, 12345, 12345)


def open_to_others(home: Path, elsewhere: Path) -> None:
    elsewhere.rename(home)
    home.chmod(0o777)


def file(home: Path, elsewhere: Path) -> None:
    home.write_text("")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
@pytest.mark.parametrize("put", [link, others, open_to_others, file])
def test_what_another_user_put_there_is_left_alone(
    put: Callable[[Path, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, elsewhere = tmp_path / "shm", tmp_path / "elsewhere"
    shared.mkdir()
    (elsewhere / "a.b-1-x.1").mkdir(parents=True)
    elsewhere.chmod(0o700)
    monkeypatch.setattr(bundles, "_SHARED_MEMORY", shared)
    home = homes(tmp_path / "run")[1]
    put(home, elsewhere)
    mine = Bundles(tmp_path / "run", Groups((), None, {}))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WorldError, match=f"cannot use {home}: it is another user's"):
        mine.make("a.b-2-x.1", CRUN)
    mine.remove("a.b-1-x.1")
    mine.clear(())
    mine.close()
    assert sorted(tmp_path.rglob("*")) == before


def test_folders_are_made_and_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "_SHARED_MEMORY", tmp_path)
    mine = Bundles(tmp_path / "run", Groups((), None, {}))
    for number in range(3):
        mine.make(f"a.b-{number}-x.1", CRUN)
    mine.remove("a.b-0-x.1")
    mine.clear({"a.b-1-x.1"})
    assert [each.name for each in homes(tmp_path / "run")[1].iterdir()] == ["a.b-1-x.1"]
    mine.close()
    mine.clear(())
    mine.close()
    assert list(tmp_path.iterdir()) == []
