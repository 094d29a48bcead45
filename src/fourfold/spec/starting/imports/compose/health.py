"""`healthcheck` of a Compose service. Pure."""

from __future__ import annotations

import re
from typing import Any

from fourfold.spec.starting.imports.commands import asked
from fourfold.spec.starting.imports.compose.model import Compose, as_map
from fourfold.spec.starting.imports.compose.ports import Publishing
from fourfold.spec.starting.imports.model import Drafted, Raw
from fourfold.spec.starting.imports.values import duration, seconds, variables

_PIPE = re.compile(r"(?<!\|)\|(?!\|)")
_GRACE = 30.0
"""What a start may take here when nothing is said."""


def health(compose: Compose, made: Drafted, given: Any, publishing: Publishing) -> None:
    """A request to itself becomes a `path`; any other check a command."""
    said = as_map(given)
    test = said.get("test")
    if said.get("disable") is True or test in ("NONE", ["NONE"]) or not test:
        return
    words = [str(each) for each in test] if isinstance(test, list) else ["CMD-SHELL", str(test)]
    kind, rest = (words[0], words[1:]) if words[0] in ("CMD", "CMD-SHELL") else ("CMD", words)
    text = " ".join(rest)
    built, port = "image" not in made.keys and "container" not in made.keys, made.keys.get("port")
    whole = asked(compose.text(text))
    request = whole or (asked(_PIPE.split(compose.text(text))[0]) if built else None)
    block: dict[str, Any] = {}
    if request and ("static" in made.keys or (port and request[0] in (None, port))):
        block["path"] = request[1]
        if whole is None:
            made.note("healthcheck", "what it answers is not looked at, but its status", text)
    elif "static" in made.keys:
        made.note("healthcheck", "no program of the image is there: Fourfold serves the files", text)
        return
    elif kind == "CMD":
        block["command"] = [variables(word, compose.known) for word in rest]
    else:
        made_text = variables(text, compose.known)
        block["command"] = made_text if isinstance(made_text, Raw) else str(made_text)
    if "command" in block and built:
        made.remarks["health"] = "the program must be there: a base has few beside its runtime"
    block |= _times(compose, said)
    made.keys["health"] = block


def _times(compose: Compose, said: dict[str, Any]) -> dict[str, Any]:
    """Docker counts a start as failed after its period and all retries."""
    interval = duration(compose.text(said.get("interval")))
    timeout = duration(compose.text(said.get("timeout")))
    retries = compose.text(said.get("retries"))
    start = duration(compose.text(said.get("start_period"))) or 0.0
    block: dict[str, Any] = {}
    if interval:
        block["interval"] = seconds(interval)
    block["timeout"] = seconds(timeout or 30.0)
    if retries.isdecimal() and int(retries) > 0 and retries != "3":
        block["failures"] = int(retries)
    grace = start + (interval or 30.0) * int(retries if retries.isdecimal() else 3)
    if grace > _GRACE:
        block["grace"] = seconds(grace)
    return block
