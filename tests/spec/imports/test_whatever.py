"""Whatever stands in a file of another tool: what is written is a service file, or the file is refused in words."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.errors import SpecError, UserError
from fourfold.spec.parse import parse
from fourfold.spec.starting.finds import Listing
from fourfold.spec.starting.imports.choose import draft
from fourfold.spec.starting.imports.compose.keys import DEPLOY, WHY
from fourfold.spec.starting.imports.compose.service import DONE
from fourfold.spec.starting.imports.model import Folder
from fourfold.spec.starting.imports.writer import written

ODD = [
    *("", "a b: c # d", "${X}", "${X:-y}", "$$", "${", "{{x}}", "true", "0", "8080", "8080:80", "1.5", "1m30s", "512m"),
    *("a:/b:ro", "./a:/b", "db", "no", "[", "\"'", "x\ny", "\ud83d", "%(ENV_X)s %(here)s %(process_num)02d", "K=${Y}"),
]
TEXT = st.one_of(st.sampled_from(ODD), st.text(max_size=8))
VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 99999), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
KEYS = st.sampled_from(sorted({*WHY, *DONE, "unknown", "x-own"}))
SERVICE = st.dictionaries(KEYS, VALUE, max_size=8) | st.fixed_dictionaries(
    {"image": st.sampled_from(["redis", "postgres:${T:-1}", "me/x@sha256:1"])},
    optional={
        "command": VALUE,
        "ports": st.lists(TEXT, max_size=3),
        "environment": st.dictionaries(TEXT, TEXT, max_size=3),
        "volumes": st.lists(TEXT, max_size=3),
        "healthcheck": st.dictionaries(st.sampled_from(["test", "interval", "retries", "timeout"]), VALUE),
        "deploy": st.dictionaries(st.sampled_from([*DEPLOY, "replicas", "resources"]), VALUE, max_size=3),
        "depends_on": VALUE,
        "secrets": st.lists(TEXT, max_size=2),
    },
)
COMPOSE = st.fixed_dictionaries(
    {"services": st.dictionaries(TEXT, SERVICE, min_size=1, max_size=3)},
    optional={"name": VALUE, "volumes": VALUE, "networks": VALUE, "secrets": VALUE, "include": VALUE},
)
PM2_KEYS = [
    "name",
    "script",
    "args",
    "cwd",
    "env",
    "env_production",
    "instances",
    "exec_mode",
    "kill_timeout",
    "node_args",
]
PM2_APP = st.dictionaries(st.sampled_from(PM2_KEYS), VALUE, max_size=6)
PROGRAM = st.dictionaries(st.sampled_from(["command", "environment", "directory", "numprocs", "stopsignal"]), TEXT)


def check(files: dict[str, str], name: str) -> None:
    folder = Folder(Listing("demo", frozenset(files), files), files.get, files.__getitem__)
    try:
        made = draft(folder, name)
    except SpecError as error:
        assert all(problem.message for problem in error.problems)
        return
    text = written(made)
    try:
        parse([("fourfold.yaml", text)], {})
    except SpecError as error:
        none = "|`services` is missing" if all(service.off for service in made.services) else ""
        expected = rf"the variable \w+ is not set{none}"
        assert [problem for problem in error.problems if not re.match(expected, problem.message)] == [], text


@settings(max_examples=150, deadline=None)
@given(COMPOSE)
def test_compose(data: dict[str, Any]) -> None:
    check({"compose.yaml": json.dumps(data), ".env": "X=1\nAPI_KEY=2"}, "compose.yaml")


@settings(max_examples=60, deadline=None)
@given(st.lists(PM2_APP, max_size=3))
def test_pm2(apps: list[dict[str, Any]]) -> None:
    check({"ecosystem.json": json.dumps({"apps": apps})}, "ecosystem.json")


def test_many_of_one_long_name() -> None:
    apps = [{"name": "x" * 40, "script": "app.js"}] * 12
    made = draft(Folder(Listing("demo"), {"ecosystem.json": json.dumps({"apps": apps})}.get), "ecosystem.json")
    assert len({service.name for service in made.services}) == 12


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(TEXT, PROGRAM))
def test_supervisord(sections: dict[str, dict[str, str]]) -> None:
    lines = [
        f"[program:{name}]\n" + "".join(f"{key}={value}\n" for key, value in said.items())
        for name, said in sections.items()
    ]
    check({"supervisord.conf": "".join(lines)}, "supervisord.conf")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["web", "release", "W", "a_b", "a-b", "gateway"]), TEXT)), VALUE)
def test_procfile(lines: list[tuple[str, str]], described: Any) -> None:
    text = "".join(f"{name}: {command}\n" for name, command in lines)
    check({"Procfile": text, "app.json": json.dumps({"env": described, "formation": described})}, "Procfile")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("compose.yaml", "services: {}", "has none"),
        ("compose.yaml", "services:\n  a: [", "ends in the middle"),
        ("compose.yaml", "a: !reset x", "tags such as"),
        ("Procfile", "# nothing", "names no program"),
        ("supervisord.conf", "[supervisord]", r"has no \[program:"),
        ("supervisord.conf", "command=x", "is no configuration"),
        ("ecosystem.json", "{", "is no JSON"),
        ("ecosystem.json", '{"apps": [{"name": "x"}]}', "names no script"),
        ("package.json", "{}", "names no package"),
    ],
)
def test_what_is_no_such_file(name: str, text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        draft(Folder(Listing("x", frozenset((name,)), {name: text}), {name: text}.get), name)
    assert re.search(message, caught.value.problems[0].message), caught.value.problems
    assert caught.value.problems[0].file == name


def test_a_file_of_another_name() -> None:
    with pytest.raises(UserError, match="its name does not say what it is"):
        draft(Folder(Listing("x"), lambda name: None), "Makefile")
