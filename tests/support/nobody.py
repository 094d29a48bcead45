"""A checkout that `nobody`, an ordinary user, can run tests from: this one, or a copy if it cannot be reached."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=-all")
UNUSED = shutil.ignore_patterns("__pycache__", "*mypyc*", "mypy", "pip", "setuptools", "ruff*")
"""Large, and not needed to run tests."""

as_nobody = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")


@dataclass(frozen=True)
class Checkout:
    root: Path
    python: str
    """Of an environment that has this checkout's Fourfold."""


@cache
def reachable_checkout() -> Checkout:
    if _reachable(ROOT) and _reachable(Path(sys.prefix)):
        return Checkout(ROOT, sys.executable)
    copy = Path(tempfile.mkdtemp(prefix="ff-checkout-", dir="/var/tmp"))
    atexit.register(shutil.rmtree, copy)
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=UNUSED)
    shutil.copy(ROOT / "pyproject.toml", copy)
    shutil.copytree(Path(sys.prefix, "lib"), copy / ".venv" / "lib", symlinks=True, ignore=UNUSED)
    shutil.copy(Path(sys.prefix, "pyvenv.cfg"), copy / ".venv")
    python = copy / ".venv" / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(Path(sys.executable).resolve())
    shutil.copy(Path(sys.prefix, "bin/uv"), python.parent)
    (link,) = copy.glob(".venv/lib/python*/site-packages/_editable_impl_fourfold.pth")
    link.write_text(f"{copy}/src\n")
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    return Checkout(copy, str(python))


def _reachable(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
