"""Problems at their places in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fourfold.errors import Problem, SpecError
from fourfold.spec.yaml.node import Node, Path, dotted

MOST = 100
"""More problems than this are counted, not listed."""


def at(tree: Node, path: Path, message: str, hint: str | None = None) -> Problem:
    """A problem with what stands at `path`: a scalar is pointed at itself, anything else at its key."""
    node, path = nearest(tree, path)
    where = node.place if isinstance(node.value, dict | list) else node.where
    return Problem(dotted(node.path or path), message, where.file, where.line or None, where.column or None, hint)


def nearest(tree: Node, path: Sequence[str | int]) -> tuple[Node, Path]:
    """Follow `path` as far as the tree goes. Parts that name no entry (pydantic's union tags) are passed over."""
    node, followed = tree, []
    for part in path:
        if child := node.child(part):
            node = child
            followed.append(part)
    return node, tuple(followed)


def similar(name: str, known: Iterable[str]) -> str | None:
    """`did you mean …?`, when something is near. Of many names only the first are compared: that is slow."""
    from difflib import get_close_matches

    close = get_close_matches(name[:100], list(known)[:500], n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else None


def refuse(problems: Iterable[Problem], files: Sequence[str]) -> None:
    """Raise SpecError with all problems, file by file and line by line; nothing when there are none."""
    order = {file: index for index, file in enumerate(files)}
    found = sorted(
        dict.fromkeys(problems),
        key=lambda problem: (order.get(problem.file, len(order)), problem.line or 0, problem.column or 0, problem.path),
    )
    if len(found) > MOST:
        found = [*found[:MOST], Problem("", f"and {len(found) - MOST} more problems", found[0].file)]
    if found:
        raise SpecError(found)
