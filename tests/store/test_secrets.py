"""Secrets: what is set comes back, and is nowhere else."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fourfold.errors import FourfoldError, NotFoundError, UserError, WorldError
from fourfold.paths import Paths
from fourfold.store.model import SecretInfo
from fourfold.store.store import Store
from tests.store.samples import FixedClock, open_in

VALUE = "hunter2-in-the-clear"


def test_what_is_set_comes_back(store: Store, paths: Paths, clock: FixedClock) -> None:
    store.secrets.set_many("shop", {"API_KEY": VALUE, "empty": "", "poem-1": "ä\n漢字 🂡"})
    store.secrets.set_many("blog", {"API_KEY": "another"})
    clock.time += 10
    store.secrets.set_many("shop", {"empty": "now full"})
    store.database.close()
    again = open_in(paths)
    assert again.secrets.resolve("shop", ["poem-1", "API_KEY", "empty", "API_KEY"]) == {
        "poem-1": "ä\n漢字 🂡", "API_KEY": VALUE, "empty": "now full",
    }  # fmt: skip
    assert again.secrets.resolve("blog", ["API_KEY"]) == {"API_KEY": "another"}
    assert again.secrets.names("shop") == [
        SecretInfo("shop", "API_KEY", 1_000_000.0),
        SecretInfo("shop", "empty", 1_000_010.0),
        SecretInfo("shop", "poem-1", 1_000_000.0),
    ]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_comes_back(store: Store, value: str) -> None:
    store.secrets.set_many("shop", {"KEY": value})
    assert store.secrets.resolve("shop", ["KEY"]) == {"KEY": value}


def test_no_file_holds_a_value_in_the_clear(store: Store, paths: Paths) -> None:
    store.secrets.set_many("shop", {"API_KEY": VALUE, "OTHER": VALUE * 100})
    store.secrets.resolve("shop", ["API_KEY"])
    digest = store.secrets.digest("shop", ["API_KEY", "OTHER"])
    store.secrets.remove("shop", ["OTHER"])
    files = [file for file in paths.state.parent.rglob("*") if file.is_file()]
    assert len(files) >= 4, "database, its log and index, key"
    raw = VALUE.encode()
    forms = {raw, raw.hex().encode(), base64.b64encode(raw)[:-4], VALUE.encode("utf-16-le")}
    for file in files:
        assert not any(form in file.read_bytes() for form in forms), file
    assert VALUE not in digest and VALUE not in repr(store)


def test_missing_ones_are_all_named_at_once(store: Store) -> None:
    store.secrets.set_many("shop", {"THERE": "1"})
    with pytest.raises(UserError, match="secrets A, B of app shop") as caught:
        store.secrets.resolve("shop", ["A", "THERE", "B"])
    assert caught.value.hint == "fourfold secrets set A && fourfold secrets set B"
    with pytest.raises(UserError, match="secret A of app shop: not set") as caught:
        store.secrets.digest("shop", ["A"])
    assert caught.value.hint == "fourfold secrets set A"


def test_without_secrets_no_key_is_needed(store: Store, paths: Paths) -> None:
    assert store.secrets.resolve("shop", []) == {}
    assert store.secrets.digest("shop", []) == ""
    assert store.secrets.names("shop") == []
    store.secrets.set_many("shop", {})
    assert not paths.secrets_key.exists()


def test_cryptography_is_imported_only_when_needed() -> None:
    script = "import sys, fourfold.store.store; sys.exit('cryptography' in sys.modules)"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", script], env=environ).returncode == 0


def test_remove(store: Store) -> None:
    store.secrets.set_many("shop", {"A": "1", "B": "2"})
    store.secrets.remove("shop", ["A"])
    with pytest.raises(NotFoundError, match="cannot remove A of shop: not set; nothing was removed"):
        store.secrets.remove("shop", ["B", "A"])
    assert [info.name for info in store.secrets.names("shop")] == ["B"]
    assert store.secrets.remove_app("shop") == 1
    assert store.secrets.names("shop") == []


# what is refused

BAD = [
    ({"1A": "x"}, "begins with a letter"),
    ({"": "x"}, "begins with a letter"),
    ({"A B": "x"}, "letters, digits"),
    ({"A\n": "x"}, "letters, digits"),
    ({"Ä": "x"}, "letters, digits"),
    ({"A": "hunter2\0"}, "A has a NUL byte"),
    ({"A": "hunter2\udc80"}, "A is not UTF-8"),
    ({"A": "ä" * (32 * 1024) + "x"}, "A has 65,537 bytes, more than 65,536"),
]


@pytest.mark.parametrize(("values", "why"), BAD)
def test_bad_input_is_refused_whole(store: Store, values: dict[str, str], why: str) -> None:
    with pytest.raises(UserError, match=why) as caught:
        store.secrets.set_many("shop", {"GOOD": "1", **values})
    assert store.secrets.names("shop") == []
    told = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in told and "ää" not in told
    assert caught.value.__context__ is None, "an encoding error would carry the value"


def test_the_largest_value_fits(store: Store) -> None:
    store.secrets.set_many("shop", {"A": "ä" * (32 * 1024)})
    assert store.secrets.resolve("shop", ["A"])["A"] == "ä" * (32 * 1024)


def test_everything_wrong_is_named_at_once(store: Store) -> None:
    with pytest.raises(UserError, match=r"'1A'.*; B has a NUL byte"):
        store.secrets.set_many("shop", {"1A": "x", "B": "\0"})


# digests


def test_a_digest_follows_the_values_and_nothing_else(store: Store) -> None:
    store.secrets.set_many("shop", {"A": "1", "B": "2"})
    store.secrets.set_many("blog", {"A": "1", "B": "2"})
    digest = store.secrets.digest("shop", ["A", "B"])
    assert digest == store.secrets.digest("shop", ["B", "A", "B"])
    others = {store.secrets.digest("blog", ["A", "B"]), store.secrets.digest("shop", ["A"])}
    store.secrets.set_many("shop", {"A": "1"})
    assert store.secrets.digest("shop", ["A", "B"]) == digest, "set again to the same value"
    store.secrets.set_many("shop", {"A": "2", "B": "1"})
    others.add(store.secrets.digest("shop", ["A", "B"]))
    assert len(others | {digest}) == 4


# the key


def test_the_key_is_made_once_and_is_only_ours(store: Store, paths: Paths) -> None:
    before = os.umask(0)
    try:
        store.secrets.set_many("shop", {"A": "1"})
    finally:
        os.umask(before)
    key = paths.secrets_key.read_bytes()
    assert paths.secrets_key.stat().st_mode & 0o7777 == 0o600
    assert len(base64.b64decode(key)) == 32
    store.secrets.set_many("shop", {"B": "1"})
    assert paths.secrets_key.read_bytes() == key
    assert not paths.secrets_key.with_name("secrets.key.new").exists()


def test_a_daemon_that_died_while_making_the_key_is_no_problem(store: Store, paths: Paths) -> None:
    paths.secrets_key.with_name("secrets.key.new").write_text("half")
    store.secrets.set_many("shop", {"A": VALUE})
    assert store.secrets.resolve("shop", ["A"]) == {"A": VALUE}


def another_key(path: Path) -> None:
    path.write_bytes(base64.b64encode(os.urandom(32)))


SPOILED = [
    (lambda path: path.unlink(), "is missing"),
    (another_key, "not the key that they were encrypted with"),
    (lambda path: path.chmod(0o640), "others can read it .*mode 0640"),
    (lambda path: path.write_text("nonsense"), "holds no key"),
    (lambda path: path.write_text(""), "holds no key"),
    (lambda path: (path.unlink(), path.mkdir()), "is not a file"),
]


@pytest.mark.parametrize(("spoil", "why"), SPOILED)
def test_a_spoiled_key_is_refused_until_it_is_back(store: Store, paths: Paths, spoil: object, why: str) -> None:
    store.secrets.set_many("shop", {"A": VALUE})
    key = paths.secrets_key.read_bytes()
    spoil(paths.secrets_key)  # type: ignore[operator]
    for attempt in (
        lambda: store.secrets.resolve("shop", ["A"]),
        lambda: store.secrets.digest("shop", ["A"]),
        lambda: store.secrets.set_many("shop", {"B": "1"}),
    ):
        with pytest.raises(WorldError, match=why) as caught:
            attempt()
        assert caught.value.hint
    assert [info.name for info in store.secrets.names("shop")] == ["A"]
    if paths.secrets_key.is_dir():
        paths.secrets_key.rmdir()
    paths.secrets_key.write_bytes(key)
    paths.secrets_key.chmod(0o600)
    assert store.secrets.resolve("shop", ["A"]) == {"A": VALUE}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_somebody_else_is_refused(store: Store, paths: Paths) -> None:
    store.secrets.set_many("shop", {"A": VALUE})
    os.chown(paths.secrets_key, 12345, 12345)
    with pytest.raises(WorldError, match="owner 12345"):
        store.secrets.resolve("shop", ["A"])


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), another_key])
def test_without_the_key_one_can_begin_anew(store: Store, paths: Paths, spoil: object) -> None:
    store.secrets.set_many("shop", {"A": VALUE})
    spoil(paths.secrets_key)  # type: ignore[operator]
    store.secrets.remove("shop", ["A"])
    store.secrets.set_many("shop", {"A": "anew"})
    assert store.secrets.resolve("shop", ["A"]) == {"A": "anew"}


def test_a_value_moved_to_another_row_is_not_accepted(store: Store) -> None:
    store.secrets.set_many("shop", {"A": VALUE, "B": "2"})
    store.database.execute("UPDATE secrets SET value = (SELECT value FROM secrets WHERE name = 'A') WHERE name = 'B'")
    with pytest.raises(WorldError, match="secret B of app shop: what is stored is damaged") as caught:
        store.secrets.resolve("shop", ["B"])
    assert caught.value.hint == "fourfold secrets set B"


@pytest.mark.parametrize("stored", [b"", b"short", bytes(64)])
def test_a_damaged_value_is_named(store: Store, stored: bytes) -> None:
    store.secrets.set_many("shop", {"A": VALUE})
    store.database.execute("UPDATE secrets SET value = ?", (stored,))
    with pytest.raises(FourfoldError, match="damaged"):
        store.secrets.resolve("shop", ["A"])
