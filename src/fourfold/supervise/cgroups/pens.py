"""Groups for programs that are no instances, such as builds."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fourfold.launch.model import Limits
from fourfold.supervise.cgroups.cgroups import Groups


class Pens:
    def __init__(self, groups: Callable[[], Groups]) -> None:
        self._groups = groups
        self.names: set[str] = set()
        """Of the groups in use."""

    @asynccontextmanager
    async def pen(self, limits: Limits) -> AsyncIterator[tuple[str, ...]]:
        """Its folders; whoever is left in them in the end is killed.

        No folder where no group can be made. WorldError when the kernel refuses the limits.
        """
        name = f"pen-{secrets.token_hex(4)}"
        self.names.add(name)
        try:
            folders = self._groups().create(name, limits)
            yield tuple(folders)
        finally:
            self._groups().kill(name)
            await self._groups().remove_when_empty(name)
            self.names.discard(name)
