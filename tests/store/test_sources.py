"""Files that are the only copy of something: written whole, on the disk before their name, and closed to others."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fourfold.errors import WorldError
from fourfold.store.files import sources, trees


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was made to last, in order."""
    told: list[str] = []

    def noted(step: str, what: Callable[..., Any]) -> Callable[..., Any]:
        def also(*given: Any) -> Any:
            told.append(step)
            return what(*given)

        return also

    monkeypatch.setattr(os, "fsync", noted("content", os.fsync))
    monkeypatch.setattr(Path, "replace", noted("name", Path.replace))
    monkeypatch.setattr(trees, "sync_folder", noted("folder", trees.sync_folder))
    return told


def test_content_is_on_the_disk_before_its_name_and_then_the_folder(tmp_path: Path, steps: list[str]) -> None:
    sources.write_atomically(tmp_path / "a", b"new")
    assert steps[:3] == ["content", "name", "folder"]


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_file_has_its_mode_also_over_another(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o666)
    sources.write_atomically(path, b"new", mode)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", mode)


def test_what_cannot_be_written_leaves_the_old_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorldError, match="No space left"):
        sources.write_atomically(path, b"new")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a", b"old")]
