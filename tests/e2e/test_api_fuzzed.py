"""The API as its OpenAPI document describes it, asked by schemathesis with what fits the document and what does not:
nothing is answered that the document does not say, and nothing is a fault of the daemon's.

Against a daemon with a service that runs, over the socket and over TLS with a token of role deploy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fourfold.api.app import create_app
from fourfold.control.facade import Facade
from tests.e2e.home import Home
from tests.support.remote import Remote

CHECKS = [
    status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip
EXAMPLES = int(os.environ.get("FOURFOLD_TEST_EXAMPLES", "3"))
"""Of each operation and kind of data, on each listener."""
ELSEWHERE = {"scale", "compare"}
"""Not asked of the service that is there: there would be thousands of it."""
LEFT_OUT = {"shutdown"}
NAMES = {"app": "app", "service": "web"}
SCHEMA = schemathesis.openapi.from_dict(create_app(cast(Facade, None)).openapi())


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    home = Home()
    try:
        remote = Remote(home)
        home.web(file := home.app(""))
        home.run("up", "-f", str(file))
        yield remote
    finally:
        home.close()


def operations() -> list[Any]:
    """Those that take away come last."""
    found = [cast(Any, each).ok() for each in SCHEMA.get_all_operations()]
    return sorted(found, key=lambda operation: operation.method.upper() == "DELETE" or "down" in operation.path)


@pytest.mark.parametrize("listener", ["socket", "tls"])
def test_answers_as_documented(remote: Remote, listener: str) -> None:
    failures: list[str] = []
    with remote.home.api() if listener == "socket" else remote.client(remote.token("deploy")) as client:
        for operation in operations():
            if operation.definition.raw["operationId"] not in LEFT_OUT:
                for mode in GenerationMode:
                    try:
                        ask(client, operation, mode)
                    except Unsatisfiable:  # it takes nothing: nothing can be wrong with it
                        assert mode is GenerationMode.NEGATIVE
                    except AssertionError as error:
                        failures.append(str(error))
                    except FailureGroup as error:
                        failures += [f"{operation.label}: {each}" for each in error.exceptions]
        assert client.get("/v1/info").status_code == 200
    assert not failures, "\n\n".join(failures)
    assert "Traceback" not in remote.home.daemon_log()


def ask(client: httpx.Client, operation: Any, mode: GenerationMode) -> None:
    named = operation.definition.raw["operationId"] not in ELSEWHERE

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(mode), real=st.booleans())
    def examples(case: Case[Any], real: bool) -> None:
        if real and named:
            case.path_parameters = {name: NAMES.get(name, value) for name, value in case.path_parameters.items()}
        case.query.pop("follow", None)  # it would go on
        asked = requests.Request(**case.as_transport_kwargs(base_url="http://fourfold")).prepare()
        body = cast(str | bytes | None, asked.body)
        headers = cast(dict[str, str], dict(asked.headers))
        what = f"{asked.method} {asked.path_url} {headers} {body!r}"
        try:
            answer = client.request(asked.method or "", asked.path_url, headers=headers, content=body)
        except httpx.TransportError as error:
            raise AssertionError(f"{what}: {error}") from error
        assert answer.status_code != 500, f"{what}: {answer.text}"
        case.validate_response(answer, checks=CHECKS)

    examples()
