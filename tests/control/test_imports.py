"""A daemon that starts imports what it needs then: the rest is imported by the first who asks for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

LATER = [
    "fourfold.build.bases.bases",
    "fourfold.build.container",
    "fourfold.build.oci.dockerfile",
    "fourfold.build.oci.export",
    "fourfold.build.oci.pull",
    "fourfold.control.deploying.imaging",
    "fourfold.cost.advice.rules",
]


@pytest.fixture(scope="module")
def imported() -> set[str]:
    code = "import sys, fourfold.serving, fourfold.api.app; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("module", LATER)
def test_what_only_containers_and_images_need_is_imported_later(module: str, imported: set[str]) -> None:
    __import__(module)  # it is there
    assert "fourfold.control.core" in imported
    assert module not in imported


def test_the_daemon_s_command_line_imports_none_of_it_before_garbage_collection_is_off() -> None:
    code = "import sys, fourfold.daemon; print(*(name for name in sys.modules if name.startswith('fourfold')))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(said.split()) == {"fourfold", "fourfold.daemon", "fourfold.errors", "fourfold.paths"}
