"""A backup made of a home that is in use, and a home made of that again; what is refused, and changes nothing."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import tarfile
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fourfold.control.keeping import members as m
from fourfold.control.keeping import tree, vault
from fourfold.control.keeping.rebuild import PENDING
from fourfold.control.keeping.restore import Restored, restore
from fourfold.errors import ConflictError, FourfoldError, UserError, WorldError
from fourfold.paths import Paths
from fourfold.store.db import open_database
from fourfold.store.files.artifacts import Artifacts
from fourfold.store.migrations import known_migrations
from fourfold.store.tables.locks import Lock, Locks
from fourfold.store.tables.meta import Meta
from tests.control.keeping.conftest import ARTIFACT, BLOB, LOCK_KEY, ODD, PASSPHRASE, SOURCE, all_of, made
from tests.store.samples import FixedClock, open_in


def restored(paths: Paths, content: bytes, tmp_path: Path, **given: Any) -> Restored:
    file = tmp_path / "backup.tar"
    file.write_bytes(content)
    fields: dict[str, Any] = {"now": "today", "force": False, "without_keys": False}
    fields |= {"passphrase": lambda: PASSPHRASE}
    with file.open("rb") as raw:
        return restore(paths, raw, **(fields | given))


def damage(store: Path) -> None:
    store.write_bytes(b"x" * 4096)
    store.with_name(f"{store.name}-wal").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("harm", "said", "hint"),
    [
        (Path.unlink, "it was removed", "`fourfold doctor` says how to have it back"),
        (damage, "the file is damaged", "fourfold restore --force"),
    ],
)
def test_a_store_that_cannot_be_copied(home: Paths, harm: Callable[[Path], object], said: str, hint: str) -> None:
    harm(home.database)
    with pytest.raises(WorldError, match=f"cannot copy the store .*: {said}") as caught:
        made(home)
    assert hint in (caught.value.hint or "")


def test_there_and_back(home: Paths, empty: Paths, tmp_path: Path) -> None:
    content = made(home)
    assert b"s3cret" not in content and home.secrets_key.read_bytes().strip() not in content
    assert b"a certificate" not in content
    before = all_of(home.volumes)
    result = restored(empty, gzip.compress(content), tmp_path)
    assert (result.apps, result.volumes, result.replaced) == (["shop"], 1, None)
    assert result.notes == ["volumes of shop.web were read while they ran: they are as after a power cut"]
    for name in ("pipe", "s"):
        del before[f"shop/web/data/{name}"]
    for name in ("program", "twin"):  # no program gets powers by a backup
        mode, text = before[f"shop/web/data/{name}"]
        before[f"shop/web/data/{name}"] = (mode & ~stat.S_ISUID, text)
    assert all_of(empty.volumes) == before
    volume = empty.volumes / "shop/web/data"
    assert (volume / "program").stat().st_ino == (volume / "twin").stat().st_ino
    assert all_of(empty.blobs) == all_of(home.blobs) and all_of(empty.sources) == all_of(home.sources)
    assert all_of(empty.artifacts / ARTIFACT) == all_of(home.artifacts / ARTIFACT)
    assert all_of(empty.certificates) == all_of(home.certificates) and all_of(empty.usage) == all_of(home.usage)
    assert empty.settings.read_text() == "builds = 3\n"
    assert stat.S_IMODE(empty.secrets_key.stat().st_mode) == stat.S_IMODE(empty.database.stat().st_mode) == 0o600
    assert Locks(empty.locks).get(LOCK_KEY) == Locks(home.locks).get(LOCK_KEY) is not None
    store = open_in(empty, FixedClock())
    assert store.secrets.resolve("shop", ["API_KEY"]) == {"API_KEY": "s3cret"}
    assert store.meta.get(PENDING) is not None
    store.database.close()
    assert not list(empty.work.iterdir())


def test_common_tools_can_read_it(home: Paths, tmp_path: Path) -> None:
    (tmp_path / "backup.tar").write_bytes(made(home, artifacts=False))
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "xf", "../backup.tar"], cwd=tmp_path / "out", check=True)
    said = subprocess.run(["sha256sum", "-c", "--strict", m.SUMS], cwd=tmp_path / "out", capture_output=True)
    assert said.returncode == 0, said
    assert m.sum_line("0" * 64, ODD).startswith(b"\\" + b"0" * 64 + b"  line\\nbreak \\\\ and ")
    header = json.loads((tmp_path / "out" / m.HEADER).read_text())
    assert header["store"] == known_migrations()[-1].number and header["running"] == ["shop.web"]
    with tarfile.open(tmp_path / "backup.tar") as archive:
        names = archive.getnames()
    assert names[0] == m.HEADER and names[-1] == m.SUMS and not any(name.startswith(m.ARTIFACTS) for name in names)


def test_keys_in_the_clear_and_none(home: Paths, empty: Paths, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 10"):
        made(home, passphrase="short")
    content = made(home, keys="none")
    result = restored(empty, content, tmp_path)
    assert "the keys were not restored" in result.notes[1] and not empty.secrets_key.exists()
    content = made(home, keys="plain")
    restored(empty, content, tmp_path, force=True, passphrase=lambda: pytest.fail("nothing is sealed"))
    assert empty.secrets_key.read_bytes() == home.secrets_key.read_bytes()


def test_a_home_that_is_not_empty(home: Paths, empty: Paths, tmp_path: Path) -> None:
    content = made(home)
    before = all_of(home.state)
    with pytest.raises(ConflictError, match=r"has apps already \(shop\)"):
        restored(home, content, tmp_path)
    assert all_of(home.state) == before
    kept = empty.volumes / "shop/web/data/kept"
    kept.parent.mkdir(parents=True)
    kept.write_text("of an app that is down")
    with pytest.raises(ConflictError, match=r"the volume .* is here already"):
        restored(empty, content, tmp_path)
    assert kept.read_text() and not empty.database.exists()
    empty.settings.write_text("builds = 4\n")
    empty.secrets_key.write_text("another")
    result = restored(empty, content, tmp_path, force=True)
    assert result.replaced == str(empty.state / "replaced-today")
    aside = empty.state / "replaced-today"
    assert (aside / "volumes/shop/web/data/kept").read_text() == "of an app that is down"
    assert (aside / "secrets.key").read_text() == "another"
    assert empty.settings.read_text() == "builds = 4\n" and f"{empty.settings} was left as it is" in result.notes[1]


def retarred(content: bytes, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> bytes:
    """With other members; their list of digests is as it was."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = [
            (each, reader.read() if each.isreg() and (reader := archive.extractfile(each)) else b"") for each in archive
        ]
    change(found)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in found:
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


Members = list[tuple[tarfile.TarInfo, bytes]]


def plus(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Callable[[bytes], bytes]:
    """One more, before the last."""

    def change(found: Members) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        found.insert(-1, (info, data))

    return lambda content: retarred(content, change)


def headed(**fields: Any) -> Callable[[bytes], bytes]:
    def change(found: Members) -> None:
        info, data = found[0]
        found[0] = (info, json.dumps(json.loads(data) | fields).encode())

    return lambda content: retarred(content, change)


def replaced(name: str, by: bytes) -> Callable[[bytes], bytes]:
    def change(found: Members) -> None:
        found[:] = [(info, by if info.name == name else data) for info, data in found]

    return lambda content: retarred(content, change)


def summed(content: bytes) -> bytes:
    """With a list of digests that is right."""

    def change(found: Members) -> None:
        lines = [m.sum_line(sha256(data).hexdigest(), info.name) for info, data in found[:-1] if info.isreg()]
        found[-1] = (found[-1][0], b"".join(lines))

    return retarred(content, change)


def other_database() -> bytes:
    with closing(sqlite3.connect(":memory:")) as made:
        made.execute(f"PRAGMA user_version = {known_migrations()[-1].number}")
        made.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
        return bytes(made.serialize())


def without(name: str) -> Callable[[bytes], bytes]:
    def change(found: Members) -> None:
        found[:] = [each for each in found if each[0].name != name]

    return lambda content: retarred(content, change)


def damaged_gzip(content: bytes) -> bytes:
    """Its deflate stream begins with a kind of block that there is not (RFC 1951, 3.2.3)."""
    packed = gzip.compress(content)
    return packed[:10] + b"\xff" + packed[11:]


DATA = "volumes/shop/web/data"
BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda content: b"", "breaks off before its end"),
    "text": (lambda content: b"not a backup\n" * 100, "it is no backup of Fourfold"),
    "another tar": (without(m.HEADER), "it is no backup of Fourfold"),
    "cut in a header": (lambda content: content[:700], "ends in the middle"),
    "cut in a file": (lambda content: content[: len(content) // 2], "ends in the middle"),
    "without its end": (without(m.SUMS), "breaks off before its end"),
    "damaged in gzip": (damaged_gzip, "invalid"),
    "cut in gzip": (lambda content: gzip.compress(content)[:-20], "end"),
    "one bit": (replaced(f"{DATA}/empty", b"x"), "do not have the digests"),
    "a blob of another content": (replaced(f"blobs/{BLOB}", b"evil"), "another content than its name says"),
    "a newer store": (headed(store=9999, version="9.9.0"), r"Fourfold 9.9.0 made it.*newer than this program knows"),
    "a newer format": (headed(format=2, version="9.9.0"), "its format 2 is newer than 1"),
    "a header of nonsense": (headed(keys="open"), "is damaged"),
    "without its database": (without(m.DATABASE), "digests|database"),
    "a damaged database": (replaced(m.DATABASE, b"SQLite format 3\0" + b"x" * 5000), "database|store|digests"),
    "a damaged database of a user": (
        lambda content: headed(user=1000)(replaced(m.DATABASE, b"SQLite format 3\0" + b"x" * 5000)(content)),
        "its database is damaged|digests",
    ),
    "a database of something else": (
        lambda content: summed(replaced(m.DATABASE, other_database())(content)),
        r"its database is damaged \(no such table",
    ),
    "a header without an end": (replaced(m.HEADER, b"[" * 100_000), "it is no backup of Fourfold"),
    "hours for a key": (
        replaced(m.KEYS, vault.sealed({}, PASSPHRASE).replace(b'"p": 1', b'"p": 99')),
        "keys are damaged",
    ),
    "damaged keys": (replaced(m.KEYS, b"{}"), "keys are damaged"),
    "keys of strange names": (replaced(m.KEYS, vault.plain({"../evil": b"x"})), "its keys hold '../evil'"),
    "a file more": (plus(f"{DATA}/zz", b"x"), "that it does not list"),
    "an unknown member": (plus("evil"), "has no place"),
    "an absolute name": (plus("/etc/evil"), "has no place"),
    "a way out": (plus(f"{DATA}/../../../../evil"), "leads out"),
    "a way out of all": (plus("../evil"), "has no place"),
    "a blob by a way out": (plus("blobs/../../evil"), "has no place"),
    "a link on the way": (plus(f"{DATA}/out/evil", b"x"), "is a link or a file"),
    "a hard link to elsewhere": (plus(f"{DATA}/h", kind=tarfile.LNKTYPE, link="secrets.key"), "names no tree"),
    "a hard link up": (plus(f"{DATA}/h", kind=tarfile.LNKTYPE, link=f"{DATA}/../../x"), "leads out"),
    "a device": (plus(f"{DATA}/d", kind=tarfile.CHRTYPE), "it is a device"),
    "a volume that is hidden": (plus("volumes/shop/web/.data.new/x"), "hidden"),
    "no volume": (plus("volumes/shop/web"), "names no tree"),
    "a link for the database": (plus(m.SETTINGS, kind=tarfile.SYMTYPE, link="/etc/x"), "has no place|is no file"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case: str, home: Paths, empty: Paths, tmp_path: Path) -> None:
    """Whole, and before anything has changed."""
    change, expected = BAD[case]
    before = all_of(empty.state)
    with pytest.raises(FourfoldError, match=expected) as caught:
        restored(empty, change(made(home)), tmp_path)
    assert isinstance(caught.value, UserError | WorldError)
    assert all_of(empty.state) == before
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]


def test_a_wrong_passphrase(home: Paths, empty: Paths, tmp_path: Path) -> None:
    content = made(home)
    with pytest.raises(UserError, match="it is not this passphrase; nothing was changed"):
        restored(empty, content, tmp_path, passphrase=lambda: "wrong horse battery")
    assert not empty.database.exists() and not list(empty.blobs.iterdir())
    result = restored(empty, content, tmp_path, without_keys=True, passphrase=lambda: pytest.fail("asked"))
    assert "the keys were not restored" in result.notes[1]


def test_a_disk_that_is_full(home: Paths, empty: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing half made is left, and the same can be tried again."""
    content = made(home)

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device", str(folder))

    monkeypatch.setattr("fourfold.store.files.trees.sync_file_system", full)
    with pytest.raises(WorldError, match="cannot restore the backup: No space left"):
        restored(empty, content, tmp_path)
    assert not empty.database.exists() and not list(empty.work.iterdir())
    monkeypatch.undo()
    assert restored(empty, content, tmp_path).apps == ["shop"]


def test_one_that_breaks_off_while_it_is_put_into_place(
    home: Paths, empty: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is the last: without it, the home has no apps, and the same is done once more."""
    content = made(home)
    real = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == m.DATABASE:
            raise OSError(5, "Input/output error", str(path))
        return real(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(WorldError, match="Input/output error") as caught:
        restored(empty, content, tmp_path)
    assert "restore once more, with --force" in str(caught.value.hint)
    assert not empty.database.exists() and not list(empty.work.iterdir())
    monkeypatch.undo()
    assert restored(empty, content, tmp_path, force=True, now="later").apps == ["shop"]
    with open_database(empty.database) as database:
        Meta(database).put("life", "the second")

    def failing_keys(path: Path, *_: object) -> None:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("fourfold.control.keeping.restore.write_atomically", failing_keys)
    with pytest.raises(WorldError):
        restored(empty, content, tmp_path, force=True, now="last")
    assert not empty.database.exists(), "the old one is never met with the keys of another"
    with open_database(empty.state / "replaced-last/fourfold.db") as database:
        assert Meta(database).get("life") == "the second"
    monkeypatch.undo()
    shutil.rmtree(empty.state / "replaced-last")
    assert all_of(empty.state / "replaced-later/volumes").keys() == all_of(empty.volumes).keys()


def test_folders_on_another_disk(home: Paths, empty: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = made(home)
    real = Path.rename

    def elsewhere(path: Path, target: Path) -> Path:
        if path.name in ("data", BLOB) and target.name == path.name:
            raise OSError(18, "Invalid cross-device link", str(path))
        return real(path, target)

    monkeypatch.setattr(Path, "rename", elsewhere)
    restored(empty, content, tmp_path)
    monkeypatch.undo()
    assert (empty.volumes / "shop/web/data/deep" / ODD / "file").read_bytes().endswith(b"end")
    assert all_of(empty.blobs) == all_of(home.blobs) and not list(empty.work.iterdir())
    assert [path.name for path in (empty.volumes / "shop/web").iterdir()] == ["data"]


def test_files_that_change_meanwhile(
    home: Paths, empty: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removed, shortened, grown, replaced by a link: what comes is whole, and holds nothing of elsewhere."""
    volume = home.volumes / "shop/web/data"
    real = os.stat

    def meddling(path: Any, **options: Any) -> os.stat_result:
        found = real(path, **options)
        if path == "empty":
            (volume / "empty").unlink()
        elif path == "program":
            (volume / "program").unlink()
            (volume / "program").symlink_to("/etc/shadow")
        elif path == "deep":
            (volume / "deep").rename(volume / "away")
            (volume / "deep").symlink_to("/etc")
        return found

    monkeypatch.setattr("fourfold.control.keeping.tree.os.stat", meddling)
    content = made(home)
    monkeypatch.undo()
    restored(empty, content, tmp_path)
    assert {path.name for path in (empty.volumes / "shop/web/data").iterdir()} == {"out", "twin", "x" * 200}


def test_a_file_that_shrinks_keeps_its_size() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"abc")
    os.close(writer)
    assert b"".join(tree.content(reader, 600_000)) == b"abc" + bytes(599_997)
    os.close(reader)


def test_a_source_that_is_lost_is_told(home: Paths, empty: Paths, tmp_path: Path) -> None:
    (home.sources / SOURCE.digest).unlink()
    result = restored(empty, made(home), tmp_path)
    assert "1 sources were lost before the backup" in result.notes[-1]


def test_what_is_built_again_has_the_versions_that_it_had(home: Paths) -> None:
    """Unless something newer has been resolved here since."""
    artifacts = Artifacts(home)
    assert artifacts.lock(LOCK_KEY) == Lock("uv.lock", "six==1.16\n") and artifacts.lock("c" * 64) is None
    record = home.artifacts / ARTIFACT / "artifact.json"
    for built_at, expected in ((6.0, "six==1.16\n"), (8.0, "six==1.17\n")):
        locks = {LOCK_KEY: {"name": "uv.lock", "text": "six==1.17\n"}}
        record.write_text(json.dumps(json.loads(record.read_text()) | {"locks": locks, "built_at": built_at}))
        assert (found := artifacts.lock(LOCK_KEY)) is not None and found.text == expected
