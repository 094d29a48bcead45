"""No test is passed over without a word: by pytest, for the name of its folder, or by bin/test."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def test_no_folder_with_tests_is_passed_over(request: pytest.FixtureRequest) -> None:
    passed_over = request.config.getini("norecursedirs")
    folders = {folder for file in TESTS.rglob("test_*.py") for folder in file.relative_to(TESTS).parts[:-1]}
    assert "build" in folders
    assert not [(name, each) for name in folders for each in passed_over if fnmatch(name, each)]


def test_end_to_end_tests_are_where_they_are_looked_for() -> None:
    marked = {file.relative_to(TESTS).parts[0] for file in TESTS.rglob("test_*.py") if "mark.e2e" in file.read_text()}
    looked_for = (TESTS.parent / "bin" / "test").read_text()
    assert {"build", "hosts"} <= marked
    assert not [name for name in marked - {"support"} if f'"tests/{name}"' not in looked_for]
