"""docs/lambda-api.md names every operation that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import botocore.session

from fourfold.api.aws import invoke
from fourfold.api.aws.api import ROUTES

PAGE = (Path(__file__).parents[2] / "docs/lambda-api.md").read_text()
ON_TOP = {"GetFunctionCodeSigningConfig", "PublishLayerVersion"}
"""What tools ask for that set up functions: answered that there is nothing, or refused with the reason."""


def test_names_every_operation() -> None:
    model: Any = botocore.session.get_session().get_service_model("lambda")
    served = {(route.method, re.sub(r"\{\w+\}", "{}", route.path)) for route in ROUTES}
    served |= {
        ("POST", f"{invoke.PREFIX}{{}}{invoke.SUFFIX}"),
        ("POST", f"{invoke.STREAM_PREFIX}{{}}{invoke.STREAM_SUFFIX}"),
    }
    found = set()
    for name in model.operation_names:
        http = model.operation_model(name).http
        place = (http["method"], re.sub(r"\{\w+\}", "{}", http["requestUri"].partition("?")[0]))
        if place in served:
            found.add(name)
    told: set[str] = set()
    for row in re.findall(r"^\| ([A-Z][^|]+)\|", PAGE, re.MULTILINE):
        told |= _spelt_out(row)
    assert found - ON_TOP == told
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


def _spelt_out(row: str) -> set[str]:
    """`Create-, Get-, List-…FunctionUrlConfig`: the last one says how the others end."""
    found: set[str] = set()
    for group in row.split(";"):
        words = [word.strip() for word in group.split(",")]
        ending = re.sub(r"^[A-Z][a-z]+", "", words[-1])
        for word in words:
            name = word.removesuffix("-") + ending if word.endswith("-") else word
            many = name.startswith("List") and word.endswith("-")
            found.add(name + "s" if many else name)
    return found
