from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fourfold.spec.schema import schema
from tests.spec.cases import Case, cases

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/fourfold.yaml"))
SEES = {
    *["unknown_keys", "numbers", "names", "missing", "no_services", "services_is_list", "kinds", "secrets"],
    *["gateway_host", "checks_go_on_beside_errors", "defaults", "routes", "containers"],
}
"""Cases whose mistakes a schema can express."""


def errors(text: str) -> list[str]:
    data: Any = json.loads(json.dumps(YAML(typ="safe", pure=True).load(text), default=str))  # dates are text here
    return [error.message for error in jsonschema.Draft202012Validator(schema()).iter_errors(data)]


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples_satisfy_it(path: Path) -> None:
    assert errors(path.read_text()) == []


@pytest.mark.parametrize(
    "case", [case for case in cases() if not case.problems and case.name != "nulls"], ids=lambda case: case.name
)
def test_what_loads_satisfies_it(case: Case) -> None:
    assert errors(case.text) == []


@pytest.mark.parametrize("case", [case for case in cases() if case.problems], ids=lambda case: case.name)
def test_it_refuses_only_what_the_loader_refuses_too(case: Case) -> None:
    try:
        refused = bool(errors(case.text))
    except (YAMLError, RecursionError, ValueError):
        return  # not YAML at all
    assert refused or case.name not in SEES


@pytest.mark.parametrize(
    "service",
    [
        *["{port: '${PORT_OF_A}'}", "{port: {fixed: '${P:-80}'}}", "{instances: '${N:-2}'}"],
        *["{resources: {cpu: '${CPU}', memory: '${M:-64Mi}'}}", "{deploy: {strategy: '${S:-rolling}'}}"],
    ],
)
def test_variables_may_stand_for_any_scalar(service: str) -> None:
    assert errors(f"app: shop\nservices: {{a: {service}}}") == []


def test_every_key_is_described() -> None:
    missing = []

    def visit(part: Any, name: str) -> None:
        if isinstance(part, dict):
            for key, child in part.get("properties", {}).items():
                if not ({"description", "title"} & child.keys() or "$ref" in child):
                    missing.append(f"{name}.{key}")
            for key, child in part.items():
                visit(child, f"{name}.{key}")
        elif isinstance(part, list):
            for child in part:
                visit(child, name)

    visit(schema(), "")
    assert missing == []


def test_nothing_internal_is_published() -> None:
    assert "x-is" not in str(schema())
    assert "x-unit" not in str(schema())
