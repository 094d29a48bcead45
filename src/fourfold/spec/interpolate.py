"""`${VAR}` and `${VAR:-default}` in values, from the environment of the caller; `$$` is `$`; anything else stays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from fourfold.errors import Problem
from fourfold.spec.yaml.node import Node, dotted, rebuild

_FORM = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})")
_OWN = ("PORT", "HOST")


def interpolate(tree: Node, environ: Mapping[str, str]) -> tuple[Node, list[Problem]]:
    """The tree with variables filled in, and a problem for each that is not set and has no default.

    As in a shell, `:-` also stands in for an empty variable.
    """
    problems: list[Problem] = []

    def fill(node: Node) -> Node:
        if not isinstance(node.value, str) or "$" not in node.value:
            return node
        text = _FORM.sub(lambda match: _value(match, node, environ, problems), node.value)
        return replace(node, value=text, text=text)

    return rebuild(tree, fill), problems


def escape(text: str) -> str:
    """Text that interpolation turns back into `text`."""
    return re.sub(r"\$(?=[${])", "$$", text)


def _value(match: re.Match[str], node: Node, environ: Mapping[str, str], problems: list[Problem]) -> str:
    name, default = match.groups()
    if name is None:
        return "$"
    if default is not None and "${" in default:
        message = f"the default of `${{{name}:-…}}` holds another `${{`"
        problems.append(_problem(node, message, "a default is plain text"))
        return ""
    value = environ.get(name)
    if value and not value.isascii() and re.search("[\ud800-\udfff]", value):  # how Python shows bytes that are no text
        problems.append(_problem(node, f"the variable {name} is not UTF-8", "set it to text"))
        return ""
    if default is not None:
        return value or default
    if value is not None:
        return value
    hint = f"set it, or give a default: ${{{name}:-value}}"
    if name in _OWN:
        hint = f"for the variable of the running program write ${name} or $${{{name}}}"
    problems.append(_problem(node, f"the variable {name} is not set", hint))
    return ""


def _problem(node: Node, message: str, hint: str) -> Problem:
    return Problem(dotted(node.path), message, node.where.file, node.where.line, node.where.column, hint)
