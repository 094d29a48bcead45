"""How the spawner is called."""

from __future__ import annotations

import sys
from pathlib import Path

from fourfold import spawner

SPAWNER_MAIN = str(Path(spawner.__file__).with_name("__main__.py"))
SPAWNER_ARGV = (sys.executable, "-I", "-S", "-X", "utf8", SPAWNER_MAIN)
"""Without site-packages: a small process that no installed package can disturb."""
