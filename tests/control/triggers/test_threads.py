"""Calls that block: each is made, whenever it comes."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

from fourfold.control.triggers.threads import Threads


class Late(queue.Queue[Any]):
    """Whoever waits for a second call gives up just after it has come."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Event()
        self._gets = 0

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        self._gets += 1
        if self._gets == 2:
            self.came.wait(60)
            raise queue.Empty
        return super().get(block, timeout)


def test_a_call_that_comes_when_a_thread_is_about_to_end_is_not_lost() -> None:
    async def test() -> None:
        threads, calls = Threads(1), Late()
        threads._calls = calls  # type: ignore[assignment]
        assert await threads.call(lambda: 1) == 1
        second = asyncio.create_task(threads.call(lambda: 2))
        await asyncio.sleep(0)
        calls.came.set()
        assert await asyncio.wait_for(second, 60) == 2

    asyncio.run(test())
