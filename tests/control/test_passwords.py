"""Lines of a secret become users of a route; what cannot be used is refused without a word of a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from fourfold.control.routing.passwords import NOBODY, Passwords, parse
from fourfold.errors import UserError
from fourfold.spec.gateway import BasicAuth
from fourfold.store.db import open_database
from fourfold.store.secrets import Secrets
from tests.store.samples import FixedClock


@pytest.mark.parametrize(
    ("value", "users"),
    [
        ("ann:a\n", {"ann": "a"}),
        ("# staff\n\nann:a b:c \r\nzoe:$money", {"ann": "a b:c ", "zoe": "$money"}),
        ("o'neil@example.com:#x", {"o'neil@example.com": "#x"}),
    ],
)
def test_lines(value: str, users: dict[str, str]) -> None:
    assert parse(value, "STAFF") == users


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "it names nobody"),
        ("# nobody\n", "it names nobody"),
        ("ann:a\nhunter2", "line 2 is not name:password"),
        ("ann:", "line 1 is not name:password"),
        (":hunter2", "line 1 has a name with blanks"),
        ("an n:hunter2", "line 1 has a name with blanks"),
        ("änn:hunter2", "other than ASCII"),
        ("ann:hunter2\nann:hunter2", "line 2 has a name that an earlier line has: ann"),
        ("ann:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC", "a hash for a password"),
        ("ann:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00", "a hash for a password"),
        ("ann:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=", "a hash for a password"),
    ],
)
def test_what_is_refused(value: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as refused:
        parse(value, "STAFF")
    assert "hunter2" not in f"{refused.value}{refused.value.hint}"


def test_hashes_follow_from_the_secret_alone_and_nobody_passes_without_it(tmp_path: Path) -> None:
    with open_database(tmp_path / "store.db") as database:
        secrets = Secrets(database, tmp_path / "key", FixedClock())
        passwords, staff = Passwords(secrets), BasicAuth(secret="STAFF")
        assert passwords.of("shop")(staff).users == ()
        assert passwords.of("shop")(staff).key == NOBODY
        with pytest.raises(UserError, match="not set yet"):
            passwords.needed("shop")(staff)
        secrets.set_many("shop", {"STAFF": "ann:a"})
        made = passwords.of("shop")(staff)  # at once: a key that was lost may be put back, and nobody tells of it
        assert (made.realm, [name for name, _ in made.users]) == ("shop", ["ann"])
        assert passwords.of("shop")(BasicAuth(secret="STAFF", realm="Staff")).realm == "Staff"
        assert Passwords(secrets).needed("shop")(staff) == made
        secrets.set_many("shop", {"STAFF": "ann:b"})
        passwords.forget("other")
        assert passwords.of("shop")(staff).users == made.users  # as it was read
        passwords.forget("shop")
        changed = passwords.of("shop")(staff)
        assert changed.key != made.key
        assert changed.users != made.users
