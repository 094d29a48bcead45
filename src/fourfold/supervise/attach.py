"""A program whose standard streams are held by the caller: `exec` and `run`."""

from __future__ import annotations

from typing import Protocol


class Attached(Protocol):
    """Bytes in, bytes out, an exit code. With a tty there is one stream (`out`) and a window size."""

    async def write(self, data: bytes) -> None:
        """To its standard input."""
        ...

    async def close_input(self) -> None: ...

    async def read(self) -> tuple[int, bytes] | None:
        """(1, bytes) of standard output or (2, bytes) of standard error; None when both have ended."""
        ...

    def resize(self, rows: int, columns: int) -> None: ...

    def signal(self, name: str) -> None:
        """`INT`, `TERM`, …"""
        ...

    async def wait(self) -> int:
        """Its exit code; 128 + signal when a signal ended it."""
        ...

    async def close(self) -> None:
        """End it if it still runs (the caller went away)."""
        ...
