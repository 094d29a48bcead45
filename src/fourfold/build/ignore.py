"""What is left out of a source: .gitignore (nested, and of the repository around it), .dockerignore, .fourfoldignore.

Later rules win over earlier ones, as in git: `UNASKED`, .gitignore from the repository's top down, then .dockerignore,
then .fourfoldignore, so that `!dist/` there brings back what git ignores. Patterns are git's in all three; those of a
.dockerignore are taken from its folder's root, as Docker does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fourfold.errors import UserError

ALWAYS = frozenset({".git", ".hg", ".svn", "node_modules", ".venv", "__pycache__"})
"""Folders (or files, for worktrees' `.git`) of any depth that are no source: history, and what builds make anew."""
UNASKED = (".env", ".env.local")
"""Left out unless a rule brings them back: secrets of whoever develops here."""
_UNASKED = re.compile(rf"^(?:.+/)?(?:{'|'.join(map(re.escape, UNASKED))})(?:/|$)")
"""The same as an expression."""
OWN_FILES = re.compile(r"fourfold(\.[A-Za-z0-9_-]+)?\.ya?ml")
"""The service file and its overlays, at the top of a source."""


@dataclass(frozen=True)
class Rules:
    """One ignore file: its patterns in order, and one expression that is quick to say that none of them matches."""

    base: str
    """What to take off, or (with `+`) to put before, a path of the source, to have it as the file's folder sees it."""
    any: re.Pattern[str]
    patterns: tuple[tuple[re.Pattern[str], bool], ...]
    """With whether a match ignores (True) or brings back."""

    def verdict(self, name: str) -> bool | None:
        """Ignored, kept, or None: not spoken of. `name` has a slash at the end if it is a folder."""
        name = self.base[1:] + name if self.base.startswith("+") else name.removeprefix(self.base)
        if self.any.match(name) is None:
            return None
        return next(ignores for pattern, ignores in reversed(self.patterns) if pattern.match(name))

    @property
    def keeps(self) -> bool:
        return not all(ignores for _, ignores in self.patterns)


class Ignore:
    """The rules that hold in one folder of a source; folders below add their own."""

    def __init__(self, git: tuple[Rules, ...], over: tuple[Rules, ...], ignored: bool = False) -> None:
        self._git = git
        self._over = over
        self._ignored = ignored

    @classmethod
    def at_top(cls, root: Path) -> Ignore:
        """For the folder `root`, with the .gitignore files of the repository that it lies in."""
        git = [Rules("", _UNASKED, ((_UNASKED, True),))]
        above = list(root.parents)
        top = next((index for index, folder in enumerate(above) if (folder / ".git").exists()), None)
        if top is not None and not (root / ".git").exists():
            for folder in reversed(above[: top + 1]):
                git += _read(folder / ".gitignore", f"+{root.relative_to(folder).as_posix()}/")
        over = (*_read(root / ".dockerignore", "", _docker), *_read(root / ".fourfoldignore", ""))
        return cls(tuple(git), over)

    def enter(self, folder: str, path: str) -> Ignore:
        """For the rules in a folder of the source: `path` is its place below the top, with a slash at the end."""
        added = _read(Path(folder, ".gitignore"), path)
        return Ignore((*self._git, *added), self._over, self._ignored)

    def inside_ignored(self) -> Ignore:
        """Within an ignored folder: only what a rule of .dockerignore or .fourfoldignore brings back is kept."""
        return Ignore((), self._over, ignored=True)

    def ignores(self, path: str, is_folder: bool) -> bool:
        """`path` below the top of the source, without a slash at the end."""
        verdict = self._verdict(path, is_folder)
        return self._ignored if verdict is None else verdict

    def brings_back(self, path: str, is_folder: bool) -> bool:
        """Whether a rule says that it is to be part, such as `!disk.qcow2`."""
        return self._verdict(path, is_folder) is False

    def _verdict(self, path: str, is_folder: bool) -> bool | None:
        name = path + "/" if is_folder else path
        verdicts = (rules.verdict(name) for rules in (*reversed(self._over), *reversed(self._git)))
        return next((verdict for verdict in verdicts if verdict is not None), None)

    @property
    def may_keep_below(self) -> bool:
        """Whether something in an ignored folder may be kept all the same; git never does, the others may."""
        return any(rules.keeps for rules in self._over)


def _read(file: Path, base: str, translate: Callable[[str], str] = str) -> tuple[Rules, ...]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {file}: {error}", "mend the file, or remove it") from None
    return _rules(map(translate, lines), base, file)


def _rules(lines: Iterable[str], base: str, file: Path) -> tuple[Rules, ...]:
    patterns = tuple(_compile(lines, file))
    if not patterns:
        return ()
    joined = "|".join(f"(?:{_GROUP.sub('(?:', pattern.pattern)})" for pattern, _ in patterns)
    return (Rules(base, re.compile(joined), patterns),)


_GROUP = re.compile(r"\(\?P<\w+>")
"""pathspec names groups; a name may stand only once in an expression."""


def _compile(lines: Iterable[str], file: Path) -> Iterator[tuple[re.Pattern[str], bool]]:
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern  # late: most sources have no such file

    for line in lines:
        try:
            pattern = GitIgnoreSpecPattern(line)
        except ValueError as error:
            raise UserError(f"cannot use the pattern {line!r} in {file}: {error}", "mend the line") from None
        if pattern.include is not None and pattern.regex is not None:
            yield pattern.regex, pattern.include


def _docker(line: str) -> str:
    """Docker's patterns all start at the root: `*.md` there is `/*.md` for git."""
    text = line.strip()
    if not text or text.startswith("#"):
        return ""
    sign, text = ("!", text[1:].strip()) if text.startswith("!") else ("", text)
    return f"{sign}/{text.removeprefix('./').lstrip('/')}"
