"""Which route of a function a request is for, and the values in its path. Pure.

Source: API Gateway developer guide, "Create routes for HTTP APIs" (which of them is selected, greedy path variables).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes


@dataclass(frozen=True)
class Route:
    """`GET /orders/{id}`, or `/files/{name+}` of every method."""

    method: str
    """ANY: every one."""
    path: str
    parts: tuple[tuple[str, str], ...]
    """Kind of a segment, and its text or name: `fixed`, `one` or `rest`, as they are preferred in that order."""

    @property
    def key(self) -> str:
        return f"{self.method} {self.path}"


def routes(templates: Iterable[str]) -> tuple[Route, ...]:
    """The most specific first: segment by segment fixed text, `{x}`, `{x+}`; of one path a method before ANY."""
    return tuple(sorted(map(_route, templates), key=_rank))


def _route(template: str) -> Route:
    method, _, path = template.rpartition(" ")
    return Route(method or "ANY", path, tuple(_part(text) for text in path.split("/")[1:]))


def _part(text: str) -> tuple[str, str]:
    if not text.startswith("{"):
        return "fixed", decoded(text)
    name = text[1:-1]
    return ("rest", name[:-1]) if name.endswith("+") else ("one", name)


def _rank(route: Route) -> tuple[tuple[int, ...], bool]:
    return tuple(("fixed", "one", "rest").index(kind) for kind, _ in route.parts), route.method == "ANY"


def match(known: Sequence[Route], method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """`path`: as it was sent, percent-encoded, without the query. -> the route, and its values, decoded."""
    if not known:
        return None
    segments = path.split("/")[1:]
    for route in known:
        if route.method in ("ANY", method) and (found := _values(route, segments)) is not None:
            return route, found
    return None


def decoded(path: str) -> str:
    """Of a path whose bytes were read as Latin-1."""
    return unquote_to_bytes(path.encode("latin-1")).decode("utf-8", "replace")


def _values(route: Route, segments: Sequence[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for number, (kind, text) in enumerate(route.parts):
        if number >= len(segments):
            return None
        if kind == "rest":
            rest = "/".join(segments[number:])
            return {**found, text: decoded(rest)} if rest else None
        value = decoded(segments[number])
        if kind == "one" and value:
            found[text] = value
        elif kind == "one" or value != text:
            return None
    return found if len(segments) == len(route.parts) else None
