"""Images that several services name are fetched once, and once more for each operation that asks for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fourfold.build import container
from fourfold.store.files.artifacts import Image
from fourfold.store.files.images import Record

from .helpers import Home, write

REFERENCE = "docker://registry.example/web:1"


def test_one_fetch_at_a_time_and_one_for_each_operation(
    home: Home, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bool] = []
    going: set[str] = set()

    async def resolve(reference: str, *_: Any, fresh: bool = False) -> Record:
        assert reference not in going
        going.add(reference)
        await asyncio.sleep(0.01)
        going.remove(reference)
        calls.append(fresh)
        return Record(reference, "a" * 64, Image(()), ("/web",))

    async def all_at_once(fresh: str) -> None:
        names = ("web", "api", "docs")
        await asyncio.gather(*(home.build(source, name, fresh, pattern="container", image=REFERENCE) for name in names))

    monkeypatch.setattr(container, "resolve", resolve)
    write(source, {"x": ""})
    for fresh in ("", "first", "second"):
        asyncio.run(all_at_once(fresh))
    assert calls == [False, False, False, True, False, False, True, False, False]
