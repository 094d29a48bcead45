"""Guests for the tests here: what they boot is made once for all of pytest's workers."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.machine import Guests
from tests.guest.parts import make_parts


@pytest.fixture(scope="session")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guests]:
    with Guests(_parts(tmp_path_factory.getbasetemp())) as made:
        yield made


def _parts(own: Path) -> Path:
    """Whichever worker is the first makes them; the others wait for it."""
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "guest-parts"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            make_parts(folder)
            (folder / "made").touch()
    return folder
