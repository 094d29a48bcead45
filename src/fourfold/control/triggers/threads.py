"""Calls that block, in a few threads that end with the process, which waits for none of them."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

LINGER = 30.0
"""Seconds that a thread waits for another call."""


class Threads:
    def __init__(self, most: int) -> None:
        """`most`: at once; further calls wait for their turn."""
        self._most = most
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._free = 0

    async def call(self, do: Callable[[], T]) -> T:
        """What it gives or raises. Cancelled, it goes on, and what it gives is dropped."""
        future: Future[T] = Future()
        self._calls.put((do, future))
        with self._lock:
            start = self._free < self._calls.qsize() and self._threads < self._most
            self._threads += start
        if start:
            threading.Thread(target=self._work, name="fourfold-aws", daemon=True).start()
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._free += 1
            try:
                do, future = self._calls.get(timeout=LINGER)
            except queue.Empty:
                do = None
            with self._lock:
                self._free -= 1
                if do is None:
                    if not self._calls.empty():
                        continue  # it came just now, when we still counted as free
                    self._threads -= 1
                    return
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(do())
                except BaseException as error:
                    future.set_exception(error)
            del do, future
