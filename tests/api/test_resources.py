"""Each path reaches the right method of the facade with the right arguments, and answers its view."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fourfold.control.advising.request import AdviceRequest
from fourfold.control.comparing.request import CompareRequest
from fourfold.control.keeping.request import BackupRequest
from fourfold.control.routing.maintaining import Page
from fourfold.control.views import UpRequest
from fourfold.store.tables.events import Which
from tests.api.sample import AT
from tests.api.serving import Serving

UP = {"spec": {"app": "shop", "services": {"catalog": {}}}, "sources": {"catalog": "a" * 64}, "actor": "alice"}

COMPARE = {"patterns": ["vm", "process"], "quick": True, "requests": "GET /a", "requests_per_second": 4}

CHANGES: list[tuple[str, str, dict[str, Any] | None, int, tuple[Any, ...]]] = [
    ("POST", "/v1/apps/shop/plan", UP, 200, ("plan", (UpRequest(**UP),))),
    ("POST", "/v1/apps/shop/up", UP, 202, ("up", (UpRequest(**UP),))),
    ("POST", "/v1/apps/shop/build", UP, 202, ("build", (UpRequest(**UP),))),
    ("POST", "/v1/apps/shop/artifact", UP, 200, ("artifact", (UpRequest(**UP),))),
    ("POST", "/v1/apps/shop/image", UP, 200, ("image", (UpRequest(**UP),))),
    ("POST", "/v1/apps/shop/push", {"request": UP, "reference": "r/x:1"}, 200, ("push", (UpRequest(**UP), "r/x:1"))),
    ("POST", "/v1/apps/shop/down", {"purge": True, "actor": "a"}, 202, ("down", ("shop", True, "a"))),
    ("POST", "/v1/apps/shop/restart", {"services": ["x"]}, 202, ("restart", ("shop", ["x"], ""))),
    ("POST", "/v1/apps/shop/stop", {"services": []}, 202, ("stop", ("shop", [], ""))),
    ("POST", "/v1/apps/shop/services/x/scale", {"instances": 4}, 202, ("scale", ("shop", {"x": 4}, False, ""))),
    ("POST", "/v1/apps/shop/services/x/scale", {"instances": None}, 202, ("scale", ("shop", {"x": None}, False, ""))),
    (
        "POST",
        "/v1/apps/shop/scale",
        {"instances": {"x": 4, "y": None}},
        202,
        ("scale", ("shop", {"x": 4, "y": None}, False, "")),
    ),
    ("POST", "/v1/apps/shop/services/x/rollback", {"to": 2}, 202, ("rollback", ("shop", "x", 2, ""))),
    ("POST", "/v1/apps/shop/services/x/promote", {"full": True}, 202, ("promote", ("shop", "x", True, ""))),
    ("POST", "/v1/apps/shop/services/x/abort", {"actor": "ann"}, 202, ("abort", ("shop", "x", "ann"))),
    (
        "POST",
        "/v1/apps/shop/services/x/invoke",
        {"payload": "[1]", "tail": True},
        200,
        ("invoke", ("shop", "x", b"[1]", "", True, None)),
    ),
    (
        "POST",
        "/v1/apps/shop/services/x/invoke-later",
        {"payload": "[1]", "context": "{}"},
        202,
        ("invoke_later", ("shop", "x", b"[1]", "{}")),
    ),
    (
        "POST",
        "/v1/apps/shop/services/x/runs",
        {"event": "1", "actor": "a"},
        202,
        ("start_run", ("shop", "x", "1", "a")),
    ),
    ("GET", "/v1/apps/shop/runs?service=x", None, 200, ("runs", ("shop", "x"))),
    ("GET", "/v1/apps/shop/runs/r/follow?skip=2", None, 200, ("follow_run", ("shop", "r", 2))),
    ("GET", "/v1/apps/shop/failed-events?service=x", None, 200, ("failed_events", ("shop", "x"))),
    (
        "POST",
        "/v1/apps/shop/failed-events/replay",
        {"ids": ["i"], "actor": "a"},
        202,
        ("replay_events", ("shop", None, ["i"], "a")),
    ),
    (
        "POST",
        "/v1/apps/shop/services/x/compare",
        COMPARE,
        202,
        ("compare", ("shop", "x", CompareRequest.model_validate(COMPARE))),
    ),
    ("GET", "/v1/apps/shop/cost?month=2026-11", None, 200, ("cost", ("shop", {"month": "2026-11"}))),
    (
        "GET",
        "/v1/apps/shop/cost?service=a&curves=true",
        None,
        200,
        ("cost", ("shop", {"service": "a", "curves": True})),
    ),
    (
        "POST",
        "/v1/apps/shop/cost",
        {"prices": {"name": "p", "text": "x: 1"}},
        200,
        ("cost", ("shop", {"prices": {"name": "p", "text": "x: 1"}})),
    ),
    ("GET", "/v1/apps/shop/usage?service=a", None, 200, ("usage", ("shop", "a"))),
    (
        "POST",
        "/v1/apps/shop/advice",
        {"services": ["x"], "assume": {"untrusted": "yes"}},
        200,
        ("advise", ("shop", AdviceRequest(services=["x"], assume={"untrusted": "yes"}))),
    ),
    ("GET", "/v1/apps/shop/hooks", None, 200, ("hooks", ("shop",))),
    ("POST", "/v1/apps/shop/hooks/test", {"actor": "a"}, 200, ("test_hooks", ("shop", "a"))),
    ("POST", "/v1/operations/op1/cancel", {"actor": "a"}, 204, ("cancel", ("op1", "a"))),
    ("POST", "/v1/operations/op1/cancel", None, 204, ("cancel", ("op1", ""))),
    ("PUT", "/v1/apps/shop/secrets", {"values": {"K": "v"}}, 204, ("set_secrets", ("shop", {"K": "v"}, ""))),
    (
        "PUT",
        "/v1/apps/shop/maintenance",
        {"services": ["x"], "page": "<p>", "content_type": "text/html", "retry_after": 5, "allowed": ["10.0.0.0/8"]},
        200,
        ("begin_maintenance", ("shop", ["x"], Page("<p>", "text/html", 5, ("10.0.0.0/8",)), "")),
    ),
    (
        "DELETE",
        "/v1/apps/shop/maintenance?service=x&service=y&actor=a",
        None,
        200,
        ("end_maintenance", ("shop", ["x", "y"], "a")),
    ),
    ("DELETE", "/v1/apps/shop/maintenance", None, 200, ("end_maintenance", ("shop", [], ""))),
    ("GET", "/v1/apps/shop/certificate", None, 200, ("certificate", ("shop",))),
    (
        "PUT",
        "/v1/apps/shop/certificate",
        {"certificate": "c", "key": "k"},
        200,
        ("renew_certificate", ("shop", b"c", b"k", "")),
    ),
    ("DELETE", "/v1/apps/shop/secrets?name=K&actor=a", None, 204, ("remove_secrets", ("shop", ["K"], "a"))),
    ("POST", "/v1/sources", {"files": []}, 200, ("offer_source", ({"files": []},))),
    ("POST", "/v1/gc", None, 200, ("gc", ())),
    ("POST", "/v1/backup", {"keys": "none"}, 200, ("backup", (BackupRequest(keys="none"),))),
    ("POST", "/v1/shutdown", None, 202, ("shutdown", ())),
    ("GET", "/v1/info", None, 200, ("info", ())),
    ("GET", "/v1/apps", None, 200, ()),
    ("GET", "/v1/apps/shop", None, 200, ("status", ("shop",))),
    ("GET", "/v1/apps/shop/history?service=x", None, 200, ("history", ("shop", "x"))),
    ("GET", "/v1/apps/shop/routes", None, 200, ("routes", ("shop",))),
    ("GET", "/v1/apps/shop/secrets", None, 200, ("secrets", ("shop",))),
    ("GET", "/v1/top?app=shop", None, 200, ("top", ("shop",))),
    ("GET", "/v1/doctor", None, 200, ("doctor", ())),
    ("GET", "/v1/events?app=shop&after=3&operation=o", None, 200, ("events", ("shop", 3, False, "o", None))),
    (
        "GET",
        "/v1/events?since=1970-01-01T00:00:05Z&kind=deploy.*&kind=run.failed",
        None,
        200,
        ("events", (None, 0, False, None, None, Which(("deploy.*", "run.failed"), 5.0))),
    ),
    ("GET", "/v1/events?tail=7", None, 200, ("events", (None, 0, False, None, 7))),
    (
        "GET",
        f"/v1/apps/shop/logs?service=x&service=y&since={AT}&tail=5&previous=true",
        None,
        200,
        ("logs", ("shop", ["x", "y"], 1795334400.0, 5, True, False)),
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "code", "call"), CHANGES, ids=[f"{c[0]} {c[1]}" for c in CHANGES])
def test_reaches_the_facade(
    http: httpx.Client,
    server: Serving,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    code: int,
    call: tuple[Any, ...],
) -> None:
    answer = http.request(method, path, json=body)
    assert (answer.status_code, server.facade.calls) == (code, [call] if call else []), answer.text


def test_answers_are_views(http: httpx.Client, server: Serving) -> None:
    assert http.get("/v1/apps/shop").json() == server.facade.state.model_dump(mode="json")
    assert http.post("/v1/apps/shop/up", json=UP).json() == {
        "id": "op1",
        "app": "shop",
        "kind": "up",
        "services": ["catalog"],
        "after": 0,
        "waiting_for": None,
        "hint": None,
    }
    server.facade.missing = ["b" * 64]
    assert http.post("/v1/sources", json={}).json() == {"digest": "a" * 64, "missing": ["b" * 64]}


def test_blobs_arrive_whole(http: httpx.Client, server: Serving) -> None:
    content = bytes(range(256)) * 8000
    stream = f"{'b' * 64} {len(content)}\n".encode() + content + f"{'c' * 64} 0\n".encode()
    assert http.post("/v1/blobs", content=stream).status_code == 204
    assert server.facade.blobs == {"b" * 64: content, "c" * 64: b""}


def test_an_up_for_another_app_is_refused(http: httpx.Client, server: Serving) -> None:
    answer = http.post("/v1/apps/other/up", json=UP)
    assert answer.status_code == 422
    assert answer.json()["error"] == "cannot bring up other: the spec is of app shop"
    assert server.facade.calls == []


def test_an_image_comes_as_a_stream(http: httpx.Client, server: Serving) -> None:
    server.facade.image_pieces = [b"x" * 700_000, b"y" * 300_000]
    with http.stream("POST", "/v1/apps/shop/image", json=UP) as answer:
        assert answer.headers["content-type"] == "application/x-tar" and answer.headers["content-length"] == "1000000"
        assert answer.headers["docker-content-digest"] == f"sha256:{'f' * 64}"
        assert answer.read() == b"".join(server.facade.image_pieces)
