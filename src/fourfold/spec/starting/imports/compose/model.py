"""A Compose file as plain values, and how its forms are read. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fourfold.spec.starting.imports.model import Folder
from fourfold.spec.starting.imports.values import resolved
from fourfold.spec.yaml.node import Node


@dataclass
class Compose:
    """A Compose file with what it includes, as plain values: scalars are text, true, false or None."""

    folder: Folder
    file: str
    base: str
    """The folder of the file, from the one that is looked at; empty: that one."""
    known: Mapping[str, str] = field(default_factory=dict)
    """Variables of its `.env`."""
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Of services: theirs -> ours."""
    secrets: dict[str, Any] = field(default_factory=dict)
    volumes: dict[str, Any] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)

    @property
    def profiles(self) -> set[str]:
        """Those that are on: of `COMPOSE_PROFILES` in its `.env`; where that says none, the one without a name."""
        return {name.strip() for name in self.known.get("COMPOSE_PROFILES", "").split(",")}

    def place(self, path: str) -> str:
        """A path of the Compose file, from the folder that is looked at."""
        return posixpath.normpath(posixpath.join(self.base, path))

    def text(self, value: Any) -> str:
        """A scalar with its variables filled in, as far as they are known."""
        return resolved(value, self.known) if isinstance(value, str) else ""


def plain(node: Node) -> Any:
    """Maps, lists, true, false and None as they are; any other scalar as it was written."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value if node.value is None or isinstance(node.value, bool) else node.text


def as_map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def pairs(value: Any) -> dict[str, str | None]:
    """`environment` in both of its forms; None: passed on from whoever calls."""
    if isinstance(value, dict):
        return {str(key): _scalar(each) for key, each in value.items()}
    split = (str(each).partition("=") for each in as_list(value) if isinstance(each, str))
    return {key: text if equals else None for key, equals, text in split}


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None
