"""What is left out of a source: .gitignore (nested, and of the repository around it), .dockerignore, .fourfoldignore.

Later rules win over earlier ones, as in git: .gitignore from the repository's top down, then .dockerignore, then
.fourfoldignore, so that `!dist/` there brings back what git ignores. Patterns are git's in all three; those of a
.dockerignore are taken from its folder's root, as Docker does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from fourfold.errors import UserError

ALWAYS = frozenset({".git", ".hg", ".svn", "node_modules", ".venv", "__pycache__"})
"""Folders (or files, for worktrees' `.git`) of any depth that are no source: history, and what builds make anew."""
OWN_FILES = re.compile(r"fourfold(\.[A-Za-z0-9_-]+)?\.ya?ml")
"""The service file and its overlays, at the top of a source."""

_Match = Callable[[str], bool]


@dataclass(frozen=True)
class Rule:
    base: str
    """Folder that the pattern counts from, with a slash at the end; empty for the top."""
    keep: bool
    match: _Match


class Ignore:
    """The rules that hold in one folder of a source; folders below add their own."""

    def __init__(self, git: tuple[Rule, ...], over: tuple[Rule, ...]) -> None:
        self._git = git
        self._over = over
        self._deep_keeps = any(rule.keep for rule in over)

    @classmethod
    def at_top(cls, root: Path) -> Ignore:
        """For the folder `root`, with the .gitignore files of the repository that it lies in."""
        git: list[Rule] = []
        above = list(root.parents)
        top = next((index for index, folder in enumerate(above) if (folder / ".git").exists()), None)
        if top is not None and not (root / ".git").exists():
            for folder in reversed(above[: top + 1]):
                prefix = root.relative_to(folder).as_posix() + "/"
                git += [Rule("", rule.keep, _below(prefix, rule.match)) for rule in _rules(folder / ".gitignore", "")]
        docker = _rules(root / ".dockerignore", "", _docker)
        return cls(tuple(git), (*docker, *_rules(root / ".fourfoldignore", "")))

    def enter(self, folder: Path, path: str) -> Ignore:
        """For a folder of the source: `path` is its place below the top, with a slash at the end."""
        added = _rules(folder / ".gitignore", path)
        return Ignore((*self._git, *added), self._over) if added else self

    def ignores(self, path: str, is_folder: bool) -> bool:
        """`path` below the top of the source, without a slash at the end."""
        name = path + "/" if is_folder else path
        for rule in reversed(self._over):
            if rule.match(name):
                return not rule.keep
        for rule in reversed(self._git):
            if rule.match(name.removeprefix(rule.base)):
                return not rule.keep
        return False

    @property
    def may_keep_below(self) -> bool:
        """Whether something in an ignored folder may be kept all the same; git never does, .dockerignore may."""
        return self._deep_keeps


def _below(prefix: str, match: _Match) -> _Match:
    return lambda name: match(prefix + name)


def _rules(file: Path, base: str, translate: Callable[[str], str] = str) -> tuple[Rule, ...]:
    try:
        lines = file.read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {file}: {error}", "mend the file, or remove it") from None
    return tuple(_compile(map(translate, lines), base, file))


def _compile(lines: Iterable[str], base: str, file: Path) -> Iterable[Rule]:
    for line in lines:
        try:
            pattern = GitIgnoreSpecPattern(line)
        except ValueError as error:
            raise UserError(f"cannot use the pattern {line!r} in {file}: {error}", "mend the line") from None
        if pattern.include is not None and pattern.regex is not None:
            yield Rule(base, not pattern.include, _matcher(pattern.regex))


def _matcher(regex: re.Pattern[str]) -> _Match:
    return lambda name: regex.match(name) is not None


def _docker(line: str) -> str:
    """Docker's patterns all start at the root: `*.md` there is `/*.md` for git."""
    text = line.strip()
    if not text or text.startswith("#"):
        return ""
    sign, text = ("!", text[1:].strip()) if text.startswith("!") else ("", text)
    return f"{sign}/{text.removeprefix('./').lstrip('/')}"
