from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.errors import SpecError
from fourfold.spec.interpolate import escape, interpolate
from fourfold.spec.parse import parse
from fourfold.spec.yaml import yaml
from fourfold.spec.yaml.node import from_plain, plain

ENVIRON = {"A": "one", "EMPTY": "", "_x1": "two", "MONEY": "$A ${A} $$"}


def filled(text: str) -> object:
    tree, problems = interpolate(from_plain({"key": text}), ENVIRON)
    assert problems == []
    return plain(tree)["key"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[
            ("${A}", "one"),
            ("x${A}y${_x1}z", "xoneytwoz"),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}", "d"),
            ("${NO:-d e}", "d e"),
        ],
        *[("${NO:-}", ""), ("${A:-d}", "one"), ("$$", "$"), ("$${A}", "${A}"), ("$$$$", "$$"), ("$$${A}", "$one")],
        *[("$A", "$A"), ("$PORT", "$PORT"), ("$", "$"), ("${", "${"), ("${}", "${}"), ("${1}", "${1}"), ("${A", "${A")],
        *[("${A-d}", "${A-d}"), ("${A:?e}", "${A:?e}"), ("${A/x/y}", "${A/x/y}"), ("$(A)", "$(A)"), ("a$", "a$")],
        ("${MONEY}", "$A ${A} $$"),  # what a variable holds is taken as it is
    ],
)
def test_what_is_filled_in(text: str, expected: str) -> None:
    assert filled(text) == expected


@settings(deadline=None)
@given(st.text(alphabet="$${}A:-x", max_size=20) | st.text())
def test_escaped_text_comes_back(text: str) -> None:
    assert filled(escape(text)) == text


def test_keys_and_extensions_stay() -> None:
    app = parse([("f", "app: shop\nx-a: ${NO}\nservices: {a: {env: {A: '${A}'}}}")], ENVIRON)
    assert app.services["a"].env == {"A": "one"}


def test_an_alias_is_filled_in_where_it_is_used() -> None:
    app = parse([("f", "app: shop\nx-a: &a ${A}\nservices: {a: {env: {A: *a}}}")], ENVIRON)
    assert app.services["a"].env == {"A": "one"}


def test_one_cause_is_told_once() -> None:
    text = "app: shop\nservices:\n  a:\n    instances: ${COUNT}\n    port: ${PORT}\n"
    with pytest.raises(SpecError) as caught:
        parse([("f", text)], {})
    assert [problem.line for problem in caught.value.problems] == [4, 5]
    assert "$PORT" in str(caught.value.problems[1].hint)


def test_a_variable_that_is_not_utf8() -> None:
    with pytest.raises(SpecError, match="the variable RAW is not UTF-8"):
        parse([("f", "app: shop\nservices: {a: {run: '${RAW}'}}")], {"RAW": "x\udcff"})


def test_aliases_of_long_texts_are_bounded() -> None:
    text = f"a: &a {'x' * 50_000}\nb: [{', '.join(['*a'] * 1000)}]\n"
    with pytest.raises(SpecError, match="expand to more"):
        yaml.read(text, "f")
