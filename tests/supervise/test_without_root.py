"""An ordinary user gets what the kernel allows: the same tests, run by nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.nobody import as_nobody


@as_nobody
@pytest.mark.parametrize("name", ["test_instances.py", "test_deaths.py", "test_attached.py"])
def test_as_nobody(name: str) -> None:
    here = Path(__file__)
    folder = tempfile.mkdtemp(prefix="ff-nobody-", dir="/var/tmp")
    shutil.chown(folder, "nobody", "nogroup")
    argv = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    try:
        done = subprocess.run(
            [*argv, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(here.with_name(name))],
            cwd=here.parents[2],
            env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    finally:
        shutil.rmtree(folder)
