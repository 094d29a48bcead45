"""Waiting for conditions instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], timeout: float = 60.0, what: str = "", every: float = 0.02) -> T:
    """Call `condition` until it answers something true, and return that.

    An exception counts as "not yet". After `timeout` seconds: AssertionError with what was waited for and what was
    last seen, so that a failed test says why.
    """
    deadline = time.monotonic() + timeout
    while True:
        seen: object
        try:
            answer = condition()
            if answer:
                return answer
            seen = repr(answer)
        except Exception as error:
            seen = f"{type(error).__name__}: {error}"
        if time.monotonic() >= deadline:
            name = what or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"waited {timeout:g} s for {name}; last seen: {seen}")
        time.sleep(every)
