"""What an instance gets on this host before it is spawned."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fourfold.control.registry import Registry
from fourfold.control.settings import Settings
from fourfold.control.starter import Starter
from fourfold.errors import WorldError
from fourfold.launch.model import Powers
from fourfold.paths import Paths
from fourfold.store.artifacts import Artifacts
from fourfold.supervise.supervisor import Supervisor
from tests.store.samples import service_row

SERVICE = service_row(uid=790007)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.find({"FOURFOLD_HOME": str(tmp_path)}, 0)


@pytest.fixture
def starter(paths: Paths) -> Starter:
    supervisor = cast(Supervisor, SimpleNamespace(powers=Powers(users=True)))
    return Starter(paths, Settings(), cast(Registry, None), Artifacts(paths), supervisor, cast(Any, None))


def test_a_volume_is_there_with_its_owner_or_not_at_all(
    paths: Paths, starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that dies while it makes one leaves nothing that the next one takes for a volume."""
    given: list[tuple[int, int]] = []

    def dies(path: Path, uid: int, gid: int) -> None:
        raise SystemExit

    monkeypatch.setattr("os.chown", dies)
    with pytest.raises(SystemExit):
        starter._volume(SERVICE, "data")
    monkeypatch.setattr("os.chown", lambda path, uid, gid: given.append((uid, gid)))
    folder = starter._volume(SERVICE, "data")
    assert folder == paths.volumes / "shop" / "web" / "data" and folder.stat().st_mode & 0o777 == 0o700
    assert given == [(790007, 790007)]
    (folder / "note").touch()
    assert starter._volume(SERVICE, "data") == folder and (folder / "note").exists() and len(given) == 1


def test_a_disk_that_is_not_there_is_the_worlds_fault(paths: Paths, starter: Starter) -> None:
    paths.volumes.parent.mkdir(parents=True)
    paths.volumes.symlink_to("/nonexistent/disk")
    with pytest.raises(WorldError, match="cannot make the volume data of web: "):
        starter._volume(SERVICE, "data")
