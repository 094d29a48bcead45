"""PM2's ecosystem file, as JSON -> a draft. Pure.

Source: PM2's documentation, "Ecosystem File" and "Environment Variables".
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from typing import Any

from fourfold.errors import Problem, SpecError
from fourfold.spec.starting.finds import Found, free_name, recognised, service_name
from fourfold.spec.starting.imports.commands import listening
from fourfold.spec.starting.imports.found import build
from fourfold.spec.starting.imports.model import Draft, Drafted, Folder, Note, Raw
from fourfold.spec.starting.imports.programs import number, variables_of
from fourfold.spec.starting.imports.routes import expose
from fourfold.spec.starting.imports.values import binary, seconds, size

FILES = ("ecosystem.config.js", "ecosystem.config.cjs", "ecosystem.config.json", "ecosystem.json")
PROGRAMS = (".js", ".cjs", ".mjs")
"""Files that are programs: what they export is known once Node.js has run them."""
_LOGS = "logs are kept, bounded and rotated here: `fourfold logs`"
_WHY = {
    "cron_restart": "nothing is restarted by the clock; a job of its own can have `triggers: [{schedule: …}]`",
    "cron": "nothing is restarted by the clock; a job of its own can have `triggers: [{schedule: …}]`",
    "watch": "`fourfold up` sends what has changed",
    "ignore_watch": "`fourfold up` sends what has changed",
    "watch_delay": "`fourfold up` sends what has changed",
    "max_restarts": "there is no last try: the wait before the next one grows instead",
    "min_uptime": "a start counts once it is ready",
    "restart_delay": "the first restart is immediate, then the wait grows: `restart: {backoff: {min: …}}`",
    "stop_exit_codes": "`restart: {policy: on-failure}` takes an exit code of 0 for a good end",
    "wait_ready": "ready is what answers, or takes connections: `health`",
    "shutdown_with_message": "it gets the signal of `stop`",
    "namespace": "an app is a namespace",
    "instance_var": "instances are not numbered: FOURFOLD_INSTANCE is their name",
    "increment_var": "each instance has a $PORT of its own",
    "uid": "each service runs as a user of its own",
    "gid": "each service runs as a user of its own",
    "user": "each service runs as a user of its own",
}
_LOG_KEYS = (
    "log",
    "error",
    "out",
    "log_file",
    "out_file",
    "error_file",
    "merge_logs",
    "combine_logs",
    "log_date_format",
    "log_type",
    "time",
)
_SILENT = frozenset(
    [
        "name",
        "script",
        "args",
        "cwd",
        "env",
        "instances",
        "exec_mode",
        "interpreter",
        "exec_interpreter",
        "interpreter_args",
        "node_args",
        "max_memory_restart",
        "autorestart",
        "kill_timeout",
        "listen_timeout",
        "exp_backoff_restart_delay",
        "source_map_support",
        "vizion",
        "force",
        "treekill",
        "automation",
        "pmx",
        "pid",
        "pid_file",
        "disable_logs",
    ]
)
_INTERPRETERS = {".py": "python3", ".rb": "ruby", ".sh": "sh", ".php": "php", ".pl": "perl"}


def draft(folder: Folder, file: str) -> Draft:
    """Raises SpecError when it is no such file."""
    text = folder.evaluate(file) if file.endswith(PROGRAMS) and folder.evaluate else folder.read(file)
    try:
        data = json.loads(text or "")
    except (ValueError, RecursionError):
        raise SpecError([Problem("", "is no JSON", file, 1, 1, "it has `apps`, a list")]) from None
    apps = data.get("apps", [data] if "script" in data else []) if isinstance(data, dict) else data
    given = [
        each for each in (apps if isinstance(apps, list) else [apps]) if isinstance(each, dict) and each.get("script")
    ]
    if not given:
        raise SpecError([Problem("apps", "names no script", file, 1, 1, "each app has a `script`")])
    made = Draft(service_name(folder.listing.name), file)
    names: set[str] = set()
    for said in given:
        service = _service(folder, made, said, given)
        service.name = free_name(service.name, names)
        names.add(service.name)
        made.services.append(service)
    if isinstance(data, dict) and data.get("deploy"):
        made.notes.append(Note("deploy", "`fourfold up` packs this folder and sends it", list(data["deploy"])))
    expose(made)
    return made


def _service(folder: Folder, draft: Draft, said: dict[str, Any], beside: list[dict[str, Any]]) -> Drafted:
    script = str(said["script"])
    made = Drafted(
        service_name(str(said.get("name") or posixpath.splitext(posixpath.basename(script))[0])), draft.source
    )
    made.why = f"`{said.get('name') or script}` of {draft.source}"
    place = _place(draft.source, said, made)
    made.keys["source"] = place
    env = _env(made, said)
    command, port = listening(_command(script, said))
    made.keys["run"] = command
    alone = sum(other.get("cwd") == said.get("cwd") for other in beside) == 1 and script != "npm"
    found = recognised(folder.listing if place == "." else folder.listing.below(place.removeprefix("./")))
    build(made, found)
    _port(made, found if alone else None, number(env.pop("PORT", None)) or port)
    _counts(made, said)
    variables_of(made, env, None, draft.hints)
    _ending(made, said)
    _notes(made, said)
    return made


def _place(file: str, said: dict[str, Any], made: Drafted) -> str:
    cwd = said.get("cwd")
    base = posixpath.dirname(file)
    if isinstance(cwd, str) and re.match(r"/|[A-Za-z]:[\\/]", cwd):
        made.note("cwd", "its code is taken from this folder; say another one in `source`", cwd)
        cwd = "."
    place = posixpath.normpath(posixpath.join(base, cwd if isinstance(cwd, str) else "."))
    return "." if place == "." or place.startswith("..") else f"./{place}"


def _command(script: str, said: dict[str, Any]) -> str:
    """PM2 runs JavaScript with Node.js and other files by their ending; anything else as a program."""
    args = said.get("args")
    rest = shlex.join(map(str, args)) if isinstance(args, list) else str(args or "")
    interpreter = said.get("interpreter") or said.get("exec_interpreter")
    options = said.get("interpreter_args") or said.get("node_args") or ""
    given = shlex.join(map(str, options)) if isinstance(options, list) else str(options)
    ending = posixpath.splitext(script)[1]
    if isinstance(interpreter, str) and interpreter != "none":
        first = interpreter
    elif interpreter == "none" or not (ending or "/" in script):
        first = ""
    else:
        first = _INTERPRETERS.get(ending, "node" if ending in (*PROGRAMS, ".ts", "") else "")
    quoted = script if re.fullmatch(r"[\w./@-]+", script) or " " in script else shlex.quote(script)
    return " ".join(filter(None, (first, given, quoted, rest)))


def _env(made: Drafted, said: dict[str, Any]) -> dict[str, str | Raw]:
    """`env`, with `env_production` over it, for that is what runs here."""
    parts = [said.get("env"), said.get("env_production")]
    for key, value in said.items():
        if key.startswith("env_") and key != "env_production":
            name = key.removeprefix("env_")
            made.note(key, f"what is for one environment goes to fourfold.{name}.yaml, taken with `-e {name}`", value)
    values: dict[str, str | Raw] = {}
    for part in parts:
        for name, value in (part if isinstance(part, dict) else {}).items():
            if isinstance(value, str | int | float):
                values[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return values


def _port(made: Drafted, found: Found | None, port: int | None) -> None:
    """`found`: what its folder holds, if nothing else is started from there."""
    if port is None and found and found.port:
        port = found.port
        made.remarks["port"] = "if it listens: on $PORT, at $HOST"
    if port:
        made.keys["port"] = port
        made.published = ("", None)


def _counts(made: Drafted, said: dict[str, Any]) -> None:
    count = said.get("instances")
    if isinstance(count, str) and count.isdecimal():
        count = int(count)
    if isinstance(count, int) and not isinstance(count, bool) and 1 < count <= 10_000:
        made.keys["instances"] = count
    elif count not in (None, 1):
        made.note("instances", "as many as there are processors: say a number", count)
    if said.get("exec_mode") in ("cluster", "cluster_mode") and count not in (None, 1):
        made.remarks["instances"] = "each listens on its own $PORT; the gateway spreads requests"
    memory = said.get("max_memory_restart")
    bytes_of = size(memory) if isinstance(memory, str) else memory if isinstance(memory, int) else None
    if bytes_of and bytes_of >= 1024 * 1024:
        made.keys["resources"] = {"memory": binary(bytes_of)}
        made.remarks["resources"] = "one that takes more is killed and started again"


def _ending(made: Drafted, said: dict[str, Any]) -> None:
    if isinstance(wait := said.get("kill_timeout"), int) and wait > 0:
        made.keys["stop"] = {"signal": "INT", "grace": seconds(wait / 1000)}
        made.remarks["stop"] = "PM2 sends INT"
    if isinstance(wait := said.get("listen_timeout"), int) and wait > 30_000 and "port" in made.keys:
        made.keys["health"] = {"grace": seconds(wait / 1000)}
    if said.get("autorestart") is False:
        made.keys["restart"] = {"policy": "never"}
    elif isinstance(wait := said.get("exp_backoff_restart_delay"), int) and 0 < wait < 30_000:
        made.keys["restart"] = {"backoff": {"min": seconds(wait / 1000)}}


def _notes(made: Drafted, said: dict[str, Any]) -> None:
    logs = [key for key in said if key in _LOG_KEYS]
    if logs:
        made.note(", ".join(logs), _LOGS)
    for key, value in said.items():
        if key in _SILENT or key in logs or key.startswith("env_") or value in (None, False, [], {}):
            continue
        made.note(key, _WHY.get(key, "it has no counterpart here"), value)
