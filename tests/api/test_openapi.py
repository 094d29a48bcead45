"""The OpenAPI document is complete: every path says what it does, answers and refuses."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import pytest

from fourfold.api.app import create_app
from fourfold.api.shapes import MOST, Start
from fourfold.control.facade import Facade
from tests.api.fake import FakeFacade

DOCUMENT = create_app(cast(Facade, None)).openapi()
OPERATIONS = [
    pytest.param(operation, id=f"{method} {path}")
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
ERRORS = {"401", "403", "404", "409", "413", "422", "429", "500", "503"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_is_documented(operation: dict[str, Any]) -> None:
    assert operation["description"].strip()
    assert operation["tags"]
    others = set(operation["responses"]) - ERRORS
    in_parts = {"206", "304", "416"}
    assert len(others - in_parts) == 1 and (others >= in_parts or not others & in_parts)
    for code in ERRORS:
        assert operation["responses"][code] == {"$ref": f"#/components/responses/Error{code}"}
        schema = DOCUMENT["components"]["responses"][f"Error{code}"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorBody"}


def test_names_are_unique() -> None:
    names = [param.values[0]["operationId"] for param in OPERATIONS]  # type: ignore[index]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", ["/v1/apps/{app}/logs", "/v1/apps/{app}/runs/{run}/follow"])
def test_lines_are_told_as_lines(path: str) -> None:
    """Not as JSON too: generated clients would read the whole answer as one object."""
    content = DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]
    assert list(content) == ["application/x-ndjson"]
    schemas = {each["$ref"].rpartition("/")[2] for each in content["application/x-ndjson"]["schema"]["anyOf"]}
    assert {"LogLineBody", "ErrorBody"} <= schemas <= set(DOCUMENT["components"]["schemas"])


def test_states_and_patterns_are_enumerated() -> None:
    """A program that reads one knows all that it may be."""
    fields = {
        (schema, name): field
        for schema, each in DOCUMENT["components"]["schemas"].items()
        for name, field in each.get("properties", {}).items()
        if name in ("state", "pattern")
    }
    assert ("InstanceView", "state") in fields
    assert [name for name, field in fields.items() if "enum" not in str(field)] == []


def test_bounds_are_those_that_are_kept() -> None:
    """As floats, which is what FastAPI writes."""
    bounds = {float(each) for each in re.findall(r'"maximum": ([0-9.e+]+)', json.dumps(DOCUMENT))}
    assert max(bounds) == MOST


@pytest.mark.parametrize("path", ["/v1/events", "/v1/apps/{app}/logs"])
def test_moments_are_told_as_they_are_taken(path: str) -> None:
    since = next(each for each in DOCUMENT["paths"][path]["get"]["parameters"] if each["name"] == "since")
    assert {"type": "string", "format": "date-time"} in since["schema"]["anyOf"]
    assert {"type": "number"} in since["schema"]["anyOf"]


def test_who_asks_is_no_story() -> None:
    """It stands in every event of what they do."""
    taken = {name: each["properties"] for name, each in DOCUMENT["components"]["schemas"].items() if "View" not in name}
    actors = {name: properties["actor"] for name, properties in taken.items() if "actor" in properties}
    assert len(actors) > 10
    assert {each.get("maxLength") for each in [*actors.values(), Start.model_json_schema()["properties"]["actor"]]} == {
        200
    }


def test_websockets_are_described() -> None:
    assert "its exit code, signed 32-bit integer" in DOCUMENT["info"]["description"]


def test_the_fake_is_a_facade() -> None:
    facade: Facade = FakeFacade()
    assert facade
