"""A source that is a zip: unpacked, or refused."""

from __future__ import annotations

import io
import random
import stat
import struct
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from fourfold.build.archive import MOST_RECORDS
from fourfold.build.inspect import jar_headers
from fourfold.build.unpack import unpack
from fourfold.control.lambdas.code import BadZipError, check
from fourfold.errors import UserError
from fourfold.paths import Paths
from fourfold.store.files.blobs import Blobs

from .building import build, run
from .helpers import Home

pytestmark = pytest.mark.e2e


def zipped(source: Path, members: dict[str, str], link: str | None = None) -> Path:
    source.mkdir(exist_ok=True)
    with zipfile.ZipFile(source / "app.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
        if link is not None:
            info = zipfile.ZipInfo("link")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, link)
    return source / "app.zip"


def test_a_zip_is_unpacked(home: Home, source: Path) -> None:
    archive = zipped(source, {"shop-1.0/app.py": "print('zip')", "__MACOSX/x": ""})
    assert run(build(home, archive)) == "zip"
    assert len(list(home.sources.list())) == 2, "gc keeps what was in it as long as the zip"


def test_of_many_zips_the_last_are_remembered(home: Home, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.build.build.ZIPS", 2)
    for number in (1, 2, 3, 1):
        assert run(build(home, zipped(source, {"app.py": f"print({number})"}))) == str(number)
        assert len(home.builder._zips) <= 2


@pytest.mark.parametrize(
    ("members", "link", "said"),
    [
        ({"../evil": "x"}, None, "relative"),
        ({"/etc/evil": "x"}, None, "relative"),
        ({"a": "x"}, "/etc", "absolute"),
        ({"a": "x"}, "../..", "out of the source"),
        ({"bomb": "\0" * 2_000_000}, None, "more than a source may"),
    ],
)
def test_a_malicious_zip_is_refused(
    home: Home,
    source: Path,
    members: dict[str, str],
    link: str | None,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fourfold.build.unpack.MAX_BYTES", 1_000_000)
    with pytest.raises(UserError, match=said):
        build(home, zipped(source, members, link))
    assert home.left_over == []


def test_a_zip_that_lies_about_its_size_is_refused(home: Home, source: Path) -> None:
    archive = zipped(source, {"app.py": "#" * 100_000})
    raw = archive.read_bytes()
    real = (100_000).to_bytes(4, "little")
    archive.write_bytes(raw.replace(real, (10).to_bytes(4, "little")))
    with pytest.raises(UserError, match="cannot unpack"):
        build(home, archive)
    (source / "app.zip").write_bytes(io.BytesIO(b"PK no zip").getvalue())
    with pytest.raises(UserError, match="not a zip"):
        build(home, archive)


@pytest.mark.parametrize(
    ("members", "link", "said"),
    [
        ({"../evil": "x"}, None, "relative"),
        ({"python/x.py": "x"}, "../../../../app.py", "out of the source"),
        ({"python/x.py": "x"}, "/etc/passwd", "absolute"),
        ({"bomb": "\0" * 2_000_000}, None, "more than a source may"),
    ],
)
def test_a_malicious_layer_is_refused(
    home: Home, source: Path, members: dict[str, str], link: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fourfold.build.unpack.MAX_BYTES", 1_000_000)
    zipped(source, members, link).rename(source / "layer.zip")
    (source / "app.py").write_text("def handler(event, context): return 1")
    given = {"handler": "app.handler", "layers": ["layer.zip"]}
    with pytest.raises(UserError, match=said):
        build(home, source, pattern="function", function=given)
    assert home.left_over == []


def test_a_directory_of_more_than_a_source_may_have(tmp_path: Path) -> None:
    """Of 46 bytes for each member, `zipfile` would make 400: it is refused before it does."""
    directory = b"PK\1\2".ljust(46, b"\0") * (MOST_RECORDS + 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(directory), 0, 0)
    lie = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 33 * 1024**2, 0, 0)
    for content in (directory + end, bytes(33 * 1024**2) + lie):
        (tmp_path / "bomb.jar").write_bytes(content)
        tracemalloc.start()
        with pytest.raises(UserError, match="is longer than one of the 100,000 files"):
            unpack(tmp_path / "bomb.jar", "bomb.jar", Blobs(Paths.find({"FOURFOLD_HOME": str(tmp_path)}, 0)))
        assert jar_headers(tmp_path / "bomb.jar") == {}
        assert tracemalloc.get_traced_memory()[1] < 3 * len(content)
        tracemalloc.stop()
        with pytest.raises(BadZipError):
            check(content)


def test_names_twice_and_overlapping_members_are_refused(home: Home, source: Path) -> None:
    archive = zipped(source, {"a.py": "1"})
    with zipfile.ZipFile(archive, "a") as twice, pytest.warns(UserWarning, match="Duplicate name"):
        twice.writestr("a.py", "2")
    with pytest.raises(UserError, match="listed twice"):
        build(home, archive)
    with zipfile.ZipFile(archive, "w") as bomb:  # many names for the same compressed bytes
        bomb.writestr("a.py", "1" * 1000)
        first = bomb.infolist()[0]
        for number in range(3):
            other = zipfile.ZipInfo(f"b{number}.py")
            other.header_offset, other.CRC = first.header_offset, first.CRC
            other.compress_size = other.file_size = first.file_size
            bomb.filelist.append(other)
            bomb.NameToInfo[other.filename] = other
    with pytest.raises(UserError, match="cannot unpack"):
        build(home, archive)
    for names in (["lib/a", "lib"], ["A.py", "a.py"]):
        with pytest.raises(UserError, match="cannot accept"):
            build(home, zipped(source, dict.fromkeys(names, "x")))


KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_zip_is_refused_in_words(home: Home, tmp_path: Path, kind: int) -> None:
    """Wherever it is damaged: `zipfile` and what it decompresses with raise all kinds of errors."""
    whole, blobs, place = io.BytesIO(), Blobs(home.paths), tmp_path / "app.zip"
    with zipfile.ZipFile(whole, "w", kind) as archive:
        archive.writestr("é.txt", b"some text" * 20)
    chance = random.Random(kind)
    for at in range(len(whole.getvalue())):
        damaged = bytearray(whole.getvalue())
        for byte in (at, chance.randrange(len(damaged))):
            damaged[byte] = chance.randrange(256)
        place.write_bytes(damaged)
        with suppress(UserError):
            unpack(place, "app.zip", blobs)
        with suppress(BadZipError):
            check(bytes(damaged))
        jar_headers(place)
