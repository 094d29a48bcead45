"""docs/file-format.md names every key with its default, and its examples are valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from fourfold.spec import app, deploy, function, gateway, groups, model, notify, scaling, shared, triggers
from fourfold.spec.load import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/file-format.md").read_text()
SECTIONS: dict[str, type[BaseModel]] = {
    "## `app`": app.App,
    "## A service": model.Service,
    "### `port`": model.FixedPort,
    "### `static`": model.Static,
    "### `route`": gateway.Route,
    "#### `limits`": gateway.RouteLimits,
    "#### `auth`": gateway.BasicAuth,
    "### `health`": model.Health,
    "### `instances`": scaling.Scaling,
    "#### `per_instance`": scaling.PerInstance,
    "#### `window`": scaling.Window,
    "### `resources`": model.Resources,
    "### `volumes`": model.Volume,
    "### `deploy`": deploy.Deploy,
    "#### `steps`": deploy.Step,
    "### `stop`": model.StopPolicy,
    "### `restart`": model.Restart,
    "### `container`": model.Container,
    "### `vm`": model.Vm,
    "### `shared`": shared.Shared,
    "### `function`": function.Function,
    "### `job`": triggers.Job,
    "### `triggers`": triggers.Trigger,
    "#### `schedule`": triggers.Schedule,
    "#### `s3`": triggers.S3,
    "#### `kinesis`": triggers.Kinesis,
    "#### `dynamodb`": triggers.DynamoDb,
    "#### `ses`": triggers.Ses,
    "## `groups`": groups.Group,
    "## `externals`": model.External,
    "## `notify`": notify.Notify,
    "## `gateway`": gateway.Gateway,
}


def section(title: str) -> str:
    start = PAGE.index(f"\n{title}")
    following = re.compile(r"^##+ ", re.MULTILINE).search(PAGE, start + len(title) + 1)
    return PAGE[start : following.start() if following else len(PAGE)]


@pytest.mark.parametrize("title", SECTIONS)
def test_names_every_key(title: str) -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", section(title).partition("| `on` | when |")[0], re.MULTILINE))
    added_by_the_loader = {"defaults"} if title == "## `app`" else set()
    not_for_files = {"kind", "mode"} if title == "### `shared`" else set()
    assert documented == (set(SECTIONS[title].model_fields) | added_by_the_loader) - not_for_files


def examples() -> Iterator[str]:
    yield from re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", list(examples()))
def test_examples_are_valid(text: str, tmp_path: Path) -> None:
    file = tmp_path / "fourfold.yaml"
    file.write_text(text)
    load(file, env=None, environ={})


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/*/fourfold.yaml")), ids=lambda file: file.parent.name)
def test_shipped_examples_are_valid(file: Path) -> None:
    load(file, env=None, environ={})
    for overlay in file.parent.glob("fourfold.*.yaml"):
        load(file, env=overlay.name.split(".")[1], environ={})
