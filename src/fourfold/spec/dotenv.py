"""`.env` files: `NAME=value` per line, `#` comments, `export `, and quotes as shells have them. Pure."""

from __future__ import annotations

import re

from fourfold.errors import Problem, SpecError

_LINE = re.compile(r"(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?P<rest>.*)", re.DOTALL)
_BLANK = " \t\r"
"""Around what is not quoted; the last one where lines end as on Windows."""
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "$": "$"}


def parse(text: str, name: str) -> dict[str, str]:
    """Values by name; the last of two wins. Raises SpecError with every line that cannot be read, never its value."""
    values: dict[str, str] = {}
    problems: list[Problem] = []
    lines = text.split("\n")  # nothing else ends a line: a value may hold any other character
    number = 0
    while number < len(lines):
        first = number + 1
        line = lines[number].lstrip(_BLANK)
        number += 1
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            problems.append(Problem("", "expected NAME=value", name, first))
            continue
        rest = match["rest"]
        while rest[:1] in ("'", '"') and _closing(rest) is None and number < len(lines):
            rest += "\n" + lines[number]  # a quoted value may span lines, as keys and certificates do
            number += 1
        value = _value(rest)
        if value is None:
            problems.append(Problem("", f"the value of {match['name']} is quoted wrongly", name, first))
        else:
            values[match["name"]] = value
    if problems:
        raise SpecError(problems)
    return values


def _closing(rest: str) -> int | None:
    """Where the quote that `rest` begins with is closed."""
    quote, position = rest[0], 1
    while position < len(rest):
        if rest[position] == "\\" and quote == '"':
            position += 1
        elif rest[position] == quote:
            return position
        position += 1
    return None


def _value(rest: str) -> str | None:
    if rest[:1] not in ("'", '"'):
        return re.split(r"[ \t]#", rest, maxsplit=1)[0].rstrip(_BLANK)
    end = _closing(rest)
    if end is None or not re.fullmatch(r"[ \t\r]*(#.*)?", rest[end + 1 :]):
        return None
    inner = rest[1:end]
    if rest[0] == "'":
        return inner
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), inner)
