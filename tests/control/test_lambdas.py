"""Functions of Lambda's API: names as services, how they are, their code as a zip. Pure, but for a store of blobs."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from fourfold.control.lambdas import code
from fourfold.control.lambdas.conditions import condition_of
from fourfold.control.lambdas.names import is_version_service, service_name, version_service
from fourfold.paths import Paths
from fourfold.spec import fields as f
from fourfold.store import layout
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.sources import Sources
from fourfold.store.manifest import Entry, Manifest
from fourfold.store.tables.functions import FunctionRow
from tests.store.samples import deployment, service_row

NAME: TypeAdapter[str] = TypeAdapter(f.Name)


@pytest.mark.parametrize(
    ("function", "taken", "service"),
    [
        ("greet", (), "greet"),
        ("greet-it-2", (), "greet-it-2"),
        ("greet", ("greet",), "greet-3254"),
        ("my_Func", (), "my-func-4c3d"),
        ("9lives", (), "lives-2a37"),
        ("_", (), "f-d2e2"),
        ("gateway", (), "gateway-8022"),
        ("f-v1", (), "f-v1-1c1a"),
    ],
)
def test_names(function: str, taken: tuple[str, ...], service: str) -> None:
    assert service_name(function, taken).rpartition("-")[0] == service.rpartition("-")[0]
    assert len(service_name(function, taken)) == len(service)


@settings(deadline=None)
@given(st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True), st.integers(1, 99_999))
def test_all_names_of_functions_have_one(function: str, number: int) -> None:
    name = service_name(function, ())
    assert NAME.validate_python(name) == name == service_name(function, ())
    assert not is_version_service(name)
    assert NAME.validate_python(version_service(name, number)) and is_version_service(version_service(name, number))
    other = service_name(function, (name,))
    assert other != name and NAME.validate_python(other)


WANTED: dict[str, Any] = {"spec": {}, "source": ""}
STANDS = service_row("f", app="lambda")
BEFORE = {"release": 1}


@pytest.mark.parametrize(
    ("row", "service", "last", "said"),
    [
        ({"wanted": WANTED}, None, None, ("Pending", "InProgress", "")),
        ({"wanted": WANTED, "problem": "no"}, None, None, ("Failed", "Failed", "no")),
        ({"wanted": WANTED}, STANDS, {"state": "running"}, ("Pending", "InProgress", "")),
        ({}, STANDS, {"state": "running"}, ("Pending", "InProgress", "")),
        ({}, STANDS, {"state": "failed", "reason": "it crashed"}, ("Failed", "Failed", "it crashed")),
        ({}, STANDS, {"state": "done"}, ("Active", "Successful", "")),
        ({"wanted": WANTED}, STANDS, {"state": "done"}, ("Active", "InProgress", "")),
        ({"problem": "no build"}, STANDS, {"state": "done"}, ("Active", "Failed", "no build")),
        ({}, STANDS, {"state": "running", "previous": BEFORE}, ("Active", "InProgress", "")),
        ({}, STANDS, {"state": "rolling-back", "previous": BEFORE}, ("Active", "InProgress", "")),
        ({}, STANDS, {"state": "rolled-back", "previous": BEFORE, "reason": "no"}, ("Active", "Failed", "no")),
        ({}, service_row("f", app="lambda", stopped=True), {"state": "done", "previous": BEFORE},
         ("Inactive", "Successful", "")),
    ],
)  # fmt: skip
def test_how_it_is(row: dict[str, Any], service: Any, last: dict[str, Any] | None, said: tuple[str, ...]) -> None:
    function = FunctionRow("lambda", "f", "f", True, 0, 1.0, **row)
    found = condition_of(function, service, None if last is None else deployment("f", app="lambda", **last))
    assert (found.state, found.update) == said[:2]
    if said[2]:
        assert said[2] in (found.reason, found.update_reason)


def test_code_comes_back_as_it_was_sent_and_other_sources_as_one_zip(tmp_path: Path) -> None:
    paths = Paths.find({"FOURFOLD_HOME": str(tmp_path)}, 0)
    layout.create(paths, root=False)
    blobs = Blobs(paths)
    sources = Sources(paths, blobs)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("app.py", "x")
    kept = code.keep(made.getvalue(), sources, blobs)
    assert code.give(kept, sources, blobs) == made.getvalue()
    assert code.describe(kept, sources).size == len(made.getvalue())
    digest = hashlib.sha256(b"x").hexdigest()
    blobs.add(digest, [b"x"])
    tree = sources.put(Manifest.of([Entry("app.py", 0o755, 1, digest), Entry("link", link="app.py")]))
    given = code.give(tree, sources, blobs)
    assert given == code.give(tree, sources, blobs)
    with zipfile.ZipFile(io.BytesIO(given)) as opened:
        assert opened.read("app.py") == b"x"
        assert [info.external_attr >> 16 for info in opened.infolist()] == [0o100755, 0o120777]


def test_zips_that_are_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1000))
    monkeypatch.setattr(code, "MOST_UNZIPPED", 999)
    with pytest.raises(code.BadZipError, match="Unzipped size must be smaller than 999 bytes"):
        code.check(made.getvalue())
    monkeypatch.setattr(code, "MOST_ZIPPED", 10)
    with pytest.raises(code.BadZipError, match="Zipped size must be smaller than 10 bytes"):
        code.check(made.getvalue())
    with pytest.raises(code.BadZipError, match="Could not unzip"):
        code.check(b"PK")
