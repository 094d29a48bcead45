"""An ordinary user gets what the kernel allows: the same tests, run by nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

import pytest

from tests.support.nobody import AS_NOBODY, as_nobody, reachable_checkout


@as_nobody
@pytest.mark.parametrize(
    "name", ["test_instances.py", "test_deaths.py", "test_attached.py", "test_guests.py", "test_guest_deaths.py"]
)
def test_as_nobody(name: str) -> None:
    checkout = reachable_checkout()
    folder = tempfile.mkdtemp(prefix="ff-nobody-", dir="/var/tmp")
    shutil.chown(folder, "nobody", "nogroup")
    pytest_of_it = [checkout.python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*AS_NOBODY, "--bounding-set=-all", *pytest_of_it, str(checkout.root / "tests" / "supervise" / name)],
            cwd=checkout.root,
            env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-1000:]
    finally:
        shutil.rmtree(folder)
