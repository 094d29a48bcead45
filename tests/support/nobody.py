"""Whether tests can be run by `nobody`, an ordinary user: only from a checkout that everybody can reach."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


def _reachable(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


CAN_BECOME_NOBODY = os.geteuid() == 0 and _reachable(Path(__file__).parent) and _reachable(Path(sys.prefix))

as_nobody = pytest.mark.skipif(
    not CAN_BECOME_NOBODY, reason="needs root, and a checkout in a folder that other users can reach"
)
