"""Writes of one turn of the event loop, in one transaction: a commit costs a sync."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fourfold.errors import FourfoldError
from fourfold.store.db import Database

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
"""After the store refused them."""


@dataclass(frozen=True)
class Write:
    store: Callable[[], None]
    """Inside the transaction."""
    stored: Callable[[], None]
    refused: Callable[[Exception], None] | None = None
    """None: while the store refuses, it is tried again; with a mistake of its own it is left to the next daemon."""


class Writes:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: list[Write] = []

    def add(self, write: Write) -> None:
        if not self._pending:
            asyncio.get_running_loop().call_soon(self.flush)
        self._pending.append(write)

    def flush(self) -> None:
        """Now, all or none."""
        pending, self._pending = self._pending, []
        if pending:
            self._store(pending)

    def _store(self, writes: Sequence[Write]) -> None:
        try:
            with self._database.transaction():
                for write in writes:
                    write.store()
        except FourfoldError as error:
            log.error("cannot store events: %s", error)
            self._again([write for write in writes if write.refused is None])
            _refuse(writes, error)
        except Exception as error:  # a mistake in one of them: the others are stored, and it is not tried for ever
            if len(writes) > 1:
                for write in writes:
                    self._store([write])
                return
            log.exception("cannot store an event")
            _refuse(writes, error)
        else:
            for write in writes:
                write.stored()

    def _again(self, writes: list[Write]) -> None:
        if writes and not self._pending:
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.flush)
        self._pending += writes


def _refuse(writes: Sequence[Write], error: Exception) -> None:
    for write in writes:
        if write.refused is not None:
            write.refused(error)
