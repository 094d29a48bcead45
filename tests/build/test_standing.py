"""Where a container's tree is built, as tables."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.build.builders.static import SERVER
from fourfold.build.model import BuildPlan, Host, Runtime, Step
from fourfold.build.standing import Heard, interpreter_of, is_inside, needed, with_path
from fourfold.store.files.artifacts import Image

PYTHON, JAVA = Runtime("python3.11", "/usr/bin/python3.11", "3.11"), Runtime("java17", "/usr/bin/java", "17")
NODE = Runtime("nodejs20", "/usr/bin/node", "20.20.2")
STEP = (Step(("make",)),)
SITE = BuildPlan(
    runtimes=(NODE, PYTHON), steps=STEP, files={SERVER: ""}, argv=(PYTHON.path, f"/app/{SERVER}", "/app/dist")
)
HOST = Host({each.name: each for each in (PYTHON, JAVA, NODE)})


@pytest.mark.parametrize(
    ("plan", "base", "inside"),
    [
        (BuildPlan(runtimes=(PYTHON,)), "debian", False),
        (BuildPlan(runtimes=(PYTHON,), steps=STEP), "debian", True),
        (BuildPlan(runtimes=(JAVA,), steps=STEP), "debian", False),
        (BuildPlan(runtimes=(JAVA, PYTHON), steps=STEP), "debian", True),
        (BuildPlan(steps=STEP), "debian", False),
        (BuildPlan(steps=STEP), "scratch", False),
        (BuildPlan(runtimes=(JAVA,), steps=STEP), "docker://alpine", True),
        (SITE, "debian", False),
        (SITE, "docker://alpine", True),
    ],
)
def test_what_is_built_in_the_base(plan: BuildPlan, base: str, inside: bool) -> None:
    assert is_inside(plan, base, HOST) is inside


def test_a_site_that_this_host_can_make_is_served_without_what_made_it() -> None:
    assert needed(SITE, HOST) == (PYTHON,)
    bare = replace(HOST, runtimes={"python3.11": PYTHON})
    assert is_inside(SITE, "debian", bare) and needed(SITE, bare) == (NODE, PYTHON)
    assert needed(BuildPlan(runtimes=(NODE, PYTHON), steps=STEP, beside=(JAVA,)), HOST) == (NODE, PYTHON, JAVA)


@pytest.mark.parametrize(
    "line",
    [
        "error: [Errno 2] No such file or directory: 'x86_64-linux-gnu-gcc'",
        "error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory",
        "sh: 1: make: not found",
        "gyp ERR! stack Error: not found: make",
        "mkmf.rb can't find header files for ruby at /usr/lib/ruby/include/ruby.h",
        "fatal error: Python.h: No such file or directory",
        "Exception: you need a C compiler to build uWSGI",
        "ERROR: Unknown compiler(s): [['cc'], ['gcc']]",
    ],
)
def test_a_build_that_lacks_compilers_is_known_by_its_words(line: str) -> None:
    assert hears(["installing", line, *["a stack trace"] * 50])


@pytest.mark.parametrize(
    "line", ["SyntaxError: invalid syntax", "error: package x not found", "make: *** [all] Error 1"]
)
def test_other_failures_are_not_tried_again(line: str) -> None:
    assert not hears(["installing", line])


def hears(lines: list[str]) -> bool:
    log: list[str] = []
    heard = Heard(log.append)
    for line in lines:
        heard(line)
    assert log == lines
    return heard.needs_compilers


def test_the_path_of_the_image_comes_last() -> None:
    image = Image(layers=("a",), env={"PATH": "/opt/java/bin:/usr/bin"})
    assert with_path({"PATH": "/app/bin:/usr/bin"}, image) == {"PATH": "/app/bin:/usr/bin:/opt/java/bin"}
    assert with_path({}, image) == {}


def test_what_loads_a_program() -> None:
    assert interpreter_of(b"#!/bin/sh -e\n") == "/bin/sh"
    assert interpreter_of(Path("/usr/bin/env").read_bytes()) is not None
    static = bytearray(64 + 56)
    static[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", static, 32, 64)
    struct.pack_into("<HH", static, 54, 56, 1)
    struct.pack_into("<I", static, 64, 1)
    assert interpreter_of(bytes(static)) is None
    assert interpreter_of(b"MZ") == "a program of another kind"
