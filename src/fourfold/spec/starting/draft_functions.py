"""Functions as lines of the file that `fourfold init` writes. Pure."""

from __future__ import annotations

from collections.abc import Callable

from fourfold.spec.starting.finds import free_name
from fourfold.spec.starting.finds_functions import FoundFunction


def services(found: list[FoundFunction], name_of: Callable[[str], str], quoted: Callable[[str], str]) -> list[str]:
    """One text per function. A route that another one has already stands there as a comment."""
    taken: dict[str, list[str | None]] = {}
    names: set[str] = set()
    texts = []
    for function in found:
        name = free_name(name_of(function.name), names)
        names.add(name)
        texts.append("\n".join(_lines(name, function, taken, quoted)) + "\n")
    return texts


def _lines(
    name: str, found: FoundFunction, taken: dict[str, list[str | None]], quoted: Callable[[str], str]
) -> list[str]:
    lines = [f"  {name}:" + _comment(f"found in {found.why}"), f"    source: {quoted(found.source)}"]
    lines.append("    pattern: function" + _comment("or process, container, vm: the handler stays the same"))
    if found.runtime:
        lines.append(f"    runtime: {found.runtime}")
    if found.memory:
        lines.append(f"    resources: {{memory: {found.memory}Mi}}")
    block = [f"handler: {quoted(found.handler or 'app.handler')}"]
    block += [f"timeout: {found.timeout:g}s"] if found.timeout else []
    block += [f"tmp: {found.tmp}Mi"] if found.tmp else []
    block += [f"concurrency: {found.concurrency}"] if found.concurrency is not None else []
    block += [f"provisioned: {found.provisioned}"] if found.provisioned else []
    block += [f"payload: {found.payload}"] if found.payload else []
    block += [f"paths: [{', '.join(quoted(path) for path in found.paths)}]"] if found.paths else []
    lines.append(f"    function: {{{', '.join(block)}}}")
    if found.handler is None and found.runtime != "provided":
        lines.append("    # its handler is not said: app.handler is a guess")
    lines += _routes(found, taken)
    lines += _triggers(found)
    if found.env:
        lines.append("    env:")
        lines += [f"      {key}: {_text(value, quoted)}" for key, value in found.env.items()]
    lines += [f"    # env {key}: {_plain(text)}" for key, text in found.unknown_env.items()]
    return [*lines, *(f"    # {_plain(note)}" for note in found.notes)]


def _routes(found: FoundFunction, taken: dict[str, list[str | None]]) -> list[str]:
    kept, others = [], []
    whole = {path for path, method in found.routes if method is None}  # each with all of its methods
    for path, method in dict.fromkeys((path, None if path in whole else method) for path, method in found.routes):
        text = f'{{path: "{path}"{f", method: {method}" if method else ""}}}'
        used = taken.setdefault(path, [])
        if used and (method is None or method in used or None in used):
            others.append(text)
        else:
            used.append(method)
            kept.append(text)
    lines = [f"    route: [{', '.join(kept)}]"] if kept else []
    return lines + [f"    # route {text}: another one has it already; paths are prefixes here" for text in others]


def _triggers(found: FoundFunction) -> list[str]:
    if not found.triggers:
        return []
    return [
        "    triggers:",
        *(f"      - {text}" + _comment(_plain(look)) * bool(look) for text, look in found.triggers),
    ]


def _comment(text: str) -> str:
    return f"  # {text}"


def _plain(text: str) -> str:
    return "".join(character if " " <= character <= "~" else "?" for character in text)[:160]


def _text(value: str, quoted: Callable[[str], str]) -> str:
    """Always in quotes: `env` is text, whatever it looks like."""
    made = quoted(value)
    return made if made.startswith('"') else f'"{made}"'
