"""A command line as words, where there is no shell to read it: in virtual machines that hold the service alone. Pure.

What a shell does with one simple command is done here: quotes, backslashes, variables whose values are known when it is
built. Everything else is refused by name, never run differently than a shell would.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fourfold.errors import UserError

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_BUILTINS = frozenset((
    "cd", "export", "set", "unset", "exec", "eval", "if", "for", "while", "until", "case", ".", "source", "ulimit",
    "umask", "trap", "!", "{", "(", "wait", "exit", "test", "[", "command",
))  # fmt: skip
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?::-([^}$`'\"]*))?\})")
_OPERATORS = {"\n": "a line break", **dict.fromkeys(";&|()<>", "")}
_PATTERNS = "*?["


class NeedsShellError(Exception):
    """The message says what for."""


def without_shell(argv: tuple[str, ...], env: Mapping[str, str], service: str) -> tuple[str, ...]:
    """`argv` as it can be executed; `env` is what the program will have. UserError for what only a shell can do."""
    if argv[:1] == ("/usr/bin/env",) and len(argv) > 1 and "=" not in argv[1] and not argv[1].startswith("-"):
        return argv[1:]
    if argv[:2] != ("/bin/sh", "-c") or len(argv) != 3:
        return argv
    command = argv[2].strip()
    try:
        found = words(command.removeprefix("exec "), env)
    except NeedsShellError as error:
        raise UserError(
            f"cannot run {service} on the base minimal: it has no shell, and `{command.removeprefix('exec ')}` needs "
            f"one for {error}",
            "write `run` as a list, `run: [python, -m, app]`, or use `vm: {base: debian}`",
        ) from None
    return found


def words(command: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """Raises NeedsShellError."""
    found = _Words(env).split(command)
    if not found:
        raise NeedsShellError("an empty command")
    if _ASSIGNMENT.match(found[0]):
        raise NeedsShellError(f"`{found[0].partition('=')[0]}=`; put that into `env`")
    if found[0] in _BUILTINS:
        raise NeedsShellError(f"`{found[0]}`")
    return found


class _Words:
    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._done: list[str] = []
        self._word: str | None = None

    def split(self, text: str) -> tuple[str, ...]:
        place = 0
        while place < len(text):
            place = self._step(text, place)
        self._end()
        return tuple(self._done)

    def _end(self) -> None:
        if self._word is not None:
            self._done.append(self._word)
        self._word = None

    def _add(self, text: str) -> None:
        self._word = (self._word or "") + text

    def _step(self, text: str, place: int) -> int:
        """Where the next one begins."""
        char = text[place]
        if char in " \t":
            self._end()
        elif char == "'":
            end = self._closing(text, place, "'")
            self._add(text[place + 1 : end])
            return end + 1
        elif char == '"':
            return self._quoted(text, place + 1)
        elif char == "\\":
            return self._escaped(text, place)
        elif char == "$":
            return self._expand(text, place, quoted=False)
        elif char in _OPERATORS or char == "`":
            raise NeedsShellError(_OPERATORS.get(char) or f"`{char}`")
        elif char in _PATTERNS:
            raise NeedsShellError(f"the pattern `{char}`")
        elif char in "~#" and self._word is None:
            raise NeedsShellError(f"`{char}`")
        else:
            self._add(char)
        return place + 1

    def _escaped(self, text: str, place: int) -> int:
        follows = text[place + 1 : place + 2]
        if not follows:
            raise NeedsShellError("a line that goes on")
        if follows != "\n":
            self._add(follows)
        return place + 2

    def _quoted(self, text: str, place: int) -> int:
        self._add("")
        while place < len(text) and text[place] != '"':
            if text[place] == "\\" and text[place + 1 : place + 2] in tuple('$`"\\\n'):
                place = self._escaped(text, place)
            elif text[place] == "$":
                place = self._expand(text, place, quoted=True)
            elif text[place] == "`":
                raise NeedsShellError("a command in a command")
            else:
                self._add(text[place])
                place += 1
        if place >= len(text):
            raise NeedsShellError("a quote that is not closed")
        return place + 1

    def _closing(self, text: str, place: int, mark: str) -> int:
        end = text.find(mark, place + 1)
        if end < 0:
            raise NeedsShellError("a quote that is not closed")
        return end

    def _expand(self, text: str, place: int, quoted: bool) -> int:
        match = _VARIABLE.match(text, place)
        if match is None:
            rest = text[place : place + 2]
            if rest[1:] and (rest[1:] in "({[" or rest[1:] in "@*#?-$!0123456789"):
                raise NeedsShellError(f"`{rest}`")
            self._add("$")
            return place + 1
        name, default = match[1] or match[2], match[3]
        value = self._env.get(name, "")
        if default is not None and not value:
            value = default
        elif name not in self._env:
            raise NeedsShellError(f"`${name}`, which is not known when it is built")
        if quoted:
            self._add(value)
        else:
            self._unquoted(value)
        return match.end()

    def _unquoted(self, value: str) -> None:
        """Blanks in a value end words; patterns in it would be expanded."""
        if any(char in value for char in _PATTERNS):
            raise NeedsShellError("a pattern in a variable")
        pieces = value.split()
        if value[:1].isspace():
            self._end()
        for number, piece in enumerate(pieces):
            if number:
                self._end()
            self._add(piece)
        if pieces and value[-1:].isspace():
            self._end()
