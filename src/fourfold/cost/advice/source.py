"""What a service's source tells: language, form, and signs in its text, each with file and line."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import Field

from fourfold.spec.base import Model

MOST_FILES = 400
"""Whose text is looked at: signs are for services, which are small."""
MOST_TEXT = 4_000_000
"""Characters of them together: half a second."""
MOST_PROCFILE = 10_000
"""Characters."""
_BUNDLE = re.compile(r"(?im)^Bundle-SymbolicName\s*:")


class Source(Model):
    """Of what it is made, as far as its files show."""

    language: str
    package: str
    procfile: str = Field(default="", max_length=MOST_PROCFILE)
    """Its text, if it has one."""
    signs: dict[str, str] = Field(default={})
    """Sign of `signs.yaml` -> where: `app.py:31`."""


@dataclass(frozen=True)
class _Signs:
    patterns: Mapping[str, Mapping[str, re.Pattern[str]]]
    """Ending -> sign -> what to look for in a line."""
    excepted: Mapping[str, re.Pattern[str]]
    """Sign -> what a line must not have."""
    unless: Mapping[str, re.Pattern[str]]
    """Sign -> what no file must have."""
    elsewhere: re.Pattern[str]


@cache
def _signs() -> _Signs:
    from ruamel.yaml import YAML  # whoever only knows the shape of a Source reads no signs

    given: dict[str, Any] = YAML(typ="safe").load((files(__package__) / "signs.yaml").read_text())
    patterns: dict[str, dict[str, re.Pattern[str]]] = {}
    for sign, by_language in given["signs"].items():
        for language, endings in given["endings"].items():
            for ending in endings if language in by_language else ():
                patterns.setdefault(ending, {})[sign] = re.compile(by_language[language])
    without: dict[str, dict[str, re.Pattern[str]]] = {
        key: {sign: re.compile(rows[key]) for sign, rows in given["signs"].items() if key in rows}
        for key in ("not", "unless")
    }
    return _Signs(patterns, without["not"], without["unless"], re.compile(given["elsewhere"]))


def look(names: Collection[str], read: Callable[[str], str | None]) -> Source:
    """`names`: of all files, relative to its top, or the one file that it is. `read`: the text of one; None: it is too
    large, or no text."""
    ours = sorted((name for name in names if not _signs().elsewhere.search(name)), key=lambda n: (n.count("/"), n))
    manifests = [read(name) for name in ours if name.lower().endswith((".mf", ".bnd"))]
    return Source(
        language=_language(ours),
        package=_package(ours, manifests),
        procfile=(read("Procfile") or "")[:MOST_PROCFILE] if "Procfile" in ours else "",
        signs=_found(ours, read),
    )


def _found(names: Collection[str], read: Callable[[str], str | None]) -> dict[str, str]:
    looked_at = [name for name in names if _ending(name) in _signs().patterns][:MOST_FILES]
    found: dict[str, str] = {}
    denied: set[str] = set()
    left = MOST_TEXT
    for name in looked_at:
        text = (read(name) or "")[:left]
        left -= len(text)
        denied |= {sign for sign, pattern in _signs().unless.items() if pattern.search(text)}
        for sign, line in _in_text(text, _signs().patterns[_ending(name)]):
            found.setdefault(sign, f"{name}:{line}")
    return {sign: where for sign, where in found.items() if sign not in denied}


def _in_text(text: str, patterns: Mapping[str, re.Pattern[str]]) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.strip()
        if bare.startswith(("#", "//", "*", "/*")) or len(bare) > 1000:  # comments, and what was made by machines
            continue
        for sign, pattern in patterns.items():
            excepted = _signs().excepted.get(sign)
            if pattern.search(bare) and not (excepted and excepted.search(bare)):
                yield sign, number


def _package(names: Collection[str], manifests: Collection[str | None]) -> str:
    if any(name.lower().endswith(".war") or "WEB-INF/" in name for name in names):
        return "war"
    if any(text and _BUNDLE.search(text) for text in manifests):
        return "bundle"
    return "program" if len(names) == 1 and "." not in next(iter(names)) else "folder"


_LANGUAGES = (
    ("python", ("py",), ("requirements.txt", "pyproject.toml", "setup.py", "Pipfile")),
    ("nodejs", ("js", "mjs", "cjs", "ts", "mts"), ("package.json",)),
    ("java", ("java", "jar", "war", "kt", "scala"), ("pom.xml", "build.gradle", "build.gradle.kts")),
    ("ruby", ("rb", "ru"), ("Gemfile",)),
    ("go", ("go",), ("go.mod",)),
)


def _language(names: Collection[str]) -> str:
    """By files that describe a project, then by what there is most of."""
    top = {name for name in names if "/" not in name}
    for language, _, markers in _LANGUAGES:
        if top & set(markers):
            return language
    counted = {language: sum(_ending(n) in endings for n in names) for language, endings, _ in _LANGUAGES}
    most = max(counted, key=lambda language: counted[language])
    if "index.html" in top and not any(count for language, count in counted.items() if language != "nodejs"):
        return "files"  # scripts beside it are the page's
    if counted[most]:
        return most
    return "binary" if len(names) == 1 and "." not in next(iter(names)) else "other"


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()
