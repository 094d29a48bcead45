"""YAML 1.2 text into a `Node` tree: pure data, bounded, every place remembered, every error a `Problem`."""

from __future__ import annotations

import re
import warnings
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from fourfold.errors import Problem, SpecError
from fourfold.spec.yaml import fast as yaml_fast
from fourfold.spec.yaml.errors import explain
from fourfold.spec.yaml.node import UNUSABLE, UNUSABLE_TEXT, Node, Path, Scalar, Where, dotted

MAX_BYTES = 1024 * 1024
MAX_NODES = 100_000
MAX_CHARACTERS = 4 * MAX_BYTES
"""Of all scalars together, once aliases are expanded."""
MAX_DEPTH = 50
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(
    _TAG + kind for kind in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge", "map", "seq")
)


def decode(data: bytes, name: str) -> str:
    """The file's bytes as text. Raises SpecError when they are too many or not UTF-8."""
    if len(data) > MAX_BYTES:
        raise SpecError([Problem("", f"is too long: at most {MAX_BYTES:,} bytes are read", name)])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        start = data.rfind(b"\n", 0, error.start) + 1
        column = len(data[start : error.start].decode("utf-8", "replace")) + 1
        message = f"is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}"
        raise SpecError([Problem("", message, name, line, column, "save the file as UTF-8")]) from None


def read(text: str, name: str, hint: str = "it starts with `app: NAME` and has `services:`") -> Node:
    """A file's text -> its tree, whose root is a map. Raises SpecError with all that is wrong with it as YAML.

    `hint`: what such a file holds.
    """
    if len(text) > MAX_BYTES:
        raise SpecError([Problem("", f"is {len(text):,} characters long; at most {MAX_BYTES:,} are read", name)])
    text = text.removeprefix("\ufeff")
    root = yaml_fast.compose(text, MAX_DEPTH) or compose(text, name)
    if not isinstance(root, MappingNode):
        found = "is empty" if root is None or root.tag == _TAG + "null" else "is not a map of keys and values"
        raise SpecError([Problem("", found, name, 1, 1, hint)])
    builder = _Builder(name)
    tree = builder.build(root, ())
    if builder.problems:
        raise SpecError(builder.problems)
    return tree


def compose(text: str, name: str) -> Any:
    """ruamel's nodes, which know where everything begins and ends. Raises SpecError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a reused anchor is allowed
            return YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        raise SpecError([explain(error, text, name)]) from None
    except RecursionError:
        raise SpecError([Problem("", f"is nested deeper than {MAX_DEPTH} levels", name)]) from None
    except (YAMLError, ValueError, ArithmeticError) as error:
        # Not all of ruamel's errors are its own: "\UFFFFFFFF" is an OverflowError of chr().
        position = getattr(error, "position", None)
        if position is None:
            raise SpecError([Problem("", "is not YAML: an escape names a character that there is not", name)]) from None
        line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
        message = f"holds the control character U+{ord(text[position]):04X}, which YAML does not allow"
        raise SpecError([Problem("", message, name, line, column)]) from None


class _TooMuch(Exception):
    """The expanded tree passed a bound; the problem is recorded."""


class _Builder:
    """From ruamel's node graph to a tree. Aliases are expanded, which is why everything is counted."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self._nodes = 0
        self._characters = 0

    def build(self, root: Any, path: Path) -> Node:
        try:
            return self._node(root, path, None)
        except _TooMuch:
            raise SpecError(self.problems) from None

    def _node(self, raw: Any, path: Path, key: Where | None) -> Node:
        where = self._where(raw)
        self._bound(where, path)
        if raw.tag not in _PLAIN_TAGS:
            tag = str(raw.tag).replace(_TAG, "!!")
            self._problem(f"tags such as `{tag}` are not part of the format", where, path, "quote it if it is text")
        flow = bool(raw.flow_style) if not isinstance(raw, ScalarNode) else False
        if isinstance(raw, MappingNode):
            return Node(self._entries(raw, path), where, path, key, flow=flow)
        if isinstance(raw, SequenceNode):
            items = [self._node(item, (*path, index), None) for index, item in enumerate(raw.value)]
            return Node(items, where, path, key, flow=flow)
        if key and raw.end_mark.index == raw.start_mark.index:
            where = key  # nothing stands there: the reader's mark is somewhere behind it
        self._characters += len(raw.value)
        if UNUSABLE.search(raw.value):
            self._problem(UNUSABLE_TEXT, where, path)
        return Node(_scalar(raw), where, path, key, text=raw.value)

    def _entries(self, raw: Any, path: Path) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: list[Node] = []
        for raw_key, raw_value in raw.value:
            where = self._where(raw_key)
            if not isinstance(raw_key, ScalarNode):
                self._problem("a key must be text, not a map or list", where, path, "quote a value that holds { or [")
            elif raw_key.tag == _TAG + "merge":
                merged += self._merged(raw_value, path)
            elif raw_key.value in entries:
                first = entries[raw_key.value].place.line
                self._problem(f"is given twice (first on line {first})", where, (*path, raw_key.value))
            else:
                entries[raw_key.value] = self._node(raw_value, (*path, raw_key.value), where)
        for node in merged:
            if isinstance(node.value, dict):
                entries = {**node.value, **entries}
        return entries

    def _merged(self, raw: Any, path: Path) -> list[Node]:
        """What `<<: *common` or `<<: [*a, *b]` brings in; the first to name a key wins."""
        parts = raw.value if isinstance(raw, SequenceNode) else [raw]
        if not all(isinstance(part, MappingNode) for part in parts):
            self._problem("`<<` merges maps only", self._where(raw), path)
            return []
        return [self._node(part, path, None) for part in parts]

    def _bound(self, where: Where, path: Path) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES or self._characters > MAX_CHARACTERS:
            self._problem("aliases (`*name`) expand to more than a service file can hold", where, ())
        elif len(path) > MAX_DEPTH:
            self._problem(f"is nested deeper than {MAX_DEPTH} levels", where, path[:3], "an alias may contain itself")
        else:
            return
        raise _TooMuch

    def _where(self, raw: Any) -> Where:
        return Where(self.name, raw.start_mark.line + 1, raw.start_mark.column + 1)

    def _problem(self, message: str, where: Where, path: Path, hint: str | None = None) -> None:
        self.problems.append(Problem(dotted(path), message, where.file, where.line, where.column, hint))


def _scalar(raw: Any) -> Scalar:
    """YAML 1.2's core schema. What only looks like a number (or is one of thousands of digits) stays text."""
    text: str = raw.value
    kind = raw.tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        if kind == "int":
            digits = text.replace("_", "")
            return int(digits, 0) if re.match(r"[-+]?0[xob]", digits) else int(digits)
        if kind == "float":
            return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        pass
    return text
