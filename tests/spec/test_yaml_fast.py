"""libyaml, where it is asked, reads what the reader in Python reads, and sees it in the same places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.errors import SpecError
from fourfold.spec.yaml import fast as yaml_fast
from fourfold.spec.yaml import yaml
from tests.spec.cases import cases

EXAMPLES = [path.read_text() for path in (Path(__file__).parents[2] / "examples").glob("*/*.yaml")]
TEXTS = [case.text for case in cases()] + EXAMPLES
BITS = st.sampled_from(
    ["- ", ": ", ":", "\n", "\n  ", " ", "'", '"', "[", "]", "{", "}", ",", "# ", "é", "~", "|\n", "1"]
)


def read(text: str) -> Any:
    try:
        return repr(yaml.read(text, "f"))  # for nan is not equal to itself
    except SpecError as error:
        return [str(problem) for problem in error.problems]


def read_in_python(text: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_fast, "compose", lambda text, most_levels: None)
        return read(text)


@pytest.mark.parametrize("text", TEXTS)
def test_both_read_alike(text: str) -> None:
    assert read(text) == read_in_python(text)


@given(st.sampled_from(TEXTS), st.data())
@settings(max_examples=100, deadline=None)
def test_both_read_broken_files_alike(text: str, data: st.DataObject) -> None:
    lines = text.split("\n")
    first = data.draw(st.integers(0, len(lines) - 1))
    piece = "\n".join(lines[first : first + 8])
    at = data.draw(st.integers(0, len(piece)))
    piece = "a:\n" + piece[:at] + data.draw(BITS) + piece[at:]
    assert read(piece) == read_in_python(piece)


def test_ordinary_files_are_left_to_libyaml() -> None:
    assert all(yaml_fast.compose(text, yaml.MAX_DEPTH) is not None for text in EXAMPLES)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_does_not_end_the_process(opening: str) -> None:
    assert yaml_fast.compose(opening * 100_000, yaml.MAX_DEPTH) is None


def test_anchors_with_odd_names_are_left_to_the_other_reader() -> None:
    assert yaml_fast.compose("k: &name?rest\n", yaml.MAX_DEPTH) is None
