"""A parsed file as a tree that remembers where everything stood: what overlays, interpolation and messages work on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

UNUSABLE = re.compile("[\x00\ud800-\udfff]")
UNUSABLE_TEXT = "holds a character that no program can take (NUL or half a surrogate pair)"

Scalar: TypeAlias = str | int | float | bool | None
Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file; line and column count from 1, in characters. 0: the value came from no file."""

    file: str = ""
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """One value. Nodes are shared by aliases and merges and therefore never changed."""

    value: dict[str, Node] | list[Node] | Scalar
    where: Where
    path: Path = ()
    """Where it stands in its own file: a value merged in from `defaults` keeps that path."""
    key: Where | None = None
    """Where its key stands, for entries of maps."""
    text: str = ""
    """A scalar as it was written: `1.10` is the text "1.10" in an environment, though a number elsewhere."""
    flow: bool = False
    """Written with braces or brackets."""

    def get(self, path: Path) -> Node | None:
        """The node at `path` below this one, or None."""
        node: Node | None = self
        for part in path:
            node = node and node.child(part)
        return node

    def child(self, part: str | int) -> Node | None:
        if isinstance(self.value, dict) and isinstance(part, str):
            return self.value.get(part)
        if isinstance(self.value, list) and isinstance(part, int) and 0 <= part < len(self.value):
            return self.value[part]
        return None

    def children(self) -> Iterator[Node]:
        if isinstance(self.value, dict):
            yield from self.value.values()
        elif isinstance(self.value, list):
            yield from self.value

    @property
    def place(self) -> Where:
        """What to point at when the entry as a whole is wrong: its key, when it has one."""
        return self.key or self.where


def dotted(path: Path) -> str:
    """`("services", "a", "volumes", 0)` -> `services.a.volumes[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def plain(node: Node, path: Path = ()) -> Any:
    """The tree as dicts, lists and scalars. Entries of lists and of `env` are text as it was written."""
    if isinstance(node.value, dict):
        return {key: plain(child, (*path, key)) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child, (*path, index)) for index, child in enumerate(node.value)]
    return node.text if node.value is not None and _is_text(path) else node.value


def _is_text(path: Path) -> bool:
    in_env = len(path) == 4 and path[0] in ("services", "groups") and path[2] == "env"
    return in_env or (bool(path) and isinstance(path[-1], int))


def merge(below: Node, above: Node) -> Node:
    """`above` over `below`: maps merge, lists and scalars replace, null removes what is below."""
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    merged = dict(below.value)
    for key, child in above.value.items():
        if child.value is None and key in merged:
            del merged[key]
        else:
            merged[key] = merge(merged[key], child) if key in merged else child
    return replace(above, value=merged)


def rebuild(node: Node, change: Callable[[Node], Node]) -> Node:
    """The same tree with `change` applied to every scalar."""
    if isinstance(node.value, dict):
        return replace(node, value={key: rebuild(child, change) for key, child in node.value.items()})
    if isinstance(node.value, list):
        return replace(node, value=[rebuild(child, change) for child in node.value])
    return change(node)


def without(node: Node, path: Path) -> Node:
    """The same tree without the map entry at `path` (whose parents exist)."""
    assert isinstance(node.value, dict)
    first, rest = path[0], path[1:]
    entries = dict(node.value)
    if rest:
        entries[str(first)] = without(entries[str(first)], rest)
    else:
        entries.pop(str(first), None)
    return replace(node, value=entries)


def from_plain(value: Any, path: Path = ()) -> Node:
    """Plain data (JSON from a client) as a tree without places, so that it is judged by the same code."""
    if isinstance(value, dict):
        return Node({str(key): from_plain(child, (*path, str(key))) for key, child in value.items()}, Where(), path)
    if isinstance(value, list | tuple):
        return Node([from_plain(child, (*path, index)) for index, child in enumerate(value)], Where(), path)
    scalar = value if isinstance(value, str | int | float | bool) or value is None else str(value)
    return Node(scalar, Where(), path, text=_written(scalar))


def _written(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
