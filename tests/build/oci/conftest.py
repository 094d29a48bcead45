from __future__ import annotations

import os
from pathlib import Path

import pytest

from fourfold.paths import Paths
from fourfold.store import layout
from fourfold.store.files.images import Images


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.find({"FOURFOLD_HOME": str(tmp_path / "home")}, os.geteuid())
    layout.create(found, root=os.geteuid() == 0)
    return found


@pytest.fixture
def images(paths: Paths) -> Images:
    return Images(paths)
