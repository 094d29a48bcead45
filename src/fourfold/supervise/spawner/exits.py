"""Exits on their way from the spawner's journal to whoever takes note of them: each told once, none forgotten early.

An exit is known by its instance and run. The spawner forgets every exit up to the number that is acknowledged, so one
is only acknowledged when it and all before it have been noted; until then the spawner may tell it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from fourfold.errors import FourfoldError
from fourfold.supervise.model import Exit

log = logging.getLogger(__name__)

_RETRY = (1.0, 1.0, 1.0, 5.0)


class Exits:
    def __init__(self, note: Callable[[Exit], None], acknowledge: Callable[[int], None]) -> None:
        """While `note` raises (a full disk), the exit is told to it again; `acknowledge` gets a sequence number."""
        self._note = note
        self._acknowledge = acknowledge
        self._open: dict[tuple[str, int], Exit] = {}
        """Heard, not yet noted."""
        self._noted: dict[tuple[str, int], int] = {}
        """Their numbers, until the spawner has forgotten them."""
        self._held: set[str] = set()

    def __len__(self) -> int:
        return len(self._open)

    def are_open(self, instance: str) -> bool:
        """Whether an exit of it is still to be noted."""
        return any(name == instance for name, _ in self._open)

    def hold(self, instance: str) -> None:
        """Tell of no exit of it: whoever starts it should hear that it has started first."""
        self._held.add(instance)

    def let_go(self, instance: str) -> None:
        self._held.discard(instance)
        for key in [key for key in self._open if key[0] == instance]:
            asyncio.get_running_loop().call_soon(self._tell, key)

    def hear(self, exit: Exit) -> None:
        key = exit.instance, exit.run
        if key in self._noted:  # the acknowledgement did not get through
            self._noted[key] = max(self._noted[key], exit.seq)
            self._acknowledge_noted()
            return
        known = key in self._open
        if exit.seq or not known:
            self._open[key] = exit
        if not known:
            self._tell(key)

    def forgotten(self, seq: int) -> None:
        """The spawner will not tell again of exits up to `seq`."""
        self._noted = {key: number for key, number in self._noted.items() if number > seq}

    def _tell(self, key: tuple[str, int], attempt: int = 0) -> None:
        exit = self._open.get(key)
        if exit is None or exit.instance in self._held:
            return
        try:
            self._note(exit)
        except Exception as error:
            known = isinstance(error, FourfoldError)
            log.error("cannot take note that %s ended: %s", exit.instance, error, exc_info=not known)
            wait = _RETRY[min(attempt, len(_RETRY) - 1)]
            asyncio.get_running_loop().call_later(wait, self._tell, key, attempt + 1)
            return
        del self._open[key]
        if exit.seq:
            self._noted[key] = exit.seq
        self._acknowledge_noted()

    def _acknowledge_noted(self) -> None:
        before = min((exit.seq for exit in self._open.values() if exit.seq), default=None)
        numbers = [seq for seq in self._noted.values() if before is None or seq < before]
        if numbers:
            self._acknowledge(max(numbers))
