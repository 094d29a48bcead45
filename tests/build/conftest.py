from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourfold.store.files import trees

from .helpers import Home


@pytest.fixture
def home() -> Iterator[Home]:
    folder = Path(tempfile.mkdtemp(prefix="fourfold-build-"))
    yield Home(folder)
    trees.remove(folder)


@pytest.fixture
def source() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fourfold-source-"))
    yield folder / "app"
    shutil.rmtree(folder)
