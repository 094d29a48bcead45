"""The folders: made once, with modes that let services pass where they must and read nothing else."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from unittest.mock import Mock

import pytest

from fourfold.errors import FourfoldError, UserError
from fourfold.paths import Paths
from fourfold.store import layout
from fourfold.store.files import trees
from tests.store.namespace import run_with_mounts

PRIVATE = {
    *(f"state/{name}" for name in ("bakery", "blobs", "sources", "images", "logs", "certificates", "usage")),
    "run/functions",
}


def modes(home: Path) -> dict[str, int]:
    return {
        str(folder.relative_to(home.parent)): stat.S_IMODE(folder.stat().st_mode)
        for folder in [home, *home.rglob("*")]
        if folder.is_dir()
    }


def at(home: Path) -> Paths:
    return Paths.find({"FOURFOLD_HOME": str(home)}, os.geteuid())


@pytest.mark.parametrize(("root", "shared"), [(True, 0o711), (False, 0o700)])
@pytest.mark.parametrize("umask", [0, 0o077])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, root: bool, shared: int, umask: int) -> None:
    before = os.umask(umask)
    try:
        layout.create(at(tmp_path / "deep" / "home"), root)
    finally:
        os.umask(before)
    found = modes(tmp_path / "deep")
    assert len(found) == 19
    private = {f"deep/home/{name}" for name in PRIVATE}
    assert found == {name: 0o700 if name in private else shared for name in found}


def test_again_mends_the_modes_but_those_of_the_configuration(tmp_path: Path) -> None:
    paths = at(tmp_path / "home")
    layout.create(paths, root=True)
    (paths.state / "file").write_text("kept")
    paths.state.chmod(0o777)
    paths.logs.chmod(0o755)
    paths.config.chmod(0o755)
    layout.create(paths, root=True)
    found = modes(tmp_path / "home")
    assert (found["home/state"], found["home/state/logs"], found["home/config"]) == (0o711, 0o700, 0o755)
    assert (paths.state / "file").read_text() == "kept"


def test_a_link_to_a_larger_disk_is_fine(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    paths = at(tmp_path / "home")
    paths.state.parent.mkdir()
    paths.state.symlink_to(tmp_path / "large")
    layout.create(paths, root=False)
    assert (tmp_path / "large" / "artifacts").is_dir()


def test_what_was_removed_is_known(tmp_path: Path) -> None:
    paths = at(tmp_path / "home")
    layout.create(paths, root=True)
    assert layout.missing(paths) == []
    paths.work.rmdir()
    paths.caches.rmdir()
    paths.images.rmdir()
    paths.images.symlink_to(tmp_path / "a disk that is away")
    assert layout.missing(paths) == [paths.caches, paths.work]


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_what_is_no_folder_is_refused(tmp_path: Path, kind: str) -> None:
    paths = at(tmp_path / "home")
    paths.state.parent.mkdir()
    paths.state.write_text("x") if kind == "file" else paths.state.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="it is not a folder") as caught:
        layout.create(paths, root=False)
    assert "FOURFOLD_HOME" in (caught.value.hint or "")


def test_a_home_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("x")
    with pytest.raises(UserError, match="Not a directory"):
        layout.create(at(tmp_path / "home"), root=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
@pytest.mark.parametrize("which", ["state", "run", "config", "state/volumes", "a link"])
def test_somebody_elses_folder_is_refused_untouched(tmp_path: Path, which: str) -> None:
    home = tmp_path / "home"
    if which == "a link":
        home.mkdir()
        (home / "state").symlink_to(tmp_path)
        os.chown(home / "state", 12345, 12345, follow_symlinks=False)
    else:
        (home / which).mkdir(parents=True, mode=0o755)
        os.chown(home / which, 12345, 12345)
    with pytest.raises(UserError, match="belongs to user 12345, and this is user 0"):
        layout.create(at(home), root=True)
    if which != "a link":
        assert stat.S_IMODE((home / which).stat().st_mode) == 0o755


DENIED = """
    import subprocess, sys
    from pathlib import Path
    from fourfold.paths import Paths
    from fourfold.store import layout

    home = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", home], check=True)
    try:
        layout.create(Paths.find({"FOURFOLD_HOME": str(home / "mine")}, 0), True)
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_a_read_only_disk_is_named(tmp_path: Path) -> None:
    said = run_with_mounts(DENIED, str(tmp_path))
    assert said.startswith("WorldError cannot make the folder") and "Read-only file system" in said


def test_empty_work_removes_everything_and_follows_no_link(tmp_path: Path) -> None:
    paths = at(tmp_path / "home")
    layout.create(paths, root=False)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("kept")
    build = paths.work / "build" / "module@v1"
    build.mkdir(parents=True)
    (build / "file").write_text("x")
    (build / "link").symlink_to(tmp_path / "elsewhere")
    (paths.work / "link").symlink_to(tmp_path / "elsewhere")
    (paths.work / "file").write_text("x")
    build.chmod(0o555)
    layout.empty_work(paths)
    assert list(paths.work.iterdir()) == []
    assert (tmp_path / "elsewhere" / "file").read_text() == "kept"


def test_work_that_cannot_be_removed_stops_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    paths = at(tmp_path / "home")
    layout.create(paths, root=False)
    (paths.work / "build").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(trees, "remove", Mock(side_effect=subprocess.CalledProcessError(1, ["/bin/rm"])))
        layout.empty_work(paths)
        layout.empty_work(paths)
    assert [entry.name.startswith("removed-") for entry in paths.work.iterdir()] == [True], "out of a writer's way"
    assert "cannot remove" in caplog.text
    layout.empty_work(paths)
    assert list(paths.work.iterdir()) == []


def test_errors_are_for_people(tmp_path: Path) -> None:
    with pytest.raises(FourfoldError, match="cannot make the folder /proc/nowhere"):
        layout.create(at(Path("/proc/nowhere/home")), root=False)


def test_a_path_that_no_socket_can_have_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    home = tmp_path / ("x" * 120)
    with pytest.raises(UserError, match="longer than the 107 bytes"):
        layout.create(at(home), root=False)
    assert not home.exists()
