"""Parts of the file format that this version does not have yet. Each row goes when its part arrives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fourfold.errors import Problem
from fourfold.spec.node import Node, Path, dotted, without


@dataclass(frozen=True)
class Later:
    """A key (`*` is any name), which of its values are meant (none given: all), and what to use until then."""

    path: Path
    meanwhile: str
    values: tuple[str, ...] = ()
    maps: bool = False
    """Only when the value is a map."""

    def meant(self, node: Node) -> bool:
        if self.maps:
            return isinstance(node.value, dict)
        return not self.values or node.value in self.values

    def name(self, node: Node) -> str:
        key = self.path[-1]
        return f"`{key}: {node.value}`" if self.values else f"`{key}` as a map" if self.maps else f"`{key}`"


_ROWS = (
)


def refuse_later(tree: Node) -> tuple[Node, list[Problem]]:
    """What is not there yet as problems, and the tree without it, so that nothing is said about it twice."""
    problems = []
    for row in _ROWS:
        for path in list(_matches(tree, row.path)):
            node = tree.get(path)
            assert node is not None
            if not row.meant(node):
                continue
            message = f"{row.name(node)} is part of the format, but not in this version yet"
            where = node.place
            hint = f"meanwhile {row.meanwhile}"
            problems.append(Problem(dotted(node.path), message, where.file, where.line, where.column, hint))
            tree = without(tree, path)
    return tree, problems


def keys(parent: Path) -> list[str]:
    """Keys of later versions in the map at this path: whoever misspells one is told so."""
    return [
        str(row.path[-1]) for row in _ROWS if not row.values and not row.maps and _stands_for(row.path[:-1], parent)
    ]


def values(path: Path) -> list[str]:
    """Values that the key at this path has in later versions."""
    return [value for row in _ROWS if _stands_for(row.path, path) for value in row.values]


def _stands_for(pattern: Path, path: Path) -> bool:
    return len(pattern) == len(path) and all(part in ("*", given) for part, given in zip(pattern, path, strict=True))


def _matches(tree: Node, pattern: Path, at: Path = ()) -> Iterator[Path]:
    """All paths in the tree that a row's path stands for."""
    if not pattern:
        yield at
        return
    if not isinstance(tree.value, dict):
        return
    names = list(tree.value) if pattern[0] == "*" else [pattern[0]]
    for name in names:
        child = tree.child(name)
        if child is not None:
            yield from _matches(child, pattern[1:], (*at, name))
