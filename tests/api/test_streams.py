"""Events and logs that are followed: nothing lost, errors told, and closed the moment either side goes."""

from __future__ import annotations

import json
import threading

import httpx
import pytest

from fourfold.control.views import EventView
from fourfold.errors import NotFoundError, WorldError
from fourfold.supervise.model import LogLine
from tests.api.sample import event
from tests.api.serving import Serving, eventually


def test_events_past_and_new(http: httpx.Client, server: Serving) -> None:
    server.facade.happened = [event(1, "operation.started", "Started."), event(2, "deploy.started", "Deploys.")]
    with http.stream("GET", "/v1/events?follow=true&after=1") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines) == "id: 2"
        assert [next(lines), next(lines)][1] == ""
        server.happen(event(3, "operation.done", "Done."))
        assert next(lines) == "id: 3"
        assert EventView.model_validate_json(next(lines).removeprefix("data: ")).kind == "operation.done"
    eventually(lambda: server.facade.following == 0)


def test_a_client_that_connects_again_goes_on_where_it_was(http: httpx.Client, server: Serving) -> None:
    """HTML Living Standard, section 9.2.4: browsers' EventSource asks the same again, with the last id that it saw."""
    server.facade.happened = [event(number, "deploy.started", "Deploys.") for number in range(1, 7)]
    with http.stream("GET", "/v1/events?follow=true&tail=1", headers={"Last-Event-ID": "3"}) as answer:
        lines = answer.iter_lines()
        assert [next(lines) for _ in range(9)][::3] == ["id: 4", "id: 5", "id: 6"]
    assert http.get("/v1/events", headers={"Last-Event-ID": "x"}).status_code == 422


def test_a_quiet_stream_is_closed_when_its_reader_goes(http: httpx.Client, server: Serving) -> None:
    with http.stream("GET", "/v1/events?follow=true"):
        eventually(lambda: server.facade.following == 1)
    eventually(lambda: server.facade.following == 0)


@pytest.mark.parametrize("path", ["/v1/events?follow=true", "/v1/apps/shop/logs", "/v1/apps/shop/logs?follow=true"])
def test_an_error_at_the_beginning_is_an_error_answer(http: httpx.Client, server: Serving, path: str) -> None:
    server.facade.fails = {"events": NotFoundError("cannot find it"), "logs": NotFoundError("cannot find it")}
    answer = http.get(path)
    assert (answer.status_code, answer.json()["error"]) == (404, "cannot find it")


def test_an_error_later_is_told_in_the_stream(http: httpx.Client, server: Serving) -> None:
    server.facade.happened = [event(1, "daemon.started", "Started.")]
    server.facade.lines = [("shop.a-1-x", LogLine(1.5, "one"))]
    server.facade.after_items = WorldError("cannot read on: disk gone", "look")
    told = http.get("/v1/events?follow=true").text
    body = {"status": 503, "error": "cannot read on: disk gone", "hint": "look", "problems": [], "fields": {}}
    assert told.endswith(f"event: error\ndata: {json.dumps(body)}\n\n")
    lines = http.get("/v1/apps/shop/logs").text.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"instance": "shop.a-1-x", "at": "1970-01-01T00:00:01.500Z", "text": "one"},
        body,
    ]


def test_many_lines_arrive_whole_and_in_order(http: httpx.Client, server: Serving) -> None:
    server.facade.lines = [("shop.a-1-x", LogLine(1.0, f"line {number} ä\u2028")) for number in range(20_000)]
    with http.stream("GET", "/v1/apps/shop/logs") as answer:
        content = b"".join(answer.iter_bytes())
    assert [json.loads(line)["text"] for line in content.split(b"\n")[:-1]] == [
        line.text for _, line in server.facade.lines
    ]


def test_the_end_of_the_daemon_closes_streams(http: httpx.Client, server: Serving) -> None:
    server.facade.happened = [event(1, "daemon.started", "Started.")]
    with http.stream("GET", "/v1/events?follow=true") as answer:
        content = answer.iter_text()
        assert next(content).startswith("id: 1")
        ending = threading.Thread(target=server.stop)
        ending.start()
        assert "".join(content) == ""  # ends properly: no error about a connection cut off
        ending.join()
    assert not server.socket.exists()
