"""Mount points inside volumes, which others may write to while they are made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.spawner.namespace import View
from tests.spawner.test_spawn import PLAIN


def view(*volumes: Path) -> View:
    made = View(replace(PLAIN, private=True))
    made._volumes = [str(volume) for volume in volumes]
    return made


@pytest.mark.parametrize("folder", [True, False])
def test_a_link_is_not_followed(folder: bool, tmp_path: Path) -> None:
    """As another instance could plant it, after the path has been resolved and before it is made."""
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    volume.mkdir()
    outside.mkdir()
    (volume / "link").symlink_to(outside)
    with pytest.raises(NotADirectoryError):
        view(volume)._point(f"{volume}/link/deep/er", folder)
    (volume / "link/inner").mkdir()
    with pytest.raises(NotADirectoryError):
        view(volume, outside / "inner")._point(f"{volume}/link/inner/er", folder)
    assert [path.name for path in outside.rglob("*")] == ["inner"]


def test_what_is_missing_is_made_and_what_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/kept").write_text("x")
    for _ in range(2):
        view(tmp_path)._point(f"{tmp_path}/a/b/c", folder=True)
        view(tmp_path)._point(f"{tmp_path}/a/d/file", folder=False)
        view(tmp_path)._point(f"{tmp_path}/a/kept", folder=False)
    assert (tmp_path / "a/b/c").is_dir() and (tmp_path / "a/d/file").read_text() == ""
    assert (tmp_path / "a/kept").read_text() == "x"
