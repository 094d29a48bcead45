"""Which app a command line serves: `uvicorn shop.main:app --app-dir src` -> `shop.main:app`, in `src`. Pure."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from fourfold.build.command import build_text
from fourfold.errors import UserError

_SERVERS = ("uvicorn", "gunicorn", "hypercorn", "waitress-serve")
_RUNNERS = (("exec",), ("uv", "run"), ("poetry", "run"), ("pipenv", "run"))
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(\(\))?")
_MODULE = re.compile(r"[A-Za-z_][\w.]*")
_FOLDERS = ("--app-dir", "--chdir", "--pythonpath")
_USUAL = {"gunicorn": "application", "hypercorn": "app"}
"""The attribute that is taken when the module alone is named."""
_OURS = ("--host", "--port", "-b", "--bind", "--listen", "--factory", "--call", "--no-access-log", *_FOLDERS)
"""What is done or means nothing: the host decides where members listen."""
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_OPTION = re.compile(r"--?[A-Za-z][\w-]*")
_NAMES_NO_APP = ("-b", "--bind", "-c", "--config", "-k", "--worker-class")
"""What follows may look like one: `unix:app.sock`, `gunicorn.conf.py`, `gthread`."""


@dataclass(frozen=True)
class AppAt:
    target: str
    """`module:attribute` or `module:factory()`."""
    folders: tuple[str, ...] = ()
    """Of the source, to find the module in."""
    worker: str = ""
    """gunicorn's `--worker-class`."""
    notes: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables that the command line sets."""


def app_in(command: str | list[str]) -> AppAt:
    """Raises UserError for what does not start one of the servers, or not in a way that says which app."""
    text = build_text(command)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise _unknown(text, str(error)) from None
    if any(word in ("&&", "||", "|", ";", "&") or word.endswith(";") for word in words):
        raise _unknown(text, "it is more than one command")
    server, words, env = _server(words)
    if server is None:
        raise _unknown(text, f"it does not start {', '.join(_SERVERS[:-1])} or {_SERVERS[-1]}")
    follows = itertools.pairwise(["", *words])
    named = [word for before, word in follows if before not in _NAMES_NO_APP and not word.startswith("-")]
    target = next(filter(_TARGET.fullmatch, named), None)
    if target is None and server in _USUAL and named and _MODULE.fullmatch(named[-1]):
        target = f"{named[-1]}:{_USUAL[server]}"
    if target is None:
        raise _unknown(text, "it names no module:attribute")
    if ("--factory" in words or "--call" in words) and not target.endswith("()"):
        target += "()"
    expanded = [name for name, value in env.items() if "$" in value or "`" in value]
    options = [match[0] for word in words if (match := _OPTION.match(word))]
    unused = [*(f"{name}=" for name in expanded), *dict.fromkeys(each for each in options if each not in _OURS)]
    notes = (f"Of `run`, {target} is taken; not {', '.join(unused)}: the group's host serves it.",) if unused else ()
    known = {name: value for name, value in env.items() if name not in expanded}
    folders = [part for name in _FOLDERS for value in _values(words, name) for part in value.split(",")]
    folders += filter(None, known.pop("PYTHONPATH", "").split(":"))
    worker = next((value for name in ("-k", "--worker-class") for value in _values(words, name)), "")
    return AppAt(target, tuple(folders), worker, notes, known)


def _server(words: list[str]) -> tuple[str | None, list[str], dict[str, str]]:
    """The server that is started, its arguments, and variables that are set for it."""
    env = {}
    while words and (match := _ASSIGNMENT.fullmatch(words[0])):
        env[match[1]] = match[2]
        words = words[1:]
    for runner in _RUNNERS:
        if tuple(words[: len(runner)]) == runner:
            server, words, inner = _server(words[len(runner) :])
            return server, words, env | inner
    if len(words) > 2 and re.fullmatch(r"(.*/)?python[\d.]*", words[0]) and words[1] == "-m":
        words = words[2:]
    name = words[0].rpartition("/")[2] if words else ""
    name = "waitress-serve" if name == "waitress" else name  # its module has another name than its program
    return (name if name in _SERVERS else None), words[1:], env


def _values(words: list[str], name: str) -> list[str]:
    following = [after for word, after in itertools.pairwise(words) if word == name]
    return following + [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]


def _unknown(text: str, why: str) -> UserError:
    return UserError(
        f"cannot tell from `run` which app it serves: {why} ({text})",
        "say `shared: {app: module:attribute}`",
    )
