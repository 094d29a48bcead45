"""The OpenAPI document is complete: every path says what it does, answers and refuses."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fourfold.api.app import create_app
from fourfold.control.facade import Facade
from tests.api.fake import FakeFacade

DOCUMENT = create_app(cast(Facade, None)).openapi()
OPERATIONS = [
    pytest.param(operation, id=f"{method} {path}")
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_is_documented(operation: dict[str, Any]) -> None:
    assert operation["description"].strip()
    assert operation["tags"]
    successes = [answer for code, answer in operation["responses"].items() if code.startswith("2")]
    assert len(successes) == 1
    errors = {code for code in operation["responses"] if not code.startswith("2")}
    assert errors == {"401", "403", "404", "409", "413", "422", "429", "500", "503"}
    for code in errors:
        assert operation["responses"][code] == {"$ref": f"#/components/responses/Error{code}"}
        schema = DOCUMENT["components"]["responses"][f"Error{code}"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorBody"}


def test_names_are_unique() -> None:
    names = [param.values[0]["operationId"] for param in OPERATIONS]  # type: ignore[index]
    assert len(names) == len(set(names))


def test_websockets_are_described() -> None:
    assert "its exit code, signed 32-bit integer" in DOCUMENT["info"]["description"]


def test_the_fake_is_a_facade() -> None:
    facade: Facade = FakeFacade()
    assert facade
