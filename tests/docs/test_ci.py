"""docs/ci.md and docs/disks.md: what can be copied from them is what the command takes, and is well-formed."""

from __future__ import annotations

import re
import shlex
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from fourfold.build.disk.esp import _PACKAGES
from fourfold.build.disk.export import KERNELS
from fourfold.cli.building import DISKS, target_of
from fourfold.cli.group import build
from fourfold.cli.options import Options

DOCS = Path(__file__).parents[2] / "docs"
CI, PAGE = (DOCS / "ci.md").read_text(), (DOCS / "disks.md").read_text()
COMMANDS = sorted(set(re.findall(r"fourfold (?:build|validate|doctor|daemon)[^\n|`'#\\>]*", CI + PAGE)))


def workflow() -> Any:
    (text,) = re.findall(r"```yaml\n(.*?)```", CI, re.DOTALL)
    return YAML(typ="safe").load(StringIO(text))


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_taken(line: str) -> None:
    words = shlex.split(re.sub(r"\$\{\{.*?\}\}", "web", line).replace('"$SERVICE"', "web"))[1:]
    options = Options()
    context = click.Context(build(options), obj=options)
    command = build(options).get_command(context, words[0])
    assert command is not None
    command.make_parser(context).parse_args(words[1:])
    for before, form in pairwise(words):
        if before == "--format" and not form.startswith("registry:"):
            target_of(form, None, "web")


def test_the_workflow_bakes_on_each_push() -> None:
    found = workflow()
    triggers = found.get("on", found.get(True))  # YAML 1.1 readers take `on` for true
    assert triggers == ["push"]
    steps = found["jobs"]["image"]["steps"]
    assert all(("run" in step) != ("uses" in step) for step in steps)
    assert any("fourfold build" in step.get("run", "") for step in steps)


def test_the_jenkinsfile_is_balanced() -> None:
    (text,) = re.findall(r"```groovy\n(.*?)```", CI, re.DOTALL)
    assert text.startswith("pipeline {")
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    for opening, closing in ("{}", "()", "[]"):
        assert bare.count(opening) == bare.count(closing)


def test_every_format_and_its_kernel() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*?\| (cloud|full) \|", PAGE, re.MULTILINE))
    assert rows == KERNELS and tuple(rows) != () and set(DISKS) == set(KERNELS)


@pytest.mark.parametrize("page", [CI, PAGE], ids=["ci.md", "disks.md"])
def test_every_package(page: str) -> None:
    assert set(_PACKAGES.values()) <= set(re.findall(r"[\w-]+", page))
