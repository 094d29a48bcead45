"""A draft as the text of a `fourfold.yaml`, with a comment for whatever was not carried over. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fourfold.spec.interpolate import escape
from fourfold.spec.starting.imports.model import Draft, Drafted, Note, Raw

WIDTH = 120
_SHOWN = 48
"""Characters of a value that was not carried over."""
_WHY = 160
_BLOCKS = ("env", "secrets", "volumes")
"""Written one entry per line."""
_HEAD = """\
# {app}: made by `fourfold init` from {source}. All keys: `fourfold schema`.
#   A comment with a key of {source} says what was not carried over, and why.
app: {app}

services:
"""


def written(draft: Draft) -> str:
    """Text that loads, if at least one of its services is not `off`."""
    source = plain(draft.source)
    parts = [_HEAD.format(app=draft.app, source=source)]
    parts.append("\n".join(_service(service) for service in draft.services) or "  # nothing that could be started\n")
    if draft.gateway:
        parts.append(f"\ngateway: {flow(draft.gateway)}\n")
    if draft.notes:
        parts.append("\n" + "".join(f"{line}\n" for note in draft.notes for line in comment(note, "")))
    return "".join(parts)


def _service(service: Drafted) -> str:
    lines = [f"  {service.name}:{_remark(service.off or f'from {service.why}')}"]
    for key, value in service.keys.items():
        lines += _entry(key, value, service.remarks.get(key))
    for note in service.notes:
        lines += comment(note, "    ")
    if len(lines) == 1:
        lines[0] = f"  {service.name}: {{}}"
    text = "".join(f"{line}\n" for line in lines)
    return re.sub(r"(?m)^  (?=.)", "  # ", text) if service.off else text


def _entry(key: str, value: Any, remark: str | None) -> Iterator[str]:
    behind = _remark(remark) if remark else ""
    if key in _BLOCKS and value:
        yield f"    {key}:{behind}"
        yield from _block(value)
        return
    line = f"    {key}: {flow(value)}"
    if len(line) > WIDTH and isinstance(value, list | dict):
        yield f"    {key}:{behind}"
        yield from _block(value)
        return
    yield line + behind


def _block(value: Mapping[str, Any] | list[Any]) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (f"      {_key(name)}: {flow(each)}" for name, each in value.items())
    else:
        yield from (f"      - {flow(each)}" for each in value)


def comment(note: Note, indent: str) -> Iterator[str]:
    """`# privileged: true -- a container has no more rights than it needs`."""
    shown = "" if note.value is None else f": {_shown(note.value)}"
    yield f"{indent}# {plain(note.key)[:_SHOWN]}{shown} -- {plain(note.why)[:_WHY]}"


def _remark(text: str) -> str:
    return f"  # {plain(text)[:_WHY]}"


def _shown(value: Any) -> str:
    text = plain(value if isinstance(value, str) else flow(value))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}~"


def plain(text: str) -> str:
    """One line of printable ASCII: what may stand in a comment."""
    text = text.replace("\u2026", "...")
    return "".join(each if " " <= each <= "~" else " " if each.isspace() else "?" for each in text).strip()


def flow(value: Any) -> str:
    """A value on one line, as YAML's flow style has it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)}: {flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, Raw):
        return _quoted(value.text)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    return _quoted(escape(value)) if isinstance(value, str) else str(value)


def _key(key: Any) -> str:
    return (
        str(key)
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", str(key)) and not _is_word(str(key))
        else _quoted(str(key))
    )


def _quoted(text: str) -> str:
    """Plain where every reader takes it for text, also between brackets; else in double quotes."""
    looks_plain = re.fullmatch(r"/|\.|(\.{0,2}/)?[A-Za-z_.][A-Za-z0-9 ./_=$@+-]*|[0-9]+(ms|s|m|h|Mi|Gi)", text)
    if looks_plain and text == text.strip() and (text == "." or text[:1].isdigit() or not _is_word(text)):
        return text
    return '"' + "".join(_escaped(each) for each in text) + '"'


def _is_word(text: str) -> bool:
    """What YAML does not take for text: numbers, booleans, nothing, the end of a document."""
    words = ("true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf")
    return text.lower().lstrip(".") in words or re.match(r"[.]?[0-9]|\.\.\.|[.-]*$", text) is not None


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character == "\0" or "\ud800" <= character <= "\udfff":
        return "?"  # no program could take it
    if character == "\n":
        return "\\n"
    if character == "\t":
        return "\\t"
    return character if character.isprintable() else f"\\U{ord(character):08x}"
