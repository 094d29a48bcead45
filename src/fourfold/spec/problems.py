"""What pydantic finds wrong, at its place in the file and in plain words."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from fourfold.errors import Problem
from fourfold.spec import schema
from fourfold.spec.fields import WORDS
from fourfold.spec.places import at, nearest, similar
from fourfold.spec.units import shown
from fourfold.spec.yaml.node import Node, Path, dotted

_OTHERS_WORDS = {
    **dict.fromkeys(("command", "cmd", "entrypoint", "args", "exec", "script", "start"), "run"),
    **dict.fromkeys(("replicas", "count", "numprocs", "scale"), "instances"),
    **dict.fromkeys(("context", "directory", "cwd", "working_dir"), "source"),
    **dict.fromkeys(("environment", "env_vars", "variables"), "env"),
    **dict.fromkeys(("limits", "mem_limit"), "resources"),
    **dict.fromkeys(("readinessprobe", "livenessprobe", "check", "checks"), "health"),
    **dict.fromkeys(("ingress", "hosts", "domain", "domains"), "route"),
    **dict.fromkeys(("links", "after", "requires"), "depends_on"),
    "mounts": "volumes",
    "schedule": "triggers",
    "name": "app",
}
"""What Compose, Kubernetes, Nomad, systemd, Supervisor, PM2 and Kamal call it, in small letters -> what it is here."""


def translate(error: ValidationError, tree: Node) -> list[Problem]:
    """One Problem for each thing that is wrong."""
    return [_translate(item, tree) for item in error.errors(include_url=False)]


_EXPECTED = {
    "string_too_short": "expected text that is not empty",
    "string_too_long": "expected at most {max_length:,} characters",
    "greater_than": "expected more than {gt:,}",
    "greater_than_equal": "expected at least {ge:,}",
    "less_than_equal": "expected at most {le:,}",
    "literal_error": "expected {expected}",
}


def plain(item: Any) -> str:
    """What is wrong with a value of which there is no file. The value itself is not told: it may be a passphrase."""
    kind, context = item["type"], item.get("ctx", {})
    if meaning := WORDS.get(context.get("pattern", "")):
        return f"expected {meaning}"
    if kind not in _EXPECTED:
        return str(item["msg"])
    whole = {name: int(value) for name, value in context.items() if isinstance(value, float) and value.is_integer()}
    return _EXPECTED[kind].format(**context | whole)


def _translate(item: Any, tree: Node) -> Problem:
    loc: tuple[str | int, ...] = item["loc"]
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(tree, loc)
    if kind == "missing":
        expected = schema.describe(schema.at(loc))
        return at(tree, loc[:-1], f"`{loc[-1]}` is missing: expected {expected}")
    if loc and loc[-1] == "[key]":
        node, path = nearest(tree, loc[:-1])
        expected = WORDS.get(context.get("pattern", ""), "another key")
        return _at_key(node, path, f"expected {expected}")
    if kind == "too_long":
        return at(tree, loc, f"expected at most {context['max_length']} entries, got {context['actual_length']}")
    if kind == "too_short":
        return at(tree, loc, "is empty: expected at least one entry")
    if kind == "value_error":
        return at(tree, loc, str(context["error"]), _quoting(tree, loc))
    part = schema.at(loc)
    expected = schema.describe(part)
    if "x-is" in part and kind.startswith(("greater", "less")):
        names = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}
        limits = {names[name]: limit for name, limit in context.items() if name in names}
        expected += "," + schema.bounds({**limits, "x-unit": part.get("x-unit", "")})
    node, _ = nearest(tree, loc)
    return at(tree, loc, f"expected {expected}, got {shown(node.value)}", _quoting(tree, loc))


def _unknown(tree: Node, loc: tuple[str | int, ...]) -> Problem:
    known = schema.keys(schema.at(loc[:-1]))
    if len(loc) == 1:
        known.append("defaults")
    node, path = nearest(tree, loc)
    name = str(loc[-1])
    hint = _called(name, known) or _elsewhere(tree, loc[:-1], name) or similar(name, known)
    return _at_key(node, path, f"unknown key: expected one of {', '.join(known)}", hint)


def _elsewhere(tree: Node, loc: tuple[str | int, ...], name: str) -> str | None:
    """Where a key belongs that is known, but not here: in a map below, or in one that this is in."""
    if below := [key for key, keys in _below(loc) if name in keys][:3]:
        return f"`{name}` belongs under `{'` or `'.join(below)}`"
    for length in range(len(loc) - 1, -1, -1):
        if name in _keys(loc[:length]):
            _, path = nearest(tree, loc[:length])
            return f"`{name}` belongs under `{dotted(path)}`" if path else f"`{name}` belongs at the top of the file"
    return None


@lru_cache
def _below(loc: tuple[str | int, ...]) -> list[tuple[str, frozenset[str]]]:
    """The keys of a map, and those of the maps that stand there."""
    return [(key, _keys((*loc, key))) for key in schema.keys(schema.at(loc))]


@lru_cache
def _keys(loc: tuple[str | int, ...]) -> frozenset[str]:
    return frozenset(schema.keys(schema.at(loc)))


def _called(name: str, known: list[str]) -> str | None:
    ours = _OTHERS_WORDS.get(name.lower())
    return f"`{name}` is called `{ours}` here" if ours in known else None


def _at_key(node: Node, path: Path, message: str, hint: str | None = None) -> Problem:
    where = node.place
    return Problem(dotted(node.path or path), message, where.file, where.line or None, where.column or None, hint)


def _quoting(tree: Node, loc: tuple[str | int, ...]) -> str | None:
    """A hint where YAML has read something else than was meant."""
    node, _ = nearest(tree, loc)
    if (
        node.flow
        and node.value
        and isinstance(node.value, dict)
        and all(child.value is None for child in node.value.values())
    ):
        return f'to mean the text, quote it: "{{{", ".join(node.value)}}}"'
    part = schema.at(loc)
    if isinstance(node.value, int | float) and part.get("type") == "string":
        return f'to mean the text, quote it: "{node.text}"'
    if isinstance(node.value, str) and part.get("type") == "array":
        return f"write it as a list: [{node.value}]"
    choices = part.get("enum", [part["const"]] if "const" in part else [])
    if isinstance(node.value, str) and choices:
        return similar(node.value, choices)
    return None
