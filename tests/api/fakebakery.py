"""A bakery that is not there."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fourfold.control.bakery.door import Taken
from fourfold.control.bakery.shapes import BakeRequest, BakeView, UploadQuery
from tests.api.sample import AT


class FakeBakery:
    """A `control.bakery.door.Door` with one build, whose file is `file`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.fails: Exception | None = None
        self.file = Path("/nowhere")
        self.digest = "ab" * 32

    def _asked(self, method: str, *arguments: Any) -> None:
        self.calls.append((method, arguments))
        if self.fails:
            raise self.fails

    def view(self, **given: Any) -> BakeView:
        fields: dict[str, Any] = {
            "id": "b1", "app": "shop", "service": "web", "pattern": "vm", "format": "qcow2", "source": "cd" * 32,
            "actor": "ann", "state": "queued", "position": 2, "created_at": AT, "started_at": None, "ended_at": None,
            "seconds": None, "digest": None, "size_bytes": None, "name": "web.qcow2", "kept_until": None,
            "runtime": None, "argv": [], "error": None, "hint": None,
        }  # fmt: skip
        return BakeView(**(fields | given))

    async def submit(self, request: BakeRequest) -> BakeView:
        self._asked("submit", request)
        return self.view()

    async def upload(self, query: UploadQuery, pieces: AsyncIterator[bytes]) -> BakeView:
        self._asked("upload", query, b"".join([piece async for piece in pieces]))
        return self.view()

    async def list(self, by: str | None, app: str | None, limit: int) -> builtins.list[BakeView]:
        self._asked("list", by, app, limit)
        return [self.view()]

    async def get(self, id: str) -> BakeView:
        self._asked("get", id)
        return self.view(id=id)

    async def take(self, id: str) -> Taken:
        self._asked("take", id)
        return Taken(self.file, "web.qcow2", self.digest)

    async def take_digest(self, digest: str) -> Taken:
        self._asked("take_digest", digest)
        return await self.take(digest)

    async def remove(self, id: str, actor: str) -> None:
        self._asked("remove", id, actor)
