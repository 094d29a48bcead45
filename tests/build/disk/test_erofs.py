"""Read-only disks by the real mkfs.erofs: their bytes, what is in them, and what is left when they cannot be made."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourfold.build.disk import erofs
from fourfold.build.disk.erofs import DiskMaker
from fourfold.build.oci.rootfs import OPAQUE_XATTR
from fourfold.errors import UserError, WorldError
from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.disks import Disks
from tests.build.helpers import Home
from tests.support.mounts import mounts_of

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root sees owners, and may merge layers")


@pytest.fixture
def paths(home: Home) -> Iterator[Paths]:
    yield home.paths
    assert home.left_over == []


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="fourfold-trees-"))
    yield made
    trees.remove(made)


def key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def unpacked(paths: Paths, name: str, target: Path) -> Path:
    subprocess.run(
        ["fsck.erofs", f"--extract={target}", Disks(paths).path(key(name))], check=True, capture_output=True, timeout=60
    )
    return target


def content(paths: Paths, name: str) -> bytes:
    return Disks(paths).path(key(name)).read_bytes()


def tree(folder: Path, names: str, text: str = "content of ") -> Path:
    """Files in the order of `names`; equal ones among them, and what is in a folder."""
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text(text + name)
        (folder / name / "same").write_text("the same everywhere")
    (folder / names[0] / "file").chmod(0o755)
    (folder / "link").symlink_to("a/file")
    return folder


def test_the_same_content_gives_the_same_bytes(paths: Paths, folder: Path) -> None:
    """In another folder, on another day, written in another order, linked where the other one was copied."""
    maker = DiskMaker(paths, Disks(paths))
    one, other = tree(folder / "one", "abc"), folder / "other"
    shutil.copytree(one, other, symlinks=True)
    shutil.rmtree(other / "a")
    shutil.copytree(one / "a", other / "a")
    for place in (other / "a/same", other / "b/same"):
        place.unlink()
        place.hardlink_to(other / "c/same")
    for path, _ in trees.walk(other):
        os.utime(path, (1, 1), follow_symlinks=False)
    for each in (one, other):
        trees.seal(each, (0, 0) if os.geteuid() == 0 else None)
    maker.tree(key("one"), one)
    maker.tree(key("other"), other)
    assert content(paths, "one") == content(paths, "other")


@as_root
def test_what_is_on_the_disk_of_a_tree(paths: Paths, folder: Path) -> None:
    made = tree(folder / "tree", "abc")
    os.chown(made / "a/file", 1234, 1234)
    trees.seal(made)
    DiskMaker(paths, Disks(paths)).tree(key("tree"), made)
    root = unpacked(paths, "tree", folder / "root")
    assert [path.name for path in root.iterdir()] == ["app"]
    assert (root / "app/a/file").read_text() == "content of a"
    assert (root / "app/link").readlink() == Path("a/file")
    modes = {"app": 0o555, "app/a": 0o555, "app/a/file": 0o555, "app/b/file": 0o444}
    for name, mode in modes.items():
        status = (root / name).stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_mtime) == (mode, 0, 315_532_800), name
    assert Disks(paths).path(key("tree")).stat().st_mode & 0o777 == 0o444


@as_root
def test_layers_are_merged_as_overlayfs_merges_them(paths: Paths, folder: Path) -> None:
    low, high = tree(folder / "low", "abc"), tree(folder / "high", "bd", "new ")
    os.mknod(high / "a", 0o020000, 0)
    os.setxattr(high / "b", OPAQUE_XATTR, b"y")
    (high / "b/same").unlink()
    os.chown(high / "d/file", 33, 44)
    os.utime(high / "d/file", (7, 7))
    DiskMaker(paths, Disks(paths)).layers(key("image"), [low, high], ["c/same"])
    root = unpacked(paths, "image", folder / "root")
    files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    assert files == ["b/file", "c/file", "d/file", "d/same"]
    assert (root / "b/file").read_text() == "new b"
    status = (root / "d/file").stat()
    assert (status.st_uid, status.st_gid, status.st_mtime) == (33, 44, 7)
    assert mounts_of(paths.work) == []


@as_root
def test_layers_give_the_same_bytes_again(paths: Paths, folder: Path) -> None:
    layers = [tree(folder / "low", "abc"), tree(folder / "high", "bd", "new ")]
    for name in ("first", "second"):
        DiskMaker(paths, Disks(paths)).layers(key(name), layers)
    assert content(paths, "first") == content(paths, "second")


def test_a_full_disk_leaves_nothing(paths: Paths, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a tool that is killed."""
    made = tree(folder / "tree", "abc")
    program = folder / "mkfs"
    monkeypatch.setattr(erofs, "MKFS", str(program))
    broken = 'for word; do file=$before before=$word; done; echo half >"$file"; '
    for how, why in (
        ("echo '<E> [Error 28] No space left on device' >&2; exit 1", "No space left"),
        ("kill -9 $$", "-9"),
    ):
        program.write_text(f"#!/bin/sh\n{broken}{how}\n")
        program.chmod(0o755)
        with pytest.raises(WorldError, match=f"cannot make the disk: .*{why}") as caught:
            DiskMaker(paths, Disks(paths)).tree(key("tree"), made)
        assert "df" in str(caught.value.hint)
        assert not Disks(paths).has(key("tree"))
        assert list(Disks(paths).list()) == []


def test_without_the_tool_it_says_so(paths: Paths, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erofs, "MKFS", "/nonexistent/mkfs.erofs")
    with pytest.raises(UserError, match=r"mkfs\.erofs is not installed") as caught:
        DiskMaker(paths, Disks(paths)).tree(key("tree"), tree(folder / "tree", "a"))
    assert caught.value.hint == "apt-get install erofs-utils"


def test_what_a_broken_removal_left_is_not_there(paths: Paths, folder: Path) -> None:
    disks = Disks(paths)
    made = tree(folder / "tree", "ab")
    DiskMaker(paths, disks).tree(key("tree"), made)
    assert disks.has(key("tree"))
    disks.path(key("tree")).unlink()
    assert not disks.has(key("tree"))
    DiskMaker(paths, disks).tree(key("tree"), made)
    assert disks.has(key("tree"))


def test_an_upgraded_program_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the daemon runs: disks of another one have another name."""
    program = tmp_path / "mkfs.erofs"
    monkeypatch.setattr(erofs, "MKFS", str(program))
    for version in ("mkfs.erofs 1.5", "mkfs.erofs 1.8"):
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
        assert erofs.tool_version() == version
