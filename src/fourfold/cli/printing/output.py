"""What is printed: data on stdout, messages on stderr; plain text that can be piped, colours only on a terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import click

from fourfold.cli.options import Options, Progressing
from fourfold.cli.printing.formats import count
from fourfold.errors import FourfoldError, SpecError

_CODES = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "dim": 2, "bold": 1}
INSTANCE_COLOURS = ("cyan", "yellow", "green", "magenta", "blue")


def colours(options: Options, stream: TextIO) -> bool:
    """https://no-color.org: any non-empty NO_COLOR means no."""
    return is_screen(stream) and not options.no_color and not os.environ.get("NO_COLOR")


def is_screen(stream: TextIO) -> bool:
    """A terminal that knows control sequences."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def agreed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        print(file=sys.stderr)  # after the question
        raise


def paint(text: str, colour: str, options: Options, stream: TextIO | None = None) -> str:
    if not text or not colours(options, stream or sys.stdout):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def data(text: str) -> None:
    """A result, on stdout."""
    print(text)


def as_json(value: Any) -> None:
    """A result for programs: a view, a list of views, or plain data."""
    print(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def done(text: str, options: Options, **facts: Any) -> None:
    """That something was done which has no other result: said to people, and as `facts` to programs."""
    if options.json:
        as_json(facts)
    else:
        say(text, options)


def json_line(value: object) -> None:
    """Progress for programs, on stderr."""
    sys.stdout.flush()
    print(json.dumps(_plain(value), ensure_ascii=False), file=sys.stderr, flush=True)


def say(text: str, options: Options) -> None:
    """A message, on stderr; --quiet silences it. What is a result comes before it, also where both go to one file."""
    if options.quiet:
        return
    sys.stdout.flush()
    if options.progress is Progressing.json:
        json_line({"kind": "note", "message": text.removeprefix("note: ")})
    else:
        print(text, file=sys.stderr, flush=True)


def say_error(what: str, hint: str | None, options: Options, code: int = 1, problems: Sequence[object] = ()) -> None:
    """`code`: the exit code that comes of it."""
    sys.stdout.flush()
    if options.progress is Progressing.json:
        said = {"kind": "error", "message": what, "hint": hint, "exit_code": code}
        return json_line({**said, **({"problems": [str(each) for each in problems]} if problems else {})})
    print(paint("error: ", "red", options, sys.stderr) + what, file=sys.stderr)
    if hint:
        print(paint("hint: ", "cyan", options, sys.stderr) + hint, file=sys.stderr)
    sys.stderr.flush()


def error(problem: FourfoldError, options: Options) -> None:
    """One sentence and what to do; a refused file's problems one per line."""
    if isinstance(problem, SpecError):
        files = ", ".join(dict.fromkeys(line.file for line in problem.problems if line.file)) or "the service file"
        what = f"cannot use {files}: {count(len(problem.problems), 'problem')}"
        say_error(what, None, options, problem.exit_code, problem.problems)
        for line in problem.problems if options.progress is not Progressing.json else ():
            print(f"  {line}", file=sys.stderr)
    else:
        say_error(problem.what, problem.hint, options, problem.exit_code)
    if options.verbose:
        _print_traceback(problem)


def _print_traceback(problem: Exception) -> None:
    import traceback

    traceback.print_exception(problem)


def unexpected(problem: Exception, options: Options) -> None:
    hint = "please report it with the output of the same command and -v" if not options.verbose else "please report it"
    say_error(f"cannot go on: unexpected {type(problem).__name__}: {problem}", hint, options)
    if options.verbose:
        _print_traceback(problem)


def shade(lines: list[str], words: Mapping[str, str], options: Options) -> list[str]:
    """Colour the given words where they stand alone; the widths of columns have been settled before."""
    if not colours(options, sys.stdout):
        return lines
    pattern = re.compile(rf"(?<=  )({'|'.join(map(re.escape, words))})(?=  |$)")
    return [pattern.sub(lambda match: paint(match[1], words[match[1]], options), line) for line in lines]
