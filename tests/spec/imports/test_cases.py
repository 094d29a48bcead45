"""Files of other tools -> service files. A case is a file: what is in a folder, and what `init` writes.

Most are modelled on what well-known projects have (each says on which), in words of our own. Adding one adds a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fourfold.spec.parse import parse
from fourfold.spec.starting.finds import Listing
from fourfold.spec.starting.imports.choose import chosen, draft
from fourfold.spec.starting.imports.model import Folder
from fourfold.spec.starting.imports.writer import written

CASES = sorted(Path(__file__).with_name("cases").glob("*.yaml"))


def case(path: Path) -> dict[str, Any]:
    """`folder`: its name; `files`: path -> text; `from`: the file, unless it is the one that is found; `environ`;
    `hints`; `written`."""
    loaded: dict[str, Any] = YAML(typ="safe").load(path.read_text())
    return loaded


def folder_of(said: dict[str, Any]) -> Folder:
    files: dict[str, str] = said["files"]
    return Folder(Listing(said.get("folder", "demo"), frozenset(files), files), files.get, files.__getitem__)


@pytest.mark.parametrize("path", CASES, ids=lambda path: str(path.stem))
def test_what_is_written(path: Path) -> None:
    said = case(path)
    folder = folder_of(said)
    source = chosen(folder)
    assert source == said.get("found", said.get("from", source))
    made = draft(folder, said.get("from") or str(source))
    assert written(made) == said["written"]
    assert made.hints == said.get("hints", [])
    assert parse([("fourfold.yaml", said["written"])], said.get("environ", {})).services
