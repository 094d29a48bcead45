"""One value of a service file changed, and not a character besides: comments and layout stay as they are."""

from __future__ import annotations

from typing import Any

from ruamel.yaml.nodes import MappingNode, ScalarNode

from fourfold.errors import SpecError, UserError
from fourfold.spec.yaml import yaml
from fourfold.spec.yaml.node import dotted, plain

Keys = tuple[str, ...]


def with_value(text: str, name: str, path: Keys, value: int | str) -> str:
    """The text of a service file with `value` at `path`; the map that it belongs to must be there.

    Raises UserError when that cannot be done without changing anything else, SpecError when it is no YAML.
    """
    before = plain(yaml.read(text, name))
    holder = _own_map(yaml.compose(text, name), path[:-1])
    key = path[-1]
    found = next((entry for entry in holder.value if entry[0].value == key), None) if holder else None
    edited = text
    if holder is not None and found is None:
        edited = _added(text, holder, f"{key}: {value}")
    elif found is not None and isinstance(found[1], ScalarNode):
        if "${" in found[1].value:
            raise UserError(
                f"cannot write {dotted(path)} into {name}: it is given by {found[1].value}",
                "change it where that is set",
            )
        edited = text[: found[1].start_mark.index] + str(value) + text[found[1].end_mark.index :]
    if not _is_all_that_changed(before, edited, name, path, value):
        raise UserError(
            f"cannot write {dotted(path)} into {name} without changing anything else",
            f"write `{key}: {value}` there yourself, under {dotted(path[:-1])}",
        )
    return edited


def _own_map(node: Any, path: Keys) -> Any:
    """The map at `path` as it stands in the text; None for one that is merged in, or not there."""
    for part in path:
        if not isinstance(node, MappingNode):
            return None
        node = next((value for key, value in node.value if key.value == part), None)
    return node if isinstance(node, MappingNode) and node.value else None


def _added(text: str, holder: Any, entry: str) -> str:
    """With one more entry: behind the last one that is a line of its own, so that it stands with the plain ones."""
    if holder.flow_style:
        end = holder.value[-1][1].end_mark.index
        return f"{text[:end]}, {entry}{text[end:]}"
    indent = " " * holder.value[0][0].start_mark.column
    short = [value for key, value in holder.value if _is_a_line(key, value)]
    if not short:
        start = holder.value[0][0].start_mark.index - len(indent)
        return f"{text[:start]}{indent}{entry}\n{text[start:]}"
    end = text.find("\n", short[-1].end_mark.index)
    if end < 0:
        return f"{text}\n{indent}{entry}\n"
    line_end = "\r\n" if text[end - 1] == "\r" else "\n"
    return f"{text[: end + 1]}{indent}{entry}{line_end}{text[end + 1 :]}"


def _is_a_line(key: Any, value: Any) -> bool:
    block = not isinstance(value, ScalarNode) and not value.flow_style
    return not block and bool(key.start_mark.line == value.end_mark.line)


def _is_all_that_changed(before: Any, edited: str, name: str, path: Keys, value: int | str) -> bool:
    """Anchors may make one place be many; a way of writing that was not thought of here must not do harm either."""
    try:
        after = plain(yaml.read(edited, name))
    except SpecError:
        return False
    return bool(after == _set(before, path, value))


def _set(data: Any, path: Keys, value: int | str) -> Any:
    if not path:
        return value
    children = data if isinstance(data, dict) else {}
    return children | {path[0]: _set(children.get(path[0]), path[1:], value)}
