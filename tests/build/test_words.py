"""Command lines as words: what a shell would make of them, or refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.build.vm import by_interpreter
from fourfold.build.words import NeedsShellError, without_shell, words
from fourfold.errors import UserError
from fourfold.store.files.artifacts import Artifact

ENV = {"PORT": "8080", "HOST": "0.0.0.0", "EMPTY": "", "TWO": "a  b ", "QUOTE": 'x"y', "STAR": "*"}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python -m app", ["python", "-m", "app"]),
        ("gunicorn -b $HOST:$PORT  app:app", ["gunicorn", "-b", "0.0.0.0:8080", "app:app"]),
        ("x '$PORT' \"$PORT\" \\$PORT", ["x", "$PORT", "8080", "$PORT"]),
        ("x \"a b\"'c'd ''", ["x", "a bcd", ""]),
        ("x ${PORT}0 ${NONE:-80} ${EMPTY:-none}", ["x", "80800", "80", "none"]),
        ("x $EMPTY y \"$EMPTY\"", ["x", "y", ""]),
        ("x $TWO-c pre$TWO", ["x", "a", "b", "-c", "prea", "b"]),
        ("x \"$TWO\" $QUOTE", ["x", "a  b ", 'x"y']),
        ("x a=b --opt=~ a#b 5$ \"$\" {a} a,b", ["x", "a=b", "--opt=~", "a#b", "5$", "$", "{a}", "a,b"]),
        ('x "\\"q\\" \\n \\\\"', ["x", '"q" \\n \\']),
        ("x\ta", ["x", "a"]),
        ("x a\\\nb \"c\\\nd\"", ["x", "ab", "cd"]),
    ],
)  # fmt: skip
def test_words(command: str, expected: list[str]) -> None:
    assert list(words(command, ENV)) == expected
    assert shells(command) == expected


def shells(command: str) -> list[str]:
    """What /bin/sh itself gives to the program."""
    program = shutil.which("printf")
    assert program is not None
    script = 'x() { for word; do printf \'%s\\0\' "$word"; done; }; python() { x python "$@"; }; set -f\n'
    name, _, rest = command.partition(" ") if "\t" not in command else command.partition("\t")
    done = subprocess.run(["/bin/sh", "-c", f"{script}x {name} {rest}"], env=ENV, capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("a && b", "`&`"), ("a; b", "`;`"), ("a | b", "`|`"), ("a > f", "`>`"), ("a\nb", "a line break"),
        ("(a)", r"`\(`"), ("a `b`", "``"), ('a "`b`"', "a command in a command"), ("a $(b)", r"`\$\("),
        ("a $1", r"`\$1`"), ("a *", "pattern"), ("a [x]", "pattern"), ("a $STAR", "pattern"), ("X=1 a", "`X=`"),
        ("cd x", "`cd`"), ("~/x", "`~`"), ("a $SECRET", r"`\$SECRET`, which is not known"), ("a \\", "goes on"),
        ("a ${PORT%x}", r"`\$\{`"), ("a 'b", "not closed"), ('a "b', "not closed"), ("", "empty"), ("$EMPTY", "empty"),
    ],
)  # fmt: skip
def test_what_needs_a_shell(command: str, why: str) -> None:
    with pytest.raises(NeedsShellError, match=why):
        words(command, ENV)


@settings(deadline=None)
@given(st.text("ab $\"'\\{}~#=.:-PORT\n", max_size=14))
def test_never_otherwise_than_a_shell(rest: str) -> None:
    """Whatever is taken at all is taken as /bin/sh takes it."""
    try:
        found = words(f"x {rest}", ENV)
    except NeedsShellError:
        return
    assert shells(f"x {rest}") == list(found)


def test_argv_of_a_build() -> None:
    assert without_shell(("/bin/sh", "-c", "exec node a.js $PORT"), ENV, "web") == ("node", "a.js", "8080")
    assert without_shell(("/usr/bin/env", "node", "a.js"), ENV, "web") == ("node", "a.js")
    assert without_shell(("/app/server", "$PORT"), ENV, "web") == ("/app/server", "$PORT")
    with pytest.raises(UserError, match="cannot run web on the base minimal: it has no shell, and `a && b` needs one"):
        without_shell(("/bin/sh", "-c", "a && b"), ENV, "web")


SCRIPT = """#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")"/'python' "$0" "$@"
' '''
print("a program of a Python package")
"""


@pytest.mark.parametrize("name", ["gunicorn", "/app/.venv/bin/gunicorn", "./.venv/bin/gunicorn"])
def test_a_program_of_a_python_package_is_run_by_its_interpreter(tmp_path: Path, name: str) -> None:
    place = tmp_path / ".venv/bin/gunicorn"
    place.parent.mkdir(parents=True)
    place.write_text(SCRIPT)
    made = Artifact("0" * 64, tmp_path, (name, "app:app"), {"PATH": "/app/.venv/bin:/usr/bin"})
    assert by_interpreter(made) == ("/app/.venv/bin/python", "/app/.venv/bin/gunicorn", "app:app")
    place.write_text("#!/usr/bin/env python3\n")
    assert by_interpreter(made) == (name, "app:app")
