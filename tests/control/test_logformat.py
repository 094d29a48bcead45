"""The daemon's log as JSON lines."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from fourfold.control import logformat
from fourfold.control.logformat import EVENTS, JsonLines, about, tell
from fourfold.store.model import Event

log = logging.getLogger("fourfold.test")


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        assert "\n" not in text
        self.lines.append(json.loads(text))


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    handler, root, level = Lines(), logging.getLogger(), logging.getLogger().level
    formatters = [(each, each.formatter) for each in root.handlers]
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler.lines
    root.removeHandler(handler)
    for each, formatter in formatters:
        each.setFormatter(formatter)
    root.setLevel(level)
    EVENTS.disabled = True


def test_a_line(lines: list[dict[str, Any]]) -> None:
    log.warning("%s says\n%r", "ümlaut", {"a": 1})
    (line,) = lines
    assert line.pop("time").endswith("Z")
    assert line == {"level": "warning", "logger": "fourfold.test", "message": "ümlaut says\n{'a': 1}"}


def test_an_exception_is_in_its_line(lines: list[dict[str, Any]]) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        log.exception("a fault")
    assert lines[0]["message"] == "a fault" and lines[0]["exception"].endswith("ValueError: no")


def test_what_a_line_is_about(lines: list[dict[str, Any]]) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        with about(service="web", operation=None):
            log.info("inner")
        log.info("outer")

    async def run() -> None:
        with about(app="shop", operation="op1"):
            task = asyncio.create_task(work())
        log.info("others")
        await task

    asyncio.run(run())
    told = {line["message"]: (line.get("app"), line.get("service"), line.get("operation")) for line in lines}
    assert told["inner"] == ("shop", "web", "op1") and told["outer"] == ("shop", None, "op1")
    assert told["others"] == (None, None, None)


def event(kind: str) -> Event:
    return Event(1, 1.0, "shop", "web", None, kind, "100 % of it", "ann", {"operation": "op1", "code": 1})


def test_events_are_lines_too_where_it_is_json(lines: list[dict[str, Any]]) -> None:
    tell(event("deploy.done"))
    assert lines == []
    logformat.use("json")
    for kind in ("deploy.done", "deploy.failed", "build.log"):
        tell(event(kind))
    assert [(line["kind"], line["level"]) for line in lines] == [("deploy.done", "info"), ("deploy.failed", "warning")]
    assert lines[0].items() >= {"app": "shop", "service": "web", "actor": "ann", "operation": "op1"}.items()
    assert lines[0]["message"] == "100 % of it" and "code" not in lines[0]
