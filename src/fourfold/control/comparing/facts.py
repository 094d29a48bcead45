"""What an instance was seen to have of its own, and what is in its artifact. Seen, never assumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fourfold.cost.comparison import Facts

if TYPE_CHECKING:
    from fourfold.control.parts import Parts


async def facts_of(parts: Parts, app: str, service: str) -> Facts | None:
    """Of the ready instance of a candidate, after it was under load. None: it has none. May take a second: it reads
    the artifact and its base."""
    raise NotImplementedError
