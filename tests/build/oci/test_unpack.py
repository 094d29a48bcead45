"""Layers unpacked: what good ones give, and that no hostile one writes outside or stays."""

from __future__ import annotations

import gzip
import io
import os
import random
import stat
import subprocess
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from fourfold.build.oci.tar import MalformedError, Reader
from fourfold.build.oci.unpack import Blob, UnpackLimits, unpack
from fourfold.errors import UserError, WorldError

from .archives import entry, folder, hardlink, layer, symlink, tar

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="layers are unpacked as root, with their owners")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "work" / "root"


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder that must stay as it is."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "victim").write_text("untouched")
    yield place
    assert [path.name for path in place.iterdir()] == ["victim"]
    assert (place / "victim").read_text() == "untouched" and (place / "victim").stat().st_nlink == 1
    assert not (tmp_path / "work" / "evil").exists() and not (tmp_path / "evil").exists()


def made(root: Path) -> dict[str, str]:
    """Everything below root with its type and mode."""
    return {path.relative_to(root).as_posix(): stat.filemode(path.lstat().st_mode) for path in sorted(root.rglob("*"))}


# what layers are made of


def test_files_with_modes_owners_times_and_links(tmp_path: Path, root: Path) -> None:
    content = tar([
        folder("./"), folder("./bin", 0o750), entry("./bin/su", content=b"su!", mode=0o4755, uid=7),
        symlink("lib", "/usr/lib"), symlink("up", "../../../etc/passwd"), hardlink("bin/sudo", "./bin/su"),
        entry("deep/er/file", content=b"x" * 700_000), entry("naïve", content=b"1"), entry("a" * 250, content=b"2"),
        entry("p" * 90 + "/" + "q" * 200 + "/end", content=b"3"),
    ])  # fmt: skip
    assert unpack(layer(tmp_path, content), root) == 700_000 + 3 + 3
    assert made(root)["bin/su"] == "-rwsr-xr-x" and made(root)["bin"] == "drwxr-x---"
    assert made(root)["deep"] == made(root)["deep/er"] == "drwxr-xr-x"
    su = (root / "bin/su").stat()
    assert (su.st_uid, su.st_gid, su.st_mtime, su.st_nlink) == (7, 7, 1000, 2)
    assert str((root / "up").readlink()) == "../../../etc/passwd" and str((root / "lib").readlink()) == "/usr/lib"
    assert (root / "bin").stat().st_mtime == 1000, "though files were made in it later"
    assert (root / "deep/er/file").read_bytes() == b"x" * 700_000
    assert (root / ("p" * 90) / ("q" * 200) / "end").read_text() == "3"


def test_devices_of_a_whole_system_stay_out(tmp_path: Path, root: Path) -> None:
    content = tar(
        [folder("dev"), entry("dev/console", tarfile.CHRTYPE), entry("dev/initctl", tarfile.FIFOTYPE), entry("dev/x")]
    )
    unpack(layer(tmp_path, content), root)
    assert made(root) == {"dev": "drwxr-xr-x", "dev/x": "-rw-r--r--"}


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_each_format_of_tar(tmp_path: Path, root: Path, format: Literal[0, 1, 2]) -> None:
    long = "d/" + "n" * 99 if format == tarfile.USTAR_FORMAT else "d/" * 20 + "n" * 250
    content = tar([entry(long, content=b"long"), entry("f", content=b"f", uid=1_000_000)], format)
    unpack(layer(tmp_path, content), root)
    assert (root / long).read_text() == "long" and (root / "f").stat().st_uid == 1_000_000


def test_each_compression(tmp_path: Path, root: Path) -> None:
    content = tar([entry("f", content=random.Random(1).randbytes(300_000))])
    half = len(content) // 2
    members = gzip.compress(content[:half]) + gzip.compress(content[half:])
    zstd = subprocess.run(["zstd", "-c"], input=content, capture_output=True, check=True).stdout
    for number, packed in enumerate(
        [content, gzip.compress(content), members, zstd, gzip.compress(content) + bytes(9)]
    ):
        unpack(layer(tmp_path, content, packed), root.with_name(str(number)))
        assert (root.with_name(str(number)) / "f").stat().st_size == 300_000


def test_what_comes_later_wins(tmp_path: Path, root: Path) -> None:
    content = tar([
        entry("a", content=b"old"), entry("a", content=b"new"), folder("b"), entry("b/x"), entry("b", content=b"file"),
        entry("c", content=b"file"), folder("c", 0o700), symlink("d", "/etc"), folder("d"), entry("d/x"),
        entry("e/f/g"), entry("e/f/h"), entry("e", content=b"file"), folder("i"), folder("i", 0o700),
    ])  # fmt: skip
    unpack(layer(tmp_path, content), root)
    assert (root / "a").read_text() == "new"
    assert made(root) == {
        "a": "-rw-r--r--", "b": "-rw-r--r--", "c": "drwx------", "d": "drwxr-xr-x", "d/x": "-rw-r--r--",
        "e": "-rw-r--r--", "i": "drwx------",
    }  # fmt: skip


OPAQUE = {"opt", "again", "before"}


def test_whiteouts_as_overlayfs_wants_them(tmp_path: Path, root: Path) -> None:
    content = tar([
        entry("etc/.wh.motd"), folder("opt"), entry("opt/.wh..wh..opq"), entry("opt/new", content=b"1"),
        entry(".wh..wh.aufs"), entry(".wh.again"), folder("again"), entry("again/x"),
        folder("before"), entry("before/y"), entry(".wh.before"), entry("kept"), entry(".wh.kept"),
    ])  # fmt: skip
    unpack(layer(tmp_path, content), root)
    gone = (root / "etc/motd").lstat()
    assert stat.S_ISCHR(gone.st_mode) and gone.st_rdev == 0
    opaque = {
        name for name in ("opt", "again", "before", "etc") if "trusted.overlay.opaque" in os.listxattr(root / name)
    }
    assert opaque == {"opt", "again", "before"}
    assert set(made(root)) == {"etc", "etc/motd", "opt", "opt/new", "again", "again/x", "before", "before/y", "kept"}


def test_overlayfs_takes_the_layers(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    unpack(layer(tmp_path, tar([entry("a/gone"), entry("a/stays"), entry("b/hidden"), entry("c/old")])), lower)
    unpack(
        layer(tmp_path, tar([entry("a/.wh.gone"), folder("b"), entry("b/.wh..wh..opq"), entry(".wh.c"), folder("c")])),
        upper,
    )
    merged = tmp_path / "merged"
    merged.mkdir()
    script = 'mount -t overlay overlay -o "lowerdir=$1:$2" "$3" && cd "$3" && find . | sort'
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", str(upper), str(lower), str(merged)]
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no overlay here: {done.stderr}")
    assert done.stdout.split() == [".", "./a", "./a/stays", "./b", "./c"]


def test_capabilities_are_kept_and_orders_to_overlayfs_are_not(tmp_path: Path, root: Path) -> None:
    capability = b"\x01\x00\x00\x02\x00\x20\x00\x00" + bytes(12)
    pax = {"SCHILY.xattr.security.capability": capability.decode(), "SCHILY.xattr.trusted.overlay.redirect": "/etc"}
    unpack(layer(tmp_path, tar([entry("ping", pax=pax), entry("d", b"5", pax=pax)])), root)
    assert os.getxattr(root / "ping", "security.capability") == capability
    assert "trusted.overlay.redirect" not in os.listxattr(root / "ping") + os.listxattr(root / "d")


# hostile ones

NAMES = {
    "../evil": "leads out",
    "a/../../evil": "leads out",
    "a/../b": "leads out",
    "..": "leads out",
    "/evil": "absolute",
    "//evil": "absolute",
    ".wh.": "is no name",
    ".wh..": "is no name",
    ".wh...": "is no name",
    "a/.wh..": "is no name",
    "../.wh.evil": "leads out",
    "/.wh.evil": "absolute",
    ".wh.a/b": "a whiteout, which cannot hold",
    ".wh.a/.wh.b": "a whiteout, which cannot hold",
    "../.wh..wh..opq": "leads out",
    "n" * 256: "longer than 255",
    "d/" * 129 + "x": "deeper than 128",
    ("d" * 200 + "/") * 16: "longer than 3000",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])
def test_names_that_are_refused(tmp_path: Path, root: Path, outside: Path, name: str, kind: bytes) -> None:
    blob = layer(
        tmp_path, tar([entry(name, kind, link="x" if kind == tarfile.SYMTYPE else "")]), name="layer 2 of evil"
    )
    with pytest.raises(UserError, match=NAMES[name]) as caught:
        unpack(blob, root)
    assert "layer 2 of evil" in str(caught.value) and "entry" in str(caught.value)


ENTRIES = {
    "through a link to outside": ([symlink("a", "OUTSIDE"), entry("a/evil")], "a link or a file"),
    "a folder through a link": ([symlink("a", "OUTSIDE"), folder("a/evil")], "a link or a file"),
    "through a link up": ([symlink("a", ".."), entry("a/evil")], "a link or a file"),
    "through a link within": ([folder("b"), symlink("a", "b"), entry("a/x")], "a link or a file"),
    "through a link deep down": ([symlink("x/y", "OUTSIDE"), entry("x/y/z/evil")], "a link or a file"),
    "a whiteout through a link": ([symlink("a", "OUTSIDE"), entry("a/.wh.victim")], "a link or a file"),
    "opaque through a link": ([symlink("a", "OUTSIDE"), entry("a/.wh..wh..opq")], "a link or a file"),
    "through a whiteout": ([entry(".wh.a"), entry("a/x")], "a link or a file"),
    "hard link up": ([hardlink("a", "../outside/victim")], "leads out"),
    "hard link absolute": ([hardlink("a", "OUTSIDE/victim")], "absolute"),
    "hard link through a link": ([symlink("l", "OUTSIDE"), hardlink("a", "l/victim")], "a link or a file"),
    "hard link to nothing": ([hardlink("a", "b")], "no file of this layer"),
    "hard link into nowhere": ([hardlink("a", "b/c")], "not in this layer"),
    "hard link to a folder": ([folder("b"), hardlink("a", "b")], "no file of this layer"),
    "hard link to a whiteout": ([entry(".wh.b"), hardlink("a", "b")], "no file of this layer"),
    "hard link to itself": ([entry("a"), hardlink("a", "a")], "itself"),
    "hard link to the root": ([hardlink("a", ".")], "to nothing"),
    "hard link over its parent": ([entry("a/b"), hardlink("a", "a/b")], "what it replaces"),
    "character device": ([entry("null", tarfile.CHRTYPE)], "is a device"),
    "block device": ([entry("sda", tarfile.BLKTYPE)], "is a device"),
    "device beside /dev": ([folder("dev"), entry("developers/null", tarfile.CHRTYPE)], "is a device"),
    "pipe": ([entry("p", tarfile.FIFOTYPE)], "is a pipe"),
    "link without target": ([symlink("a", "")], "empty"),
    "the root as a link": ([symlink("./", "OUTSIDE"), entry("evil")], "replace the root"),
    "the root as a file": ([entry("./.")], "replace the root"),
    "sparse": ([entry("s", b"S")], "sparse"),
    "sparse in pax": ([entry("s", pax={"GNU.sparse.major": "1"})], "sparse"),
    "unknown type": ([entry("s", b"Z")], "unknown type"),
    "ends in a file": ([entry("a", content=b"x", size=10_000)], "ends in the middle|wrong checksum"),
    "name of pax": ([entry("a", pax={"path": "../evil"})], "leads out"),
    "link of pax": ([entry("a", tarfile.LNKTYPE, pax={"linkpath": "../outside/victim"})], "leads out"),
    "size of pax": ([entry("a", pax={"size": "-1"})], "for size"),
    "owner that is none": ([entry("a", pax={"uid": "4294967295"})], "for uid"),
    "group that is none": ([entry("a", pax={"gid": "4294967295"})], "for gid"),
    "many headers": ([entry("a", b"x", b"11 path=ab\n")] * 20, "extended headers"),
    "owner of pax": ([entry("a", pax={"uid": "1e9"})], "for uid"),
    "huge header": ([entry("a", pax={"comment": "x" * 2_000_000})], "extended header has"),
}  # fmt: skip


@pytest.mark.parametrize("case", ENTRIES)
def test_entries_that_are_refused(tmp_path: Path, root: Path, outside: Path, case: str) -> None:
    entries, why = ENTRIES[case]
    for info, _ in entries:
        info.linkname = info.linkname.replace("OUTSIDE", str(outside))
    with pytest.raises(UserError, match=why):
        unpack(layer(tmp_path, tar(entries)), root)


def test_bombs(tmp_path: Path, root: Path) -> None:
    zeros = tar([entry("a", content=bytes(5 * 1024**2))])
    with pytest.raises(UserError, match="more than 4 MiB"):
        unpack(layer(tmp_path, zeros), root, UnpackLimits(size=4 * 1024**2))
    assert (root / "a").stat().st_size <= 4 * 1024**2, "bounded while it is unpacked"
    many = tar([folder(f"d{number}") for number in range(101)])
    with pytest.raises(UserError, match="more than 100 entries"):
        unpack(layer(tmp_path, many), root.with_name("many"), UnpackLimits(entries=100))
    behind = tar([entry("a")]) + bytes(5 * 1024**2)
    with pytest.raises(UserError, match="more than 4 MiB"):
        unpack(layer(tmp_path, behind), root.with_name("behind"), UnpackLimits(size=4 * 1024**2))


def test_a_bomb_is_not_held_in_memory(tmp_path: Path, root: Path) -> None:
    tracemalloc.start()
    content = tar([entry("a", content=bytes(64 * 1024**2))])
    blob = layer(tmp_path, content)
    del content
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    unpack(blob, root)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < 8 * 1024**2


def test_keys_of_extended_headers_are_not_held_in_memory(tmp_path: Path, root: Path) -> None:
    records = [b"".join(b"12 %d%06d=\n" % (n, key) for key in range(50_000)) for n in range(8)]
    blob = layer(tmp_path, tar([entry("shared", b"g", content) for content in records]))
    tracemalloc.start()
    unpack(blob, root)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 1024**2


def test_folders_on_the_way_count(tmp_path: Path, root: Path) -> None:
    content = tar([entry("/".join(f"{n}{level}" for level in range(30))) for n in range(4)])
    with pytest.raises(UserError, match="too many folders"):
        unpack(layer(tmp_path, content), root, UnpackLimits(entries=100))


def test_layers_of_an_image_share_its_limits(tmp_path: Path, root: Path) -> None:
    limits = UnpackLimits(entries=10, size=20 * 1024**2)
    blob = layer(tmp_path, tar([entry("a/b/c", content=bytes(12 * 1024**2))]))
    unpack(blob, root, limits)
    assert limits.entries == 7 and limits.size < 8 * 1024**2
    with pytest.raises(UserError, match="more than 7 MiB"):
        unpack(blob, root.with_name("again"), limits)


BROKEN = {
    "not gzip inside": (b"\x1f\x8b" + b"garbage" * 100, "cannot unpack"),
    "gzip cut off": (gzip.compress(tar([entry("a", content=os.urandom(100_000))]))[:5000], "breaks off"),
    "gzip of nothing": (gzip.compress(b"") * 3000, "empty members"),
    "not tar": (b"hello" * 500, "wrong checksum|for a number"),
    "half a header": (bytes(10) + b"x" * 90, "in the middle"),
    "not zstd": (b"\x28\xb5\x2f\xfd" + b"garbage" * 10, "zstd cannot|wrong checksum|in the middle|SHA-256"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_blobs(tmp_path: Path, root: Path, case: str) -> None:
    packed, why = BROKEN[case]
    with pytest.raises(UserError, match=why):
        unpack(layer(tmp_path, b"", packed), root)


def test_digests_are_verified(tmp_path: Path, root: Path) -> None:
    blob = layer(tmp_path, tar([entry("a")]))
    other = "0" * 64
    with pytest.raises(UserError, match="the manifest says 000000000000"):
        unpack(Blob(blob.path, other, blob.diff_id, "x"), root.with_name("1"))
    assert not root.with_name("1").exists(), "nothing is unpacked from a blob that is another one"
    with pytest.raises(UserError, match="the image says 000000000000"):
        unpack(Blob(blob.path, blob.digest, other, "x"), root.with_name("2"))


def test_zstd_is_asked_for_by_name_where_it_is_missing(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="zstd, and that program is not installed") as caught:
        unpack(layer(tmp_path, b"", b"\x28\xb5\x2f\xfd"), root)
    assert caught.value.hint == "apt-get install zstd"


def test_it_can_be_stopped(tmp_path: Path, root: Path) -> None:
    calls = iter([False] * 20)
    with pytest.raises(InterruptedError):
        unpack(layer(tmp_path, tar([entry(f"f{n}") for n in range(50)])), root, stopped=lambda: next(calls, True))


def test_a_full_disk_is_the_worlds(tmp_path: Path) -> None:
    blob = layer(tmp_path, tar([entry("a")]))
    (tmp_path / "file").write_text("")
    with pytest.raises(WorldError, match="cannot unpack layer 1 of x"):
        unpack(blob, tmp_path / "file" / "root")


def test_random_bytes_never_get_past_the_reader() -> None:
    """Bits turned at random: MalformedError or an entry, never anything else, and always an end."""
    content = bytearray(tar([folder("a"), entry("a/b", content=b"x" * 600, pax={"mtime": "1.5"}), symlink("l", "b")]))
    generator = random.Random(7)
    for _ in range(3000):
        broken = bytearray(content)
        for _ in range(generator.randrange(1, 6)):
            broken[generator.randrange(len(broken))] = generator.randrange(256)
        try:
            for _ in Reader(io.BytesIO(bytes(broken))):
                pass
        except MalformedError:
            continue
