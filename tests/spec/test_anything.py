"""No input causes anything but a SpecError."""

from __future__ import annotations

from io import StringIO
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fourfold.errors import SpecError
from fourfold.spec.app import App
from fourfold.spec.dump import to_yaml
from fourfold.spec.parse import parse, parse_json
from fourfold.spec.yaml import yaml

KEYS = [
    *["app", "services", "defaults", "externals", "gateway", "groups", "x-a", "<<", "web", "db", "source", "pattern"],
    *[
        "run",
        "build",
        "static",
        "dir",
        "port",
        "fixed",
        "route",
        "path",
        "host",
        "method",
        "strip",
        "timeout",
        "health",
    ],
    *["live", "command", "tcp", "interval", "instances", "resources", "cpu", "memory", "io", "read", "env", "PORT"],
    *["secrets", "name", "file", "volumes", "depends_on", "deploy", "strategy", "before", "stop", "signal", "restart"],
    *["backoff", "min", "max", "url", "check", "listen", "tls", "cert", "key", "redirect", "steps", "job", "number"],
]
WORDS = [
    "web",
    "db",
    "./x",
    "/",
    "/a",
    "8080",
    "30s",
    "256Mi",
    "${A}",
    "${",
    "$$",
    "process",
    "vm",
    ":80",
    "GET",
    "*.a",
]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(WORDS + KEYS)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=25,
)
SERVICES = st.dictionaries(st.sampled_from(KEYS), TREES, max_size=8)
APPS = st.fixed_dictionaries(
    {"app": st.just("shop"), "services": st.dictionaries(st.sampled_from(["web", "db", "a"]), SERVICES, max_size=3)},
    optional={"defaults": SERVICES, "externals": TREES, "gateway": TREES, "x-a": TREES},
)


def load(text: str) -> App | None:
    """The app, or None when it was refused as it should be."""
    try:
        return parse([("f.yaml", text)], {"A": "a"})
    except SpecError as error:
        assert error.problems
        assert all(problem.message for problem in error.problems)
        str(error).encode()
        return None


@settings(deadline=None)
@given(st.text())
def test_any_text(text: str) -> None:
    load(text)


@settings(deadline=None)
@given(st.text(alphabet="ab: -{}[]\"'\n\t#&*!|>%@`?,<~0.\\$\ufeff\x85\u2028\x00\ud800", max_size=60))
def test_any_text_of_yamls_own_characters(text: str) -> None:
    load("app: a\nservices:\n  a: " + text)
    load(text)


@settings(deadline=None)
@given(st.binary())
def test_any_bytes(data: bytes) -> None:
    try:
        load(yaml.decode(data, "f.yaml"))
    except SpecError as error:
        assert "UTF-8" in str(error)


@settings(max_examples=150, deadline=None)
@given(st.one_of(TREES, APPS))
def test_any_structure(tree: Any) -> None:
    stream = StringIO()
    YAML(typ="safe", pure=True).dump(tree, stream)
    app = load(stream.getvalue())
    if app is not None:
        assert parse([("again.yaml", to_yaml(app))], {}) == app


@settings(max_examples=100, deadline=None)
@given(st.one_of(TREES, APPS))
def test_any_json(tree: Any) -> None:
    try:
        parse_json(tree)
    except SpecError as error:
        assert error.problems


def test_what_is_too_large_or_too_deep() -> None:
    for text in ("a" * (yaml.MAX_BYTES + 1), "[" * 5000, "- " * 5000, "a: " + "{a: " * 3000, "a: " + "9" * 5000):
        assert load(text) is None
