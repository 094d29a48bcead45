"""docs/compare.md: its document is one, by the published schema too, and every field is explained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]
from pydantic import BaseModel

from fourfold.cli.comparison.rows import KINDS
from fourfold.cli.comparison.schema import schema
from fourfold.cost.comparison import BreakEven, Comparison, Costs, Facts, Latency, Load, Machine, PatternResult, Range
from fourfold.cost.figures import FIGURES
from fourfold.cost.summary import summary
from tests.cost.comparing import PROCESS, SUBJECT, VM

PAGE = (Path(__file__).parents[2] / "docs/compare.md").read_text()
EXAMPLE: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
SECTIONS = dict(re.findall(r"^### ([^\n]+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
VALIDATOR = Draft202012Validator(schema())


def test_the_documented_document_is_one() -> None:
    VALIDATOR.validate(EXAMPLE)
    assert Comparison.model_validate(EXAMPLE).model_dump(mode="json") == EXAMPLE


def test_the_schema_is_right_and_fits_what_is_made() -> None:
    Draft202012Validator.check_schema(schema())
    VALIDATOR.validate(summary(SUBJECT, [PROCESS, VM]).model_dump(mode="json"))


@pytest.mark.parametrize(
    "change",
    [{"patterns": None}, {"release": "3"}, {"machine": {"cores": 2}}, {"patterns": [{"pattern": "vm"}]}],
)
def test_the_schema_refuses_what_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VALIDATOR.validate(EXAMPLE | change)


def test_later_fields_do_not_break_readers() -> None:
    VALIDATOR.validate(EXAMPLE | {"later": 1})


@pytest.mark.parametrize(
    ("section", "models"),
    [
        ("The document", (Comparison, Machine, BreakEven)),
        ("`load`", (Load,)),
        ("Each of `patterns`", (PatternResult, Latency, Range, Costs)),
        ("`facts`", (Facts,)),
    ],
)
def test_every_field_is_explained(section: str, models: tuple[type[BaseModel], ...]) -> None:
    named = set(re.findall(r"`(\w+)`", SECTIONS[section]))
    assert {field for model in models for field in model.model_fields} <= named


def test_every_field_has_its_words_in_the_schema() -> None:
    results = schema()["$defs"]["PatternResult"]["properties"]
    assert results["start_seconds"]["description"].startswith("From the start to the first good answer")
    assert schema()["properties"]["seconds"]["description"] == "That it took."


def test_every_figure_has_a_row() -> None:
    assert list(KINDS) == [figure.name for figure in FIGURES]
