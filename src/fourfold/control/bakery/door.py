"""What the API may ask of the bakery."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fourfold.control.bakery.shapes import BakeRequest, BakeView, UploadQuery


@dataclass(frozen=True)
class Taken:
    """A finished file to be sent."""

    path: Path
    name: str
    digest: str


class Door(Protocol):
    """All raise UserError (refused, nothing changed) or WorldError."""

    async def submit(self, request: BakeRequest) -> BakeView:
        """Raises TooManyError and TooLargeError where the actor has as much as they may have."""
        ...

    async def upload(self, query: UploadQuery, pieces: AsyncIterator[bytes]) -> BakeView:
        """The same for a source that comes along, as a tar or zip."""
        ...

    async def list(self, by: str | None, app: str | None, limit: int) -> list[BakeView]:
        """Newest first."""
        ...

    async def get(self, id: str) -> BakeView:
        """Raises NotFoundError."""
        ...

    async def take(self, id: str) -> Taken:
        """Raises NotFoundError, and ConflictError for one that is not done."""
        ...

    async def take_digest(self, digest: str) -> Taken: ...

    async def remove(self, id: str, actor: str) -> None:
        """Cancel one that waits or is made; forget one that has ended, with its file."""
        ...
