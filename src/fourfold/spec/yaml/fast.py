"""The nodes of YAML text by libyaml: six times as fast as in Python, for what both read alike.

It is asked first and decides nothing: whatever it objects to, or is known to see otherwise, is left to the reader in
Python, whose messages are the ones that are explained.
"""

from __future__ import annotations

import re
from typing import Any

from _ruamel_yaml import CParser
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.resolver import VersionedResolver

_OTHERWISE = re.compile(
    r"""\t | ^% | (?<![^\s,\[{])! | [&*]\S*[:?]  # tabs, directives, tags, odd names of anchors
    | [}\]]: | [|>][-+\d]*\#  # what only one of them allows: a key that is a collection, a comment without a space
    | :[ ]+[,\]}]  # a value that is not there: each has another place for it
    | [^\n\ -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\uffef]  # characters that end a line, or are not allowed
    """,
    re.MULTILINE | re.VERBOSE,
)


class _Reader(CParser, VersionedResolver):  # type: ignore[misc]
    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        VersionedResolver.__init__(self, version="1.2")


def compose(text: str, most_levels: int) -> Any | None:
    """ruamel's nodes; None: the reader in Python must say."""
    if _OTHERWISE.search(text):
        return None
    try:
        # Before anything is composed, as libyaml's own recursion has no end but that of the stack.
        return None if _is_deeper(text, most_levels) else _Reader(text).get_single_node()
    except (YAMLError, ValueError):
        return None


def _is_deeper(text: str, most: int) -> bool:
    """Reads no further than it has to: libyaml takes the square of the depth in time."""
    parser, depth = CParser(text), 0
    while (event := parser.get_event()) is not None and depth <= most:
        if isinstance(event, CollectionStartEvent):
            depth += 1
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
    return depth > most
