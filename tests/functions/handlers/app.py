"""Handlers for tests; each is one way to end."""

import base64
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any


def echo(event: Any, context: Any) -> Any:
    return event


def told(event: Any, context: Any) -> Any:
    print("said by the function")
    names = ("AWS_", "LAMBDA_", "_HAND", "MY")
    return {
        "event": event,
        "request_id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "left": context.get_remaining_time_in_millis(),
        "name": context.function_name,
        "memory": context.memory_limit_in_mb,
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
        "custom": context.client_context and context.client_context.custom,
        "env": {name: value for name, value in os.environ.items() if name.startswith(names)},
    }


def by_name(event: Any, context: Any) -> Any:
    """What `do` says."""
    return DO[event["do"]](event)


def http(event: Any, context: Any) -> Any:
    """The answer that the body describes; without one, the event."""
    body = event.get("body")
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body).decode()
    return json.loads(body) if body else event


def _fail(event: Any) -> None:
    raise ValueError("of no use")


def _sleep(event: Any) -> int:
    time.sleep(event["seconds"])
    return os.getpid()


def _flood(event: Any) -> None:
    for _ in range(event["lines"]):
        sys.stdout.write("y" * 1000 + "\n")


def _close(event: Any) -> str:
    os.close(1)
    os.close(2)
    return "closed"


BEATS: list[float] = []
"""When the thread that was left behind ran."""


def _thread(event: Any) -> None:
    def beat() -> None:
        while True:
            BEATS.append(time.monotonic())
            time.sleep(0.01)

    threading.Thread(target=beat, daemon=True).start()


def _longest_pause(event: Any) -> float:
    """Of the thread, once it has run some times more."""
    seen = len(BEATS)
    while len(BEATS) < seen + 10:
        time.sleep(0.01)
    return max(later - earlier for earlier, later in pairwise(BEATS))


def _write(event: Any) -> None:
    with Path(event["file"]).open("a") as file:
        file.write("x")


def _wait(event: Any) -> str:
    while not Path(event["file"]).exists():
        time.sleep(0.01)
    return "waited"


def _slowly(event: Any) -> None:
    _write(event)
    time.sleep(event["seconds"])


DO: dict[str, Callable[[Any], Any]] = {
    "echo": lambda event: event,
    "pid": lambda event: os.getpid(),
    "fail": _fail,
    "sys.exit": lambda event: sys.exit(event["code"]),
    "os._exit": lambda event: os._exit(event["code"]),
    "kill": lambda event: os.kill(os.getpid(), 9),
    "sleep": _sleep,
    "size": lambda event: "x" * event["size"],
    "print": lambda event: print(event["text"], end=""),
    "flood": _flood,
    "close": _close,
    "not json": lambda event: {1, 2},
    "thread": _thread,
    "longest pause": _longest_pause,
    "write": _slowly,
    "wait": _wait,
    "hog": lambda event: len(bytearray(event["bytes"])),
}
