"""What a Python source's own files say: which Python, which dependencies, what to install. Pure.

What cannot be used is refused, and what is not used is told: a file that is silently ignored gives another program than
the one that was tested.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fourfold.build.builders.base import choose, need_kinds
from fourfold.build.model import Host, Listing, Runtime, join
from fourfold.errors import UserError

if TYPE_CHECKING:  # importing it takes 20 ms of every start, and few sources need it
    from packaging.specifiers import SpecifierSet

_LOOKS_LOCAL = re.compile(
    r"^(-e\s|--editable[\s=]|(-f|--find-links)[\s=]+(?!\w+://)"
    r"|\.$|file:|[^@]+@\s*(file:|\.)|[^@:\s]*/|[^@:\s]+\.(whl|tar\.gz|zip)\b)"
)
_OTHER_LOCKS = ("poetry.lock", "Pipfile.lock", "pdm.lock", "pylock.toml", "uv.lock")
_PATCHES = 100
_KINDS = {
    **dict.fromkeys(("project", "project.scripts", "build-system", "tool", "tool.poetry", "tool.uv"), dict),
    **dict.fromkeys(("tool.poetry.dependencies", "tool.uv.sources"), dict),
    **dict.fromkeys(("project.dependencies", "project.dynamic", "build-system.requires"), list),
}
"""Of what is looked at in pyproject.toml."""


def project(listing: Listing) -> dict[str, Any]:
    text = listing.text("pyproject.toml")
    if text is None:
        return {}
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"cannot read pyproject.toml: {error}", "mend the file") from None
    need_kinds("pyproject.toml", found, _KINDS)
    return found


def is_package(listing: Listing, project: dict[str, Any]) -> bool:
    """PEP 517: a pyproject.toml with a build system, or a setup.py, is something to install."""
    return ("build-system" in project and ("project" in project or listing.has("setup.cfg"))) or listing.has("setup.py")


def interpreter(listing: Listing, project: dict[str, Any], host: Host, wanted: str | None) -> Runtime:
    """`runtime`, else .python-version, else the first that `requires-python` allows. Raises UserError if it does not.

    A host's Python is known by its minor version only, so that is what counts.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    name, why = _version(listing, wanted)
    asked = project.get("project", {}).get("requires-python")
    if not isinstance(asked, str):
        return choose(host, "python", name, why)
    try:
        allowed = SpecifierSet(asked)
    except InvalidSpecifier:
        raise UserError(f"cannot read requires-python in pyproject.toml: {asked!r}", "write it as `>=3.11`") from None
    there = host.family("python")
    candidates = there if name is None else [choose(host, "python", name, why)]
    fitting = next((each for each in candidates if _fits(each, allowed)), None)
    if fitting is None and candidates:
        have = ", ".join(runtime.name for runtime in there)
        which = f"{name} ({why})" if name else f"the Python of {host.place}"
        raise UserError(
            f"cannot use {which}: requires-python in pyproject.toml is {asked!r}, and {host.place} has {have}",
            "install a Python that fits, or change requires-python",
        )
    return fitting or choose(host, "python", None)


def _fits(runtime: Runtime, allowed: SpecifierSet) -> bool:
    return any(allowed.contains(f"{runtime.version}.{patch}", prereleases=True) for patch in range(_PATCHES))


def _version(listing: Listing, wanted: str | None) -> tuple[str | None, str]:
    if wanted not in (None, "python", "python3"):
        return wanted, "runtime"
    line = next(iter((listing.text(".python-version") or "").split()), "")
    match = re.fullmatch(r"(?:cpython-)?(3\.\d+)(\.\d+)?", line)
    return (f"python{match[1]}", ".python-version") if match else (None, "runtime")


def dependencies(listing: Listing, project: dict[str, Any]) -> str | None:
    """The file to resolve from: uv.lock, requirements.txt, pyproject.toml or setup.py, in this order."""
    if listing.has("uv.lock") and "project" in project:
        _check_lock(listing, project["project"])
        return "uv.lock"
    if requirement_lines(listing.text("requirements.txt") or ""):
        return "requirements.txt"
    table = project.get("project", {})
    poetry = project.get("tool", {}).get("poetry", {})
    if not table and poetry.get("dependencies"):
        raise UserError(
            "cannot read the dependencies in [tool.poetry] of pyproject.toml",
            "run `poetry export -o requirements.txt`, or list them under [project]",
        )
    if listing.has("Pipfile") and not table and not listing.has("requirements.txt"):
        raise UserError("cannot read the Pipfile", "run `pipenv requirements > requirements.txt`")
    if table.get("dependencies") or "dependencies" in table.get("dynamic", ()):
        return "pyproject.toml"
    return "setup.py" if listing.has("setup.py") and not table else None


def unused_locks(listing: Listing, source: str | None) -> tuple[str, ...]:
    """A sentence for each lock that is there and decides nothing."""
    taken = f"the versions come from {source}" if source else "no dependencies are installed"
    return tuple(
        f"warning: {name} is not used: {taken}. Export it as requirements.txt to build with its versions."
        for name in _OTHER_LOCKS
        if listing.has(name) and name != source
    )


def _check_lock(listing: Listing, table: dict[str, Any]) -> None:
    """Refuse a uv.lock that was made for other names or versions than pyproject.toml asks for now.

    uv's own check (`--locked`) resolves again wherever another index is configured than when the lock was made, as on
    every host with a mirror.
    """
    from packaging.utils import canonicalize_name

    name = canonicalize_name(str(table.get("name", "")))
    try:
        lock = tomllib.loads(listing.text("uv.lock") or "")
        own = next((each for each in lock.get("package", ()) if each.get("name") == name), None)
        if own is None or "dependencies" in table.get("dynamic", ()):
            return
        had = _locked(own.get("metadata", {}).get("requires-dist", ()))
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:  # not as uv has written it
        raise UserError(f"cannot read uv.lock: {error}", "run `uv lock`") from None
    wants = _asked(table.get("dependencies", ()))
    other = {name for name in had.keys() & wants.keys() if None not in had[name] and had[name] != wants[name]}
    if changed := sorted((had.keys() ^ wants.keys()) | other):
        raise UserError(
            f"cannot use uv.lock: it does not fit pyproject.toml ({', '.join(changed)})",
            "run `uv lock`, then try again",
        )


def _locked(listed: Iterable[dict[str, Any]]) -> dict[str, set[SpecifierSet | None]]:
    """Name -> versions asked for when the lock was made; None for a folder, URL or repository."""
    from packaging.specifiers import SpecifierSet

    found: dict[str, set[SpecifierSet | None]] = {}
    for each in listed:
        if "extra ==" not in each.get("marker", ""):
            place = set(each) & {"directory", "editable", "virtual", "path", "git", "url"}
            found.setdefault(each["name"], set()).add(None if place else SpecifierSet(each.get("specifier", "")))
    return found


def _asked(lines: Iterable[str]) -> dict[str, set[SpecifierSet | None]]:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, set[SpecifierSet | None]] = {}
    for line in lines:
        try:
            requirement = Requirement(line)
        except (InvalidRequirement, TypeError) as error:
            raise UserError(f"cannot read the dependency {line!r} in pyproject.toml: {error}", "mend it") from None
        found.setdefault(canonicalize_name(requirement.name), set()).add(requirement.specifier)
    return found


def requirement_lines(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return [line for raw in joined.splitlines() if (line := re.sub(r"(^|\s)#.*", "", raw).strip())]


def layer_files(listing: Listing, project: dict[str, Any], source: str | None) -> tuple[str, ...] | None:
    """The files that decide the dependencies; None when some lie in the source itself (`-e .`, `./lib`)."""
    files = [name for name in ("pyproject.toml", "setup.py", "setup.cfg", ".python-version") if listing.has(name)]
    if source in ("uv.lock", "pyproject.toml"):
        dynamic = "dynamic" in project.get("project", {})
        sources = project.get("tool", {}).get("uv", {}).get("sources", {})
        local = dynamic or any(
            isinstance(entry, dict) and {"path", "workspace"} & set(entry) for entry in sources.values()
        )
        return None if local else tuple(sorted({*files, source}))
    if source is None:
        return tuple(sorted(files))
    if source == "setup.py":
        return None  # it is a program, and may read any file beside it
    return _included(listing, source)


def _included(listing: Listing, first: str) -> tuple[str, ...] | None:
    """A requirements file and all that it names with -r and -c."""
    seen: set[str] = set()
    pending = [first]
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        text = listing.text(name)
        if text is None:
            raise UserError(f"cannot read {name!r}, which {first} names", "add the file, or take the line out")
        for line in requirement_lines(text):
            if match := re.match(r"(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)", line):
                if "://" not in match[1]:
                    pending.append(join(name.rpartition("/")[0], match[1]))
            elif _LOOKS_LOCAL.match(line):
                return None
    return tuple(sorted(seen))


def package(listing: Listing) -> str | None:
    """The one package with a __main__.py, at the top or under src/."""
    found = {path.removesuffix("/__main__.py") for path in listing.entries if path.endswith("/__main__.py")}
    named = {path.removeprefix("src/") for path in found}
    tops = {name for name in named if "/" not in name and name.isidentifier()}
    return tops.pop() if len(tops) == 1 else None


def entry(listing: Listing, project: dict[str, Any]) -> tuple[str, ...] | None:
    """A program of the virtual environment and its arguments."""
    scripts = project.get("project", {}).get("scripts", {})
    if len(scripts) == 1 and is_package(listing, project):
        return (next(iter(scripts)),)
    if name := package(listing):
        return ("python", "-m", name)
    if listing.only and listing.only.path.endswith(".py"):
        return ("python", listing.only.path)
    for name in ("app.py", "main.py", "server.py", "__main__.py"):
        if listing.has(name):
            return ("python", name)
    return None
