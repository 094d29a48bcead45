"""The database under bad luck: every failure leaves the old state and says what to do."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fourfold.errors import UserError, WorldError
from fourfold.store.db import Database, copy_of, open_database
from fourfold.store.migrations import Migration, known_migrations
from fourfold.store.tables.builds import Builds
from fourfold.store.tables.instances import Instances
from fourfold.store.tables.meta import Meta
from fourfold.store.tables.releases import Releases
from fourfold.store.tables.services import Services
from tests.store.namespace import run_with_mounts
from tests.store.samples import build, release, service_row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def database(path: Path) -> Database:
    return open_database(path)


def schema(path: Path) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    return found


# opening


def test_a_new_store_is_durable_and_only_ours(path: Path, database: Database) -> None:
    pragmas = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert {name: database.query(f"PRAGMA {name}")[0][0] for name in pragmas} == pragmas
    Meta(database).put("a", "b")
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@pytest.mark.parametrize("version", range(len(known_migrations()) + 1))
def test_every_older_version_becomes_the_newest(path: Path, tmp_path: Path, version: int) -> None:
    open_database(tmp_path / "new.db").close()
    if version:
        open_database(path, migrations=known_migrations()[:version]).close()
    with open_database(path) as opened:
        assert opened.query("PRAGMA user_version")[0] == (len(known_migrations()),)
    assert schema(path) == schema(tmp_path / "new.db")


def test_artifacts_of_releases_become_builds(path: Path) -> None:
    """Rows of a store that knew processes only."""
    with open_database(path, migrations=known_migrations()[:1]) as old:
        old.execute("INSERT INTO apps VALUES ('shop', '{}', '{}', '', '[]', 1)")
        for number in (1, 2):
            values = ("shop", "web", number, "{}", f"source-{number}", f"artifact-{number}", '["./run"]', "ann", 5.0)
            old.execute("INSERT INTO releases VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, ?)", values)
        service = "'shop', 'web', 2, 'process', 1, '[]', 790000, NULL, 0, 0, 0, '', '{}'"
        old.execute(f"INSERT INTO services VALUES ({service})")
        row = "'shop.web-2-abcd', 'shop', 'web', 2, '2.process.0.', 'serve', 'ready', 5, 5, 20000, 7, 1, 'boot', NULL"
        old.execute(f"INSERT INTO instances VALUES ({row}, 1, 0, 0, 5, 5, NULL)")
    with open_database(path) as opened:
        assert Builds(opened).of("shop", "web") == [
            build("web", number, artifact=f"artifact-{number}", made_at=5.0) for number in (2, 1)
        ]
        assert Releases(opened).of("shop", "web") == [
            release("web", number, source=f"source-{number}", created_at=5.0) for number in (2, 1)
        ]
        (instance,) = Instances(opened).alive()
        assert (instance.pattern, instance.port, instance.address) == ("process", 20000, None)
        assert Services(opened).need("shop", "web").release == 2
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            Releases(opened).remove("shop", "web", 2)


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.number for migration in known_migrations()] == list(range(1, len(known_migrations()) + 1))


def test_migrations_run_once_and_in_order(path: Path) -> None:
    steps = [Migration(1, "CREATE TABLE t (a);\nINSERT INTO t VALUES (1);"), Migration(2, "INSERT INTO t VALUES (2);")]
    open_database(path, migrations=steps[:1]).close()
    for _ in range(2):
        with open_database(path, migrations=steps) as opened:
            assert opened.query("SELECT a FROM t") == [(1,), (2,)]


def test_the_store_is_kept_as_it_was_before_its_tables_change(path: Path) -> None:
    """The way back to the older program; one copy, of the last upgrade that changed anything."""
    steps = [Migration(number, f"CREATE TABLE t{number} (a INTEGER);\n") for number in (1, 2, 3)]
    with open_database(path, migrations=steps[:1]) as first:
        first.execute("INSERT INTO t1 VALUES (7)")
    assert list(path.parent.glob("*version*")) == [], "a new one has nothing to go back to"
    open_database(path, migrations=steps[:2]).close()
    open_database(path, migrations=steps).close()
    open_database(path, migrations=steps).close()
    assert [each.name for each in path.parent.glob("*version*")] == [f"{path.name}.version-2"]
    kept = copy_of(path, 2)
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.rename(path)
    with open_database(path, migrations=steps[:2]) as opened:
        assert opened.query("SELECT a FROM t1") == [(7,)] and opened.check() == []


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    """Nor do those before it."""
    steps = [
        Migration(1, "CREATE TABLE t (a);"),
        Migration(2, "CREATE TABLE u (a);"),
        Migration(3, "DROP TABLE t;\nCREATE TABLE v (a);\nSELECT nonsense;"),
    ]
    open_database(path, migrations=steps[:1]).close()
    with pytest.raises(sqlite3.OperationalError):
        open_database(path, migrations=steps)
    with open_database(path, migrations=steps[:1]) as opened:
        assert opened.query("SELECT name FROM sqlite_master") == [("t",)]


def test_half_a_statement_in_a_migration_is_an_error() -> None:
    with pytest.raises(ValueError, match="middle of a statement"):
        list(Migration(1, "CREATE TABLE t (\n").statements())


def test_two_programs_may_open_an_old_store_at_once(path: Path) -> None:
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            open_database(path, busy_seconds=60).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_newer_store_is_refused_untouched(path: Path, database: Database) -> None:
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match="a newer Fourfold wrote it") as caught:
        open_database(path)
    assert caught.value.hint
    assert path.read_bytes() == before


# transactions


def test_transactions_nest_and_undo_only_themselves(database: Database) -> None:
    meta = Meta(database)
    with database.transaction():
        meta.put("outer", "1")
        with pytest.raises(RuntimeError), database.transaction():
            meta.put("inner", "1")
            with database.transaction():
                meta.put("innermost", "1")
            raise RuntimeError
        with database.transaction():
            meta.put("second", "1")
    assert [meta.get(key) for key in ("outer", "inner", "innermost", "second")] == ["1", None, None, "1"]


def test_an_error_undoes_the_whole_transaction(path: Path, database: Database) -> None:
    meta = Meta(database)
    with pytest.raises(RuntimeError), database.transaction():
        meta.put("outer", "1")
        with database.transaction():
            meta.put("inner", "1")
        raise RuntimeError
    assert meta.get("outer") is None and meta.get("inner") is None
    meta.put("after", "1")
    with open_database(path) as other:
        assert Meta(other).get("after") == "1"


def test_no_statement_escapes_a_transaction_that_sqlite_has_undone(path: Path, database: Database) -> None:
    meta = Meta(database)
    with pytest.raises(WorldError, match="already undone"), database.transaction():
        meta.put("before", "1")
        database.execute("ROLLBACK")  # as SQLite does by itself after some errors
        meta.put("escaped", "1")
    assert meta.get("before") is None and meta.get("escaped") is None


def test_a_reference_that_leads_nowhere_undoes_the_commit(database: Database) -> None:
    with pytest.raises(sqlite3.IntegrityError), database.transaction():
        Services(database).put(service_row())
    assert database.query("SELECT count(*) FROM services")[0] == (0,)
    with database.transaction():
        Meta(database).put("still", "works")


# bad luck

KILLED = """
import sys
from pathlib import Path
from fourfold.store.db import open_database
from fourfold.store.tables.meta import Meta

database = open_database(Path(sys.argv[1]))
meta = Meta(database)
meta.put("state", "old")
database.execute("PRAGMA cache_size = 10")  # so that pages of the open transaction reach the disk
with database.transaction():
    meta.put("state", "new")
    for number in range(2000):
        meta.put(f"key-{number}", "x" * 1000)
    print("in the middle", flush=True)
    sys.stdin.read()
"""


def test_kill_in_the_middle_of_a_transaction_leaves_the_old_state(path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert child.stdout and child.stdin
    assert child.stdout.readline() == "in the middle\n"
    assert path.with_name("store.db-wal").stat().st_size > 1_000_000
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    child.stdin.close()
    with open_database(path) as opened:
        assert Meta(opened).get("state") == "old"
        assert opened.query("SELECT count(*) FROM meta")[0] == (1,)
        assert opened.check() == []


ELSEWHERE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT value FROM meta WHERE key = 'a'").fetchone()[0])
connection.close()
"""


def test_a_second_connection_that_is_closed_leaves_the_first_one_its_locks(path: Path, database: Database) -> None:
    """What `fourfold doctor` does in the daemon. The last program to close a store deletes its log."""

    def read_elsewhere() -> str:
        command = [sys.executable, "-c", ELSEWHERE, str(path)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    open_database(path).close()
    Meta(database).put("a", "before")
    assert read_elsewhere() == "before"
    Meta(database).put("a", "after")
    assert read_elsewhere() == "after"


def test_a_locked_store_says_so_and_works_again_afterwards(path: Path, database: Database) -> None:
    database.close()
    with open_database(path) as other, open_database(path, busy_seconds=0.05) as ours:
        with other.transaction():
            Meta(other).put("theirs", "1")
            with pytest.raises(WorldError, match="another program holds it locked") as caught:
                Meta(ours).put("ours", "1")
            assert "close whatever else" in (caught.value.hint or "")
            with pytest.raises(WorldError, match="locked"), ours.transaction():
                raise AssertionError("never entered")
        Meta(ours).put("ours", "1")
        assert (Meta(other).get("theirs"), Meta(other).get("ours")) == ("1", "1")


def test_a_full_store_keeps_the_old_state_and_goes_on(path: Path, database: Database) -> None:
    meta = Meta(database)
    meta.put("state", "old")
    ((pages,),) = database.query("PRAGMA page_count")
    database.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(WorldError, match="its disk is full") as caught, database.transaction():
        meta.put("state", "new")
        with database.transaction():
            meta.put("large", "x" * 100_000)
    assert "nothing was changed" in (caught.value.hint or "")
    assert meta.get("state") == "old"
    meta.put("state", "small change")
    assert meta.get("state") == "small change"


FULL_DISK = """
    import subprocess, sys
    from pathlib import Path
    from fourfold.errors import WorldError
    from fourfold.store.db import open_database
    from fourfold.store.tables.meta import Meta

    folder = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
    database = open_database(folder / "store.db")
    meta = Meta(database)
    meta.put("state", "old")
    filler = (folder / "filler").open("wb", buffering=0)
    try:
        while True:
            filler.write(bytes(4096))
    except OSError:
        pass
    for attempt in (lambda: meta.put("state", "x" * 50_000), lambda: open_database(folder / "new.db")):
        try:
            attempt()
        except WorldError as error:
            print(error, "|", error.hint)
    print("state", meta.get("state"))
    filler.close()
    (folder / "filler").unlink()
    meta.put("state", "new")
    print("state", meta.get("state"))
"""


def test_a_full_disk(tmp_path: Path) -> None:
    lines = run_with_mounts(FULL_DISK, str(tmp_path)).splitlines()
    assert ["its disk is full" in line and "free some space" in line for line in lines] == [True, True, False, False]
    assert lines[2:] == ["state old", "state new"]


READ_ONLY = """
    import subprocess, sys
    from pathlib import Path
    from fourfold.errors import WorldError
    from fourfold.store.db import open_database

    folder = Path(sys.argv[1])
    open_database(folder / "there.db").close()
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    for name in ("there.db", "new.db"):
        try:
            open_database(folder / name)
        except WorldError as error:
            print(error, "|", error.hint)
"""


def test_a_read_only_folder(tmp_path: Path) -> None:
    lines = run_with_mounts(READ_ONLY, str(tmp_path)).splitlines()
    assert len(lines) == 2
    assert all("check owner and mode of" in line for line in lines), lines


@pytest.mark.parametrize("damage", ["not a database " * 100, None], ids=["another file", "a damaged page"])
def test_a_damaged_file_is_named_with_what_to_do(path: Path, database: Database, damage: str | None) -> None:
    with database.transaction():
        for number in range(500):
            Meta(database).put(f"key-{number}", "x" * 500)
    database.close()
    if damage:
        path.write_text(damage)
    else:
        content = bytearray(path.read_bytes())
        content[4096:] = b"\xff" * (len(content) - 4096)
        path.write_bytes(content)
    with pytest.raises(WorldError, match="the file is damaged") as caught, open_database(path) as opened:
        opened.query("SELECT * FROM meta")
    assert str(path) in (caught.value.hint or "")


def test_check_finds_damage(path: Path, database: Database) -> None:
    with database.transaction():
        for number in range(500):
            Meta(database).put(f"key-{number}", "x" * 500)
    assert database.check() == []
    database.close()
    with path.open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(b"\xff" * 4096)
    with open_database(path) as opened:
        assert opened.check()


@pytest.mark.parametrize(("name", "why"), [("folder", "it cannot be written"), ("missing/store.db", "No such file")])
def test_a_path_that_cannot_be_opened(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(WorldError, match=f"cannot open the store .*: {why}"):
        open_database(tmp_path / name)


def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 31, 1))
    with pytest.raises(WorldError, match="too old"):
        open_database(path)


def test_a_mistake_in_a_statement_is_not_blamed_on_the_world(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        database.query("SELECT * FROM nonsense")
