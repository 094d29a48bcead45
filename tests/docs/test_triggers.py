"""docs/triggers.md names every event that triggers tell."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_names_what_triggers_tell() -> None:
    sources = (ROOT / "src/fourfold/control/triggers").rglob("*.py")
    told = {kind for file in sources for kind in re.findall(r'"(trigger\.[a-z-]+)"', file.read_text())}
    named = set(re.findall(r"^\| `(trigger\.[a-z-]+)`", (ROOT / "docs/triggers.md").read_text(), re.MULTILINE))
    assert named == told
