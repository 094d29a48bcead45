"""The daemon's log as one JSON object per line (`log_format = "json"`), for whoever collects logs.

Each has `time` (RFC 3339, UTC), `level`, `logger` and `message`, and, where it is about one, `app`, `service`,
`instance` and `operation`. Events are lines of it too, with their `kind` and `actor`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

from fourfold.store.model import Event

LogFormat = Literal["text", "json"]
EVENTS = logging.getLogger("fourfold.events")
EVENTS.disabled = True
_BAD = ("failed", "crash-loop", "refused", "given-up")

_about: ContextVar[Mapping[str, Any]] = ContextVar("about", default={})  # noqa: B039 - never written to


@contextmanager
def about(**facts: str | None) -> Iterator[None]:
    """What is logged inside, by whatever is called or begun there, is about these."""
    token = _about.set({**_about.get(), **{name: fact for name, fact in facts.items() if fact}})
    try:
        yield
    finally:
        _about.reset(token)


def use(format: LogFormat) -> None:
    """For all that is logged from now on; text stays as the daemon's command line has made it."""
    EVENTS.disabled = format != "json"
    if format == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonLines())


def tell(event: Event) -> None:
    """An event as a line; those of builds' output are too many, and no news."""
    if EVENTS.disabled or event.kind == "build.log":
        return
    level = logging.WARNING if event.kind.rpartition(".")[2] in _BAD else logging.INFO
    facts = {
        "kind": event.kind,
        "app": event.app,
        "service": event.service,
        "instance": event.instance,
        "actor": event.actor,
        "operation": event.data.get("operation"),
    }
    EVENTS.log(level, "%s", event.message, extra={"facts": {name: fact for name, fact in facts.items() if fact}})


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_about.get(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line, default=str)
