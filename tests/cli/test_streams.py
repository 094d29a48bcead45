"""Where output goes: readers that leave, encodings that lack a letter."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "fourfold"]


@pytest.mark.parametrize("arguments", [["schema"], ["schema", "--api"], ["schema", "--comparison"]])
def test_a_reader_that_leaves(arguments: list[str]) -> None:
    """`| head -1`: there is nothing to say about it."""
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_an_encoding_without_some_letters() -> None:
    environ = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([*COMMAND, "--help"], env=environ, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"ssh://\u2026, https://\u2026." in done.stdout
