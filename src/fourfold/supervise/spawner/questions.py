"""Questions on a connection, and their answers in any order: what there is alike to the spawner and to a host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

AtOnce = Callable[[Any], None]
"""Gets an answer before anything later is looked at; what it raises is raised to whoever asked."""


class Gone(Exception):
    """The connection ended before the answer came: whether it was done is not known."""


class Questions:
    """Those of one connection that wait for their answers, by number."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[asyncio.Future[Any], AtOnce | None]] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @contextmanager
    def asked(self, at_once: AtOnce | None = None) -> Iterator[tuple[int, asyncio.Future[Any]]]:
        """A new one: its number, and what its answer comes in. An answer after the end of this is nobody's."""
        self._number += 1
        number = self._number
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future, at_once
        try:
            yield number, future
        finally:
            del self._waiting[number]

    def answer(self, number: Any, value: Any) -> bool:
        """Whether anybody waits for it. TypeError for what cannot be a number."""
        future, at_once = self._waiting.get(number, (None, None))
        if future is None or future.done():
            return False
        try:
            if at_once is not None:
                at_once(value)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(value)
        return True

    def refuse(self, number: Any, error: Exception) -> bool:
        """As `answer`."""
        future, _ = self._waiting.get(number, (None, None))
        if future is None or future.done():
            return False
        future.set_exception(error)
        return True

    def lose(self) -> None:
        """No answer will come any more: who waits for one gets Gone."""
        for number in list(self._waiting):
            self.refuse(number, Gone())
