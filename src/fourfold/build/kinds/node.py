"""Groups of kind `node`: a parent without dependencies, and members that it forks workers for.

A member is built as any Node.js service; what starts it must come down to a script and its arguments, for it is the
parent that calls `node`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fourfold.build.builders.base import choose, need_one_value, need_tool
from fourfold.build.builders.node import version_asked
from fourfold.build.command import run_argv
from fourfold.build.detect import detect
from fourfold.build.model import APP, OWN, SYSTEM_PATH, BuildPlan, Host, Listing, Runtime
from fourfold.errors import UserError
from fourfold.spec import groups
from fourfold.spec.model import Service

_PROGRAM = Path(__file__).parents[1] / "hosts" / "node"
_PLACE = f"{OWN}/host"
_NAMES = ("main.cjs", "control.cjs", "guests.cjs", "confined.cjs", "waiting.cjs", "words.cjs")
_FRUGAL = ("--optimize-for-size", "--v8-pool-size=0", "--max-old-space-size=64")
"""The parent only waits: what it is told fits into little, and it needs no helpers of V8."""
_LOWEST = 18

_ASSIGNMENT = re.compile(r"\s*([A-Za-z_]\w*)=('[^']*'|\"[^\"$`\\]*\"|[^\s\"'$`\\;&|<>()]*)(?=\s)")
_OF_A_SHELL = re.compile(r"[$`*?\[<>~#\\]")
"""What only a shell understands, where it is not in single quotes."""
_NAMED = re.compile(r"(?:npm|yarn|pnpm)(?:\s+(?:-s|--silent))*\s+(?:(start)|run\s+(?:-s\s+|--silent\s+)?([\w:.-]+))\s*")
_DEEP = 5
"""Scripts of package.json that start each other."""


def host(service: groups.Host, host: Host) -> BuildPlan:
    """Raises UserError without Node.js 18 or later."""
    runtime = _runtime(service, host)
    setpriv = need_tool(host, "setpriv", "util-linux", "a group of kind node")
    return BuildPlan(
        runtime=runtime,
        runtimes=(runtime,),
        files={f"{_PLACE}/{name}": (_PROGRAM / name).read_text() for name in _NAMES},
        env={"PATH": ":".join([*runtime.folders, SYSTEM_PATH])},
        argv=(runtime.path, *_FRUGAL, f"{APP}/{_PLACE}/main.cjs", setpriv),
    )


def guest(listing: Listing, service: Service, host: Host) -> BuildPlan:
    """argv: options of Node.js, if there are some, a script, its arguments. Raises UserError for what is none."""
    runtime = _runtime(service, host)
    if service.runtime is None:
        asked, where = version_asked(listing, host)
        if asked is not None and asked != runtime.name:
            raise UserError(
                f"cannot run it with {asked} ({where} asks for it): its group has {runtime.name}",
                f"say `runtime: {asked}` in the group",
            )
    plan = detect(listing, service.model_copy(update={"runtime": runtime.name}), host)
    env, argv = _script(plan.argv or (), listing)
    need_one_value(env, service.env)
    return replace(plan, argv=argv, env={**plan.env, **env})


def _runtime(service: Service, host: Host) -> Runtime:
    wanted = service.runtime
    if wanted is not None and not wanted.startswith("nodejs"):
        raise UserError(f"cannot run {wanted} in a group of kind node", "say `runtime: nodejsNN`, or leave it out")
    runtime = choose(host, "nodejs", wanted)
    if int(runtime.name.removeprefix("nodejs")) < _LOWEST:
        raise UserError(f"cannot share {runtime.name}", f"use nodejs{_LOWEST} or later")
    return runtime


def _script(argv: tuple[str, ...], listing: Listing) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """-> variables to set, and what `node` is given."""
    env: dict[str, str] = {}
    for _ in range(_DEEP):
        if argv[:2] == ("/bin/sh", "-c"):
            argv = _words(argv[2].removeprefix("exec "), env)
        if argv[:1] == ("/usr/bin/env",):
            argv = argv[1:]
        if argv and argv[0].rpartition("/")[2] in ("node", "nodejs"):
            if len(argv) == 1:
                raise UserError("cannot run `node` without a script", "say which: `run: node FILE`")
            return env, argv[1:]
        argv = run_argv(_of_npm(shlex.join(argv), listing))
    raise UserError("cannot find what to start: scripts in package.json start each other", "say `run: node FILE`")


def _words(command: str, env: dict[str, str]) -> tuple[str, ...]:
    """A command line without a shell: its assignments go into `env`."""
    said = command
    while match := _ASSIGNMENT.match(command):
        env[match[1]] = match[2].strip("'\"")
        command = command[match.end() :].strip()
    parsed = run_argv(command)[2]
    plain = re.sub(r"'[^']*'", "", command)
    if not parsed.startswith("exec ") or _OF_A_SHELL.search(plain):
        raise _not_a_script(said, "a shell would have to read that")
    try:
        return tuple(shlex.split(command))
    except ValueError:
        raise _not_a_script(said, "a quote does not end") from None


def _of_npm(command: str, listing: Listing) -> str:
    """What `npm start` and `npm run NAME` stand for."""
    match = _NAMED.fullmatch(command)
    if match is None:
        raise _not_a_script(command, "that is another program")
    name = match[1] or match[2]
    package: Any = json.loads(listing.text("package.json") or "{}")  # read by the builder before: it is a map
    script = package.get("scripts", {}).get(name)
    if script is None and name == "start" and listing.has("server.js"):
        return "node server.js"  # as npm has it
    if not isinstance(script, str) or not script.strip():
        raise UserError(f"cannot run `{command}`: package.json has no script {name}", "say `run: node FILE`")
    return script


def _not_a_script(command: str, why: str) -> UserError:
    return UserError(
        f"cannot run `{command}` in a Node.js group: its parent starts `node` with a script and arguments, and {why}",
        "say `run: node FILE` (the port is in the variable PORT; programs of packages are scripts too: "
        "`node node_modules/.bin/NAME`), or run it as a process",
    )
