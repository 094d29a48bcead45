"""Writes of one turn of the event loop, in one transaction: a commit costs a sync."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
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
    """None: it is tried again until it is stored."""


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
        if not pending:
            return
        try:
            with self._database.transaction():
                for write in pending:
                    write.store()
        except Exception as error:
            log.error("cannot store events: %s", error, exc_info=not isinstance(error, FourfoldError))
            self._pending = [write for write in pending if write.refused is None]
            if self._pending:
                asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.flush)
            for write in pending:
                if write.refused is not None:
                    write.refused(error)
            return
        for write in pending:
            write.stored()
