"""YAML of templates for AWS, as values: what only AWS can fill in (`!Ref`, `Fn::Sub`, `${…}`) is kept apart. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_NODES = 20_000
"""Once aliases are expanded."""
MAX_DEPTH = 40
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Unknown:
    """What stands for a value that is known at AWS only."""

    text: str
    """`!Ref Photos`."""
    name: str = ""
    """What it refers to, where it names something: `Photos`."""


class _TooLargeError(Exception):
    pass


def read(text: str) -> Any:
    """Maps, lists, str, int, float, bool, None and Unknown; None for what is no YAML, or more than a template has."""
    try:
        node = YAML(typ="safe", pure=True).compose(text)
        return _Reader().value(node, 0) if node is not None else None
    except (YAMLError, _TooLargeError, ValueError, OverflowError, RecursionError):
        return None


class _Reader:
    def __init__(self) -> None:
        self.left = MAX_NODES

    def value(self, node: Node, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth > MAX_DEPTH:
            raise _TooLargeError
        tag = str(node.tag)
        if not tag.startswith(_TAG):
            name = node.value if isinstance(node, ScalarNode) else ""
            return Unknown(f"{tag} {name}".strip(), name.partition(".")[0].strip("${}"))
        if isinstance(node, MappingNode):
            made = {str(key.value): self.value(value, depth + 1) for key, value in node.value}
            return _intrinsic(made) or made
        if isinstance(node, SequenceNode):
            return [self.value(each, depth + 1) for each in node.value]
        return _scalar(tag, str(node.value))


def _intrinsic(made: dict[str, Any]) -> Unknown | None:
    """`{Ref: Photos}`, `{Fn::GetAtt: [Photos, Arn]}`: intrinsic functions in their long form."""
    if len(made) != 1:
        return None
    (key, value), *_ = made.items()
    if key != "Ref" and not key.startswith("Fn::"):
        return None
    first = value[0] if isinstance(value, list) and value else value
    name = first if isinstance(first, str) else ""
    return Unknown(f"{key}: {name}".strip(), name.partition(".")[0])


def _scalar(tag: str, text: str) -> Any:
    kind = tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in ("true", "yes", "on", "y")
    if kind == "int":
        return int(text.replace("_", ""), 0) if not text.lstrip("+-").startswith("0") else int(text.replace("_", ""))
    if kind == "float":
        return float(text.replace("_", ""))
    return Unknown(text) if "${" in text or "{{resolve:" in text else text
