"""Every error has one shape, a fitting status, and nothing inner of the daemon in it."""

from __future__ import annotations

import errno
import logging

import httpx
import pytest

from fourfold.errors import ConflictError, NotFoundError, Problem, SpecError, UserError, WorldError
from tests.api.serving import Serving

OURS = [
    (UserError("cannot x: y", "do z"), 422),
    (NotFoundError("cannot find x: there is y", None), 404),
    (ConflictError("cannot x: busy", "wait"), 409),
    (WorldError("cannot x: disk full", "free some"), 503),
]


@pytest.mark.parametrize(("error", "status"), OURS)
def test_ours(http: httpx.Client, server: Serving, error: UserError, status: int) -> None:
    server.facade.fails["status"] = error
    answer = http.get("/v1/apps/shop")
    assert answer.status_code == status
    assert answer.json() == {"status": status, "error": error.what, "hint": error.hint, "problems": [], "fields": {}}


def test_a_refused_file_keeps_its_problems(http: httpx.Client, server: Serving) -> None:
    problem = Problem("services.a.port", "not a port", "fourfold.yaml", 3, 9, "1 to 65535")
    server.facade.fails["gc"] = SpecError([problem])
    assert http.post("/v1/gc").json()["problems"] == [vars(problem)]


def test_what_the_disk_refuses_is_no_fault_of_ours(http: httpx.Client, server: Serving) -> None:
    server.facade.fails["gc"] = OSError(errno.EROFS, "Read-only file system", "/state/x")
    answer = http.post("/v1/gc")
    assert answer.status_code == 503
    assert answer.json()["error"] == "cannot answer: the file system is read-only: /state/x"
    assert "dmesg" in answer.json()["hint"]


def test_unexpected_ones_are_logged_and_not_told(
    http: httpx.Client, server: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    server.facade.fails["gc"] = KeyError("inner-thing")
    with caplog.at_level(logging.ERROR, "fourfold.api"):
        answer = http.post("/v1/gc")
    assert answer.status_code == 500
    assert "inner-thing" not in answer.text
    ident = answer.json()["error"].split()[4]
    assert ident in caplog.text
    assert "inner-thing" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("GET", "/v1/nothing", None, 404, "cannot answer: not found"),
        ("PATCH", "/v1/apps", None, 405, "cannot answer: method not allowed"),
        ("POST", "/v1/apps/a/services/b/scale", "{", 422, "cannot read the request: body.1: JSON decode error"),
        (
            "POST",
            "/v1/apps/a/services/b/scale",
            '{"instances": -1}',
            422,
            "cannot read the request: body.instances: expected at least 0",
        ),
        (
            "POST",
            "/v1/apps/a/down",
            '{"pruge": true}',
            422,
            "cannot read the request: body.pruge: Extra inputs are not permitted",
        ),
    ],
)
def test_nonsense(
    http: httpx.Client, server: Serving, method: str, path: str, body: str | None, status: int, error: str
) -> None:
    answer = http.request(method, path, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert server.facade.calls == []


def test_fields_that_are_refused_are_named(http: httpx.Client) -> None:
    refused = {"instances": -1, "hasty": True}
    answer = http.post("/v1/apps/a/services/b/scale", json=refused)
    assert answer.json()["fields"] == {
        "instances": "expected at least 0",
        "hasty": "Extra inputs are not permitted",
    }
    garbled = http.post("/v1/apps/a/services/b/scale", content="{", headers={"content-type": "application/json"})
    assert garbled.json()["fields"] == {}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v1/apps", "GET"), ("/v1/tokens", "GET, POST"), ("/v1/apps/shop/secrets", "DELETE, GET, PUT")],
)
def test_a_wrong_method_is_told_the_right_ones(http: httpx.Client, path: str, allowed: str) -> None:
    """RFC 9110, section 15.5.6."""
    answer = http.patch(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
