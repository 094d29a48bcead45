"""What the languages' builders share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fourfold.build.model import THIS_HOST, Host, Layer, Runtime, Step
from fourfold.errors import UserError

TITLES = {"python": "Python", "nodejs": "Node.js", "java": "Java", "ruby": "Ruby", "go": "Go"}


@dataclass(frozen=True)
class Found:
    """One language's part of a build. `BuildPlan` says what the fields mean; `detect` puts parts together."""

    runtime: Runtime
    layers: tuple[Layer, ...] = ()
    before: tuple[Step, ...] = ()
    """Ahead of the user's `build`."""
    after: tuple[Step, ...] = ()
    """Behind it: drop what only building needed."""
    shims: Mapping[str, str] = field(default_factory=dict)
    """Stand-ins for programs in the user's `build`: name -> text."""
    links: Mapping[str, str] = field(default_factory=dict)
    executable: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    """Folders for the front of PATH."""
    env: Mapping[str, str] = field(default_factory=dict)
    build_env: Mapping[str, str] = field(default_factory=dict)
    """For the user's `build`; PATH here is put in front."""
    argv: tuple[str, ...] | None = None
    """What to run when neither `run` nor a Procfile says."""
    find_jar: bool = False
    notes: tuple[str, ...] = ()


def choose(host: Host, prefix: str, wanted: str | None, why: str = "runtime") -> Runtime:
    """The runtime of one language: `wanted` (`python3.11`) exactly, else the default. UserError with what is there."""
    found = host.family(prefix)
    title = TITLES[prefix]
    if wanted is None and found:
        return found[0]
    match = next((runtime for runtime in found if runtime.name == wanted), None)
    if match is not None:
        return match
    there = ", ".join(runtime.name for runtime in found) or f"no {title} at all"
    name = wanted or title
    install = f"install {name}" if host.place == THIS_HOST else "choose another `container.base`"
    because = "" if why == "runtime" else f" ({why} asks for it)"
    hint = " or ".join([install, *_alternative(found)])
    raise UserError(f"cannot use {name}{because}: {host.place} has {there}", hint)


def _alternative(found: list[Runtime]) -> list[str]:
    return [f"say `runtime: {found[0].name}`"] if found else []


def need_kinds(file: str, content: object, kinds: Mapping[str, type]) -> None:
    """Raises UserError where a key of a source's own file, such as `project.scripts`, is not the map or list that it
    has to be."""
    for key, kind in kinds.items():
        found = content
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if found is not None and not isinstance(found, kind):
            raise UserError(f"cannot read {file}: `{key}` is no {'map' if kind is dict else 'list'}", "mend the file")


def need_one_value(by_command: Mapping[str, str], env: Mapping[str, str]) -> None:
    """Raises UserError for a variable that the command line which starts it sets, and `env` too."""
    for name in by_command.keys() & env.keys():
        raise UserError(
            f"cannot tell the value of {name}: `env` says one, and the command that starts it another",
            "leave one of them out",
        )


def need_tool(host: Host, name: str, package: str, why: str) -> str:
    if path := host.tools.get(name):
        return path
    if host.place != THIS_HOST:
        raise UserError(f"cannot build: {why} needs `{name}`, which {host.place} does not have", "use another base")
    raise UserError(f"cannot build: {why} needs `{name}`, which this host does not have", f"apt install {package}")
