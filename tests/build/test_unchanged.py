"""An unchanged source costs nothing twice: not a byte of it is hashed, sent, unpacked or built again."""

from __future__ import annotations

import asyncio
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fourfold.build import build as build_module
from fourfold.build import hashcache
from fourfold.build.pack import pack

from .helpers import Home, write

MB = 1_000_000


@pytest.fixture
def large(source: Path) -> Path:
    write(source, {"app.py": "print()"})
    for number in range(10):
        (source / f"{number}.bin").write_bytes(os.urandom(5 * MB))
    return source


def forbidden(*_: Any, **__: Any) -> Any:
    raise AssertionError("work that was done before")


def test_50_mb_that_have_not_changed(home: Home, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashcache, "_TICK_NS", 0)  # else files written just now count as racy, and are hashed again
    first = asyncio.run(home.build(large, build="date > made"))
    home.lines.clear()
    monkeypatch.setattr(hashcache, "_hash", forbidden)
    monkeypatch.setattr(build_module, "make", forbidden)
    assert home.sources.offer(pack(large, environ=home.environ).manifest)[1] == []
    again = asyncio.run(home.build(large, build="date > made"))
    assert again == first and home.lines == []


def test_a_zip_that_has_not_changed(home: Home, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(large.parent / "app.zip", "w") as archive:
        for file in large.iterdir():
            archive.write(file, file.name)
    first = asyncio.run(home.build(large.parent / "app.zip"))
    with monkeypatch.context() as patched:
        patched.setattr(build_module, "unpack", forbidden)
        assert asyncio.run(home.build(large.parent / "app.zip")) == first
    (kept,) = [each.digest for each in home.sources.list() if len(home.sources.get(each.digest).entries) > 1]
    home.sources.remove(kept)
    assert asyncio.run(home.build(large.parent / "app.zip")) == first, "collected meanwhile: unpacked again"
