"""Values as other tools write them, in the forms of a service file. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from fourfold.spec.fields import ENV_NAME, SECRET_NAME
from fourfold.spec.interpolate import escape
from fourfold.spec.starting.imports.model import Raw

_BRACED = r"(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*"
"""Text with braces in it, two deep: a default that holds variables, or JSON."""
_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)"
    rf"|\{{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<form>:?[-?+])(?P<rest>{_BRACED}))?\}})"
)
"""Compose specification, "Interpolation"."""
_SECRET = re.compile(
    r"(?i)password$|(^|_)(passwd|pass|pwd|passphrase|secrets?|token|secret_key_base|credentials?"
    r"|(api|app|access|auth|encryption|master|private|secret|secret_access|signing)_?key)$"
)
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?(?:\d+us)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgBKMG]?)([iI]?[bB]?)")
_BIG = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def variables(text: str, known: Mapping[str, str]) -> str | Raw:
    """Text of a Compose file with its variables as ours. `known`: values of its `.env`, which become defaults.

    An unset variable without default is empty there and an error here, hence `${NAME:-}`. A default is plain text here:
    what it is if nobody sets the variables in it.
    """
    parts: list[str] = []
    plain, position = "", 0
    for match in _VARIABLE.finditer(text):
        plain += text[position : match.start()]
        position = match.end()
        if match["dollar"]:
            plain += "$"
        else:
            parts += [escape(f"{plain}$")[:-1], _ours(match, known)]  # the variable begins with `$`
            plain = ""
    plain += text[position:]
    return Raw("".join([*parts, escape(plain)])) if parts else plain


def _ours(match: re.Match[str], known: Mapping[str, str]) -> str:
    name, form = match["plain"] or match["name"], match["form"] or ""
    if form.endswith("?") and name not in known:
        return f"${{{name}}}"  # it must be set: an error here too
    default = _value(match, known)
    if form.endswith("+") or "}" in default or "${" in default:  # which no default of ours can say
        return escape(default)
    return f"${{{name}:-{default}}}"


def resolved(text: str, known: Mapping[str, str]) -> str:
    """What a text is if nobody sets a variable: for what is read, and not only passed on."""
    return _VARIABLE.sub(lambda match: _value(match, known), text)


def _value(match: re.Match[str], known: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    form, value = match["form"] or "", known.get(match["plain"] or match["name"])
    is_set = bool(value) if form.startswith(":") else value is not None
    if form.endswith("+"):
        return resolved(match["rest"], known) if is_set else ""
    if form.endswith("-") and not is_set:
        return resolved(match["rest"], known)
    return value or ""


def only_variable(text: str) -> str | None:
    """`${DB_PASSWORD}` -> `DB_PASSWORD`: a text that is one variable without a default, and nothing else."""
    match = _VARIABLE.fullmatch(text.strip())
    if match is None or match["dollar"] or (match["form"] or "").endswith(("-", "+")):
        return None
    return match["plain"] or match["name"]


def looks_secret(name: str, value: str = "") -> bool:
    """`PGPASSWORD`, `AWS_SECRET_ACCESS_KEY`, not `PASSWORD_MIN_LENGTH`; or a URL with a password in it."""
    holds = _SECRET.search(name) or re.search(r"\w://[^/\s:@]*:[^/\s:@$]+@", value)
    return holds is not None and re.fullmatch(SECRET_NAME, name) is not None


def is_variable(name: str) -> bool:
    return re.fullmatch(ENV_NAME, name) is not None


def duration(text: str) -> float | None:
    """`1m30s`, `500ms`, `90` (seconds) -> seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def seconds(value: float) -> str:
    """90.0 -> `90s`; 0.5 -> `500ms`."""
    return f"{value:g}s" if value >= 1 or value == 0 else f"{max(1, round(value * 1000))}ms"


def size(text: str) -> int | None:
    """`512m`, `1.5G`, `256Mi`, `1048576` -> bytes; all of them 1024-based, as Docker and PM2 have them."""
    match = _SIZE.fullmatch(text.strip())
    return math.floor(float(match[1]) * _BIG[match[2].lower()]) if match else None


def binary(count: int) -> str | int:
    """268435456 -> `256Mi`."""
    for unit, factor in (("Gi", 1024**3), ("Mi", 1024**2)):
        if count >= factor and count % factor == 0:
            return f"{count // factor}{unit}"
    return count
