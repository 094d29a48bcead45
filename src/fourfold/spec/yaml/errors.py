"""What the YAML reader says, in the words of someone who wants to mend the file."""

from __future__ import annotations

import re

from ruamel.yaml.error import MarkedYAMLError

from fourfold.errors import Problem

_QUOTE = 'quote the value: "…"'
_RULES: tuple[tuple[str, str, str | None], ...] = (
    # what the reader's message looks like, what to say, hint
    (r"character '\\t'", "a tab where YAML wants spaces", "indent and separate with spaces"),
    (r"character '([@`%|>])'", "a plain value cannot start with `{0}`", _QUOTE),
    (r"undefined alias '(.*)'", "`*{0}` is read as a YAML alias, and there is no anchor `&{0}`", 'quote it: "*{0}"'),
    (r"mapping values are not allowed", "a second `: ` on this line (or wrong indentation)", _QUOTE),
    (
        r"sequence entries are not allowed",
        "a list cannot start on the line of its key",
        "put each `- ` on its own line",
    ),
    (r"expected ',' or '([}\]])', but got '<stream end>'", "the file ends before the closing `{0}`", None),
    (
        r"expected ',' or '([}\]])', but got",
        "expected `,` or `{0}`",
        'inside {{…}} and […] quote values that hold {{ }} [ ] or a comma: "POST /x/{{id}}"',
    ),
    (r"<stream end>", "the file ends in the middle", None),
    (r"found unexpected end of stream", "the quote opened here is never closed", None),
    (
        r"expected <block end>",
        "this does not fit the lines above",
        "indent the keys of one map alike; quote odd values",
    ),
    (r"could not find expected ':'", "expected `key: value`", "a key is followed by a colon and a space"),
    (r"another document", "a second document (`---`) starts here", "one file holds one app"),
    (r"found duplicate anchor", "the same anchor twice", None),
    (r"escape sequence|unknown escape", 'not an escape of "double-quoted" text', "use 'single quotes' for a plain \\"),
    (r"incompatible YAML", "a `%YAML` line of another version", "leave the line out"),
)


def explain(error: MarkedYAMLError, text: str, name: str) -> Problem:
    """One syntax error as a Problem. `text` is what was read; for an open quote it is the opening that is shown."""
    problem = str(error.problem or error.context or error)
    never_closed = "unexpected end of stream" in problem
    mark = (error.context_mark if never_closed else None) or error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.splitlines()
    if "character '\\t'" not in problem and 0 < line <= len(lines) and re.match(r" *\t", lines[line - 1]):
        problem = "character '\\t'"
    for pattern, message, hint in _RULES:
        if match := re.search(pattern, problem):
            groups = [group[:60] for group in match.groups()]
            return Problem(
                "", "not YAML: " + message.format(*groups), name, line, column, hint and hint.format(*groups)
            )
    return Problem("", f"not YAML: {_one_line(problem)}", name, line, column)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()[:200] or "it cannot be read"
