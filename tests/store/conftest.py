from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourfold.paths import Paths
from fourfold.store import layout
from fourfold.store.store import Store
from tests.store.samples import FixedClock, open_in


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.find({"FOURFOLD_HOME": str(tmp_path / "home")}, os.geteuid())
    layout.create(found, root=os.geteuid() == 0)
    return found


@pytest.fixture
def store(paths: Paths, clock: FixedClock) -> Iterator[Store]:
    opened = open_in(paths, clock)
    yield opened
    opened.database.close()
