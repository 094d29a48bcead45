"""`run`, `build` and Procfile lines as argv. Pure."""

from __future__ import annotations

import re
import shlex

from fourfold.build.model import Listing, Step

_OPERATORS = re.compile(r"[;&|\n(){}]")
_BUILTIN = re.compile(r"\s*(\w+=|(cd|export|set|exec|if|for|while|until|case|\.|source|ulimit|umask|trap)\s|!\s)")
_REDIRECT = r"\d*[<>]&(?:\d+|-)"
_QUOTED = re.compile(r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|\$\{[^}]*\}|" + _REDIRECT, re.DOTALL)
_PROCFILE = re.compile(r"^([A-Za-z0-9_-]+):\s*(.+?)\s*$")


def run_argv(run: str | list[str]) -> tuple[str, ...]:
    """A list as it is. A string through `sh -c`, with `exec` when it is one simple command.

    With exec the program replaces the shell, so that signals reach it; `a && b`, pipes and assignments forbid it.
    """
    if not isinstance(run, str):
        return tuple(run)
    return ("/bin/sh", "-c", f"exec {run.strip()}" if _is_simple(run) else run.strip())


def _is_simple(command: str) -> bool:
    return not _BUILTIN.match(command) and not _OPERATORS.search(_QUOTED.sub("", command).strip())


def build_step(build: str | list[str]) -> Step:
    """The user's own `build`: without network, see `Step.network`."""
    if isinstance(build, str):
        return Step(("/bin/sh", "-c", build), own=True)
    return Step(tuple(build), own=True)


def build_text(build: str | list[str] | None) -> str:
    """For looking at which tools a command uses."""
    return build if isinstance(build, str) else shlex.join(build or [])


def uses(command: str | list[str] | None, *tools: str) -> bool:
    """Whether a command names one of the programs: `uses("npm ci && npm run build", "npm")`."""
    words = re.split(r"[\s;&|()\"']+", build_text(command))
    return any(word.rpartition("/")[2] in tools for word in words)


def procfile(listing: Listing, web: bool) -> str | None:
    """The command of a Procfile for this service: `web` if it has a port, else `worker`; or the only one."""
    return of_procfile(listing.text("Procfile") or "", web)


def of_procfile(text: str, web: bool) -> str | None:
    commands: dict[str, str] = {}
    for line in text.splitlines():
        if match := _PROCFILE.match(line):
            commands[match[1]] = match[2]
    if len(commands) == 1:
        return next(iter(commands.values()))
    for name in ("web", "worker") if web else ("worker", "web"):
        if name in commands:
            return commands[name]
    return None
