"""What a source does when its other side is not there: it says so once, and asks again after growing waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fourfold.control.triggers.streams import wait_before
from fourfold.errors import FourfoldError

T = TypeVar("T")


class Patience:
    """Of one source, which may ask for several things at once: it fails when the first of them does."""

    def __init__(self, emit: Callable[[str, str], None], source: str) -> None:
        """`emit`: as a `Site` has it; `source`: "queue photos-events"."""
        self._emit = emit
        self._source = source
        self._failures: dict[str, int] = {}
        """What fails now -> how often in a row."""
        self._told = ""

    def failed(self, error: Exception, what: str = "") -> float:
        """How long to wait now."""
        if not self._failures:
            self._told = str(error).rstrip(".")
            self._emit("trigger.failed", f"cannot read {self._source}: {self._told}; it is tried again")
        self._failures[what] = self._failures.get(what, 0) + 1
        return wait_before(self._failures[what])

    def fine(self, what: str = "") -> None:
        if self._failures.pop(what, 0) and not self._failures:
            self._emit("trigger.recovered", f"reads {self._source} again, after: {self._told}")

    async def until_done(self, do: Callable[[], Awaitable[T]], what: str = "") -> T:
        while True:
            try:
                answer = await do()
            except FourfoldError as error:
                await asyncio.sleep(self.failed(error, what))
            else:
                self.fine(what)
                return answer
