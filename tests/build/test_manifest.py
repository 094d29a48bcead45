"""Promise 9: nothing that a manifest can say leads out of the folder that it is written into."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.build.manifest import MAX_BYTES, Entry, Manifest
from fourfold.errors import UserError
from fourfold.paths import Paths
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.sources import write_tree

EMPTY = hashlib.sha256(b"").hexdigest()


def file(path: str, **changes: Any) -> dict[str, Any]:
    return {"path": path, "mode": 0o644, "size": 0, "sha256": EMPTY, **changes}


def parse(*entries: Any) -> Manifest:
    return Manifest.parse({"version": 1, "entries": list(entries)})


def test_the_digest_is_that_of_the_sorted_canonical_json() -> None:
    manifest = parse(file("b"), file("a/x", mode=0o755), {"path": "a/l", "link": "x"})
    assert [entry.path for entry in manifest.entries] == ["a/l", "a/x", "b"]
    assert manifest.digest == parse({"path": "a/l", "link": "x"}, file("b"), file("a/x", mode=0o755)).digest
    assert manifest.digest == hashlib.sha256(manifest.canonical).hexdigest()
    assert Manifest.parse(json.loads(manifest.canonical)) == manifest


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([file("../x")], "relative"),
        ([file("a/../../x")], "relative"),
        ([file("/etc/passwd")], "relative"),
        ([file("a//b")], "relative"),
        ([file("./a")], "relative"),
        ([file("")], "relative"),
        ([file("a\0b")], "relative"),
        ([file("\udcff")], "UTF-8"),
        ([file("x" * 256)], "too long"),
        ([file("x/" * 2000 + "x")], "too long"),
        ([{"path": "a", "link": "b" * 4001}], "malformed"),
        ([{"path": f"{n}/" + "a/" * 1990 + "x", "link": "y"} for n in range(10)], "more than 30,000 letters"),
        ([{"path": f"{n}", "link": "x" * 3900} for n in range(10)], "more than 30,000 letters"),
        ([file(f"{n}") for n in range(101)], "more files than the limit of 100"),
        ([file("a"), file("a")], "twice"),
        ([file("a"), file("A")], "case"),
        ([file("caf\u00e9"), file("cafe\u0301")], "case"),
        ([file("Lib/x"), file("lib/y")], "case"),
        ([file("a"), file("a/b")], "cannot have files in it"),
        ([{"path": "l", "link": "d"}, file("l/x")], "cannot have files in it"),
        ([{"path": "l", "link": "/etc"}], "absolute"),
        ([{"path": "l", "link": ".."}], "out of the source"),
        ([{"path": "d/l", "link": "../../x"}], "out of the source"),
        ([{"path": "d/l", "link": ".."}, {"path": "m", "link": "d/l/../.."}], "down and up"),
        ([{"path": "l", "link": ""}], "empty"),
        ([file("a", mode=0o4755)], "mode"),
        ([file("a", mode=True)], "mode"),
        ([file("a", size=-1)], "size"),
        ([file("a", size=MAX_BYTES + 1)], "limit"),
        ([file("a", sha256="../../etc")], "SHA-256"),
        ([file("a", sha256=EMPTY.upper())], "SHA-256"),
        ([file("a"), file("b", size=1)], "two sizes"),
        ([file("a", link="x")], "an entry has"),
        ([{"path": 1}], "path"),
        (["a"], "path"),
    ],
)
def test_what_is_refused(entries: list[Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.store.manifest.MAX_LETTERS", 30_000)
    monkeypatch.setattr("fourfold.store.manifest.MAX_FILES", 100)
    with pytest.raises(UserError, match=said):
        parse(*entries)


@pytest.mark.parametrize("data", [{}, {"version": 2, "entries": []}, {"version": 1}, {"version": 1, "entries": {}}])
def test_another_shape_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Manifest.parse(data)


NAMES = st.sampled_from(["a", "b", "..", ".", "", "A", "a/b", "../a", "/etc", "l", "l/x", "\udc80"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
ENTRIES = st.one_of(PATHS.map(file), st.builds(lambda path, link: {"path": path, "link": link}, PATHS, PATHS))


@settings(max_examples=300, deadline=None)
@given(st.lists(ENTRIES, max_size=6))
def test_what_is_accepted_stays_inside(entries: list[dict[str, Any]]) -> None:
    """Whatever links there are among the accepted entries, following any of them ends inside or nowhere."""
    try:
        manifest = parse(*entries)
    except UserError:
        return
    with tempfile.TemporaryDirectory() as folder:
        blobs = Blobs(Paths.find({"FOURFOLD_HOME": folder}, 0))
        blobs.add(EMPTY, [])
        root = Path(folder) / "tree"
        write_tree(manifest, blobs, root, link=False)
        assert sorted(path.name for path in Path(folder).iterdir()) == ["state", "tree"]
        for entry in manifest.entries:
            try:
                real = (root / entry.path).resolve(strict=True)
            except (OSError, RuntimeError):
                continue
            assert real == root.resolve() or root.resolve() in real.parents


def test_an_entry_knows_its_json() -> None:
    assert Entry("a", 0o755, 3, EMPTY).as_json() == {"path": "a", "mode": 493, "size": 3, "sha256": EMPTY}
