"""Programs that run beside each other on a host, as processes of ours: variables, secrets, ports. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.spec.starting.imports.model import Drafted, Raw
from fourfold.spec.starting.imports.values import is_variable, looks_secret


def variables_of(made: Drafted, given: Mapping[str, str | Raw], secret_source: str | None, hints: list[str]) -> None:
    """Sets `env` and `secrets`. `secret_source`: a `.env` file whose secrets are to be stored; None: they stay."""
    env: dict[str, str | Raw] = {}
    secrets: list[Any] = []
    for name, value in given.items():
        text = value.text if isinstance(value, Raw) else value
        if not is_variable(name):
            made.note(name, "that is no name of a variable here")
        elif name in ("PORT", "HOST"):
            if name == "HOST" or not text.isdecimal():
                made.note(name, "it is set for every instance", text)
        elif secret_source and looks_secret(name, text):
            secrets.append(name)
            hints.append(f"fourfold secrets import {secret_source}")
        else:
            env[name] = value
    if env:
        made.keys["env"] = env
    if secrets:
        made.keys["secrets"] = secrets


def number(value: Any) -> int | None:
    """A port, as text or number."""
    text = value.text if isinstance(value, Raw) else str(value) if isinstance(value, str | int) else ""
    return int(text) if text.isdecimal() and 0 < int(text) < 65536 else None
