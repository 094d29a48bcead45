"""What `init` finds by looking at code, as drafted services: where another tool's file does not tell all. Pure."""

from __future__ import annotations

import re
from typing import Any

from fourfold.spec.starting.finds import Found
from fourfold.spec.starting.imports.model import Drafted

_NODE = re.compile(r"(\S*/)?(node|npm|pnpm|yarn|npx|next)\b")


def build(made: Drafted, found: Found | None) -> None:
    """Sets `build` of a program that is started from what its package builds."""
    if found and found.build and not found.static and _NODE.match(str(made.keys.get("run"))):
        made.keys = {"source": made.keys["source"], "build": found.build, **made.keys}


def drafted(found: Found) -> Drafted:
    """A service as it would be without the other tool's file."""
    keys: dict[str, Any] = {"source": found.source}
    if found.build:
        keys["build"] = found.build
    if found.static:
        keys["static"] = {"dir": found.static}
    elif found.run:
        keys["run"] = found.run
    if found.port and not found.static:
        keys["port"] = found.port
    made = Drafted(found.name, found.why, keys)
    made.published = ("", None) if found.port else None
    if found.port and not found.static:
        made.remarks["port"] = "it must listen on $PORT, at $HOST"
    return made
