"""A source that comes as a tar: unpacked into manifest and blobs, or refused; nothing is ever written by its names."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fourfold.build.untar import unpack_archive
from fourfold.errors import TooLargeError, UserError
from fourfold.paths import Paths
from fourfold.store import layout
from fourfold.store.files.blobs import Blobs


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths.find({"FOURFOLD_HOME": str(tmp_path / "home")}, 0)
    layout.create(made, root=False)
    return made


def member(
    name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644
) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    padded = content.ljust(-(-len(content) // 512) * 512, b"\0") if kind == tarfile.REGTYPE else b""
    return info.tobuf(tarfile.PAX_FORMAT) + padded


def take(paths: Paths, *members: bytes, wrap: Callable[[bytes], bytes] = lambda whole: whole) -> dict[str, str | bytes]:
    """Path -> content of a file, or target of a link."""
    file = paths.work / "it"
    file.write_bytes(wrap(b"".join(members) + bytes(1024)))
    blobs = Blobs(paths)
    entries = unpack_archive(file, "it", blobs).entries
    return {each.path: each.link or blobs.path(each.sha256).read_bytes() for each in entries}


def test_what_is_in_it(paths: Paths) -> None:
    members = [
        member("./", kind=tarfile.DIRTYPE),
        member("./a.py", b"one"),
        member("./bin/run", b"two", mode=0o755),
        member("./link", kind=tarfile.SYMTYPE, target="bin/run"),
        member("./again", kind=tarfile.LNKTYPE, target="./a.py"),
        member("./a.py", b"newer"),
    ]
    for wrap in (bytes, gzip.compress):
        found = take(paths, *members, wrap=wrap)
        assert found == {"a.py": b"newer", "again": b"one", "bin/run": b"two", "link": "bin/run"}
    assert not list(paths.work.glob("blobs-*"))


def test_the_one_folder_around_it_is_taken_off(paths: Paths) -> None:
    """As `git archive --prefix` and downloads of repositories have it, with git's own header in front."""
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "0" * 40}) as made:
            for name in ("shop-1.0/app.py", "shop-1.0/lib/x.py"):
                made.addfile(tarfile.TarInfo(name))
        whole = file.getvalue()
    assert take(paths, whole).keys() == {"app.py", "lib/x.py"}


HUGE = 50_000_000


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([member("../evil")], "must be relative"),
        ([member("a/../../evil")], "must be relative"),
        ([member("/etc/evil")], "must be relative"),
        ([member("a"), member("b", kind=tarfile.SYMTYPE, target="/etc/shadow")], "absolute path"),
        ([member("a"), member("b", kind=tarfile.SYMTYPE, target="../../x")], "out of the source"),
        ([member("a"), member("b", kind=tarfile.LNKTYPE, target="/etc/shadow")], "hard link"),
        ([member("a", kind=tarfile.SYMTYPE, target="b"), member("a/c")], "cannot have files in it"),
        ([member("a", kind=tarfile.CHRTYPE)], "device"),
        ([member("a", kind=tarfile.FIFOTYPE)], "pipe"),
        ([member("a"), member("A")], "differ only in case"),
        ([member(f"d{n}/", kind=tarfile.DIRTYPE) for n in range(60)], "more than"),
        ([member(f"f{n}") for n in range(60)], "more than"),
        ([member("a", bytes(70_000)), member("b", bytes(70_000))], "'b': a source may have"),
        ([member("a", bytes(HUGE))], "a source may have"),
        ([member("a/" * 2500)], "a name is too long"),
        ([member("a", kind=tarfile.SYMTYPE, target="\U0001f4a3" * 5000)], "a name is too long"),
        ([member(f"{n}/" + "a/" * 400 + "x") for n in range(40)], "more than 100,000 letters"),
        ([member(f"{n}", kind=tarfile.SYMTYPE, target="x" * 3900) for n in range(40)], "more than 100,000 letters"),
        ([b"neither tar nor zip".ljust(512)], "no tar archive"),
        ([], "no files"),
    ],
)
def test_what_is_refused(paths: Paths, members: list[bytes], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is, no file of it is kept but under its digest, and none outside."""
    monkeypatch.setattr("fourfold.build.untar.MAX_FILES", 50)
    monkeypatch.setattr("fourfold.build.untar.MOST_ENTRIES", 55)
    monkeypatch.setattr("fourfold.build.untar.MAX_BYTES", 100_000)
    monkeypatch.setattr("fourfold.build.untar.MOST_BYTES", 1_000_000)
    monkeypatch.setattr("fourfold.store.manifest.MAX_LETTERS", 100_000)
    with pytest.raises(UserError, match=said):
        take(paths, *members, wrap=gzip.compress)
    assert {path.name for path in paths.work.iterdir()} == {"it"}


def test_one_that_breaks_off(paths: Paths) -> None:
    with pytest.raises(UserError, match=r"breaks off|ends in the middle"):
        take(paths, member("a", bytes(100_000)), wrap=lambda whole: gzip.compress(whole)[:-20])


def test_too_large_is_told_as_that(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.build.untar.MOST_BYTES", 1000)
    with pytest.raises(TooLargeError, match="a source may have") as caught:
        take(paths, member("a", bytes(HUGE)), wrap=gzip.compress)
    assert caught.value.status == 413
