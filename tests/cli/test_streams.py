"""Where output goes: readers that leave, encodings that lack a letter, terminals that know no colours."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from tests.api.serving import Serving

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


def on_terminal(*arguments: str, keys: bytes = b"", **environ: str) -> tuple[int, bytes]:
    """The exit code, and all that a terminal of that kind is sent."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *arguments], env={**os.environ, **environ}, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        os.write(ours, keys)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # EIO: nobody has it open any more
            pass
    os.close(ours)
    return process.returncode, shown


@pytest.mark.parametrize(("terminal", "coloured"), [("xterm", True), ("dumb", False)])
def test_colours(server: Serving, terminal: str, coloured: bool) -> None:
    code, shown = on_terminal("status", TERM=terminal)
    assert (code, b"\x1b[" in shown) == (0, coloured)


def test_what_cannot_be_cleared(server: Serving) -> None:
    code, shown = on_terminal("top", TERM="dumb")
    assert (code, b"\x1b[" in shown) == (0, False)
    assert on_terminal("status", "-w", TERM="dumb")[0] == 2


def test_a_question_that_is_not_answered(server: Serving) -> None:
    code, shown = on_terminal("down", keys=b"\x04")
    assert code == 130
    assert shown.endswith(b"[y/N]: \r\n")
