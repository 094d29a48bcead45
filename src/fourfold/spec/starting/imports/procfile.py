"""`Procfile` (Heroku, foreman, honcho, overmind) -> a draft, with `app.json` and `.env` beside it. Pure.

Source: Heroku Dev Center, "The Procfile" and "app.json Schema".
"""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any

from fourfold.errors import Problem, SpecError
from fourfold.spec.dotenv import parse as dotenv
from fourfold.spec.starting.finds import recognised, service_name
from fourfold.spec.starting.imports.commands import listening
from fourfold.spec.starting.imports.found import build
from fourfold.spec.starting.imports.model import Draft, Drafted, Folder, Note, Raw
from fourfold.spec.starting.imports.programs import number, variables_of
from fourfold.spec.starting.imports.routes import expose
from fourfold.spec.starting.imports.values import looks_secret

_LINE = re.compile(r"(?m)^([A-Za-z0-9_-]+):[ \t]*(\S.*?)[ \t\r]*$")
_PORT = 8080
_TOP = {
    "addons": "databases and the like are `externals` here, which give <NAME>_URL",
    "buildpacks": "the builder is found in the source",
    "stack": "it runs on this machine, or on a base: `container: {base: …}`",
    "image": "say it in `image`",
    "environments": "what is for one environment goes to fourfold.ENV.yaml, taken with `-e ENV`",
}


def draft(folder: Folder, file: str) -> Draft:
    """Raises SpecError when there is no program in it."""
    lines = dict(_LINE.findall(folder.read(file) or ""))
    programs = {name: command for name, command in lines.items() if name != "release"}
    if not programs:
        raise SpecError([Problem("", "names no program", file, 1, 1, "each line is `name: command`")])
    place = posixpath.dirname(file)
    made = Draft(service_name(folder.listing.name), file)
    described = _json(folder.read(posixpath.join(place, "app.json")))
    env, secrets = _env(folder, made, described, posixpath.join(place, ".env"))
    source = f"./{place}" if place else "."
    made.services = [_service(made, name, command, source, env) for name, command in programs.items()]
    for service in made.services if secrets else []:
        service.keys["secrets"] = [*service.keys.get("secrets", []), *secrets]
    made.hints += [f"fourfold secrets set {name}" for name in secrets]
    _release(made, lines.get("release"))
    _formation(made, described)
    _settle_ports(folder, made, env)
    expose(made)
    made.notes += [Note(f"app.json: {key}", why, described[key]) for key, why in _TOP.items() if described.get(key)]
    scripts = described.get("scripts")
    if isinstance(scripts, dict) and scripts.get("postdeploy"):
        why = "it is for new apps: run it by hand with `fourfold exec`"
        made.notes.append(Note("app.json: scripts.postdeploy", why, scripts["postdeploy"]))
    made.hints = list(dict.fromkeys(made.hints))
    return made


def _service(made: Draft, name: str, command: str, source: str, env: dict[str, str | Raw]) -> Drafted:
    service = Drafted(service_name(name), f"`{name}` of {made.source}")
    told = re.search(r"\$PORT\b|\$\{PORT\b", command) is not None
    run, port = (command, None) if told else listening(command)
    service.keys = {"source": source, "run": run}
    if port:
        service.keys["port"] = port
    if name == "web" or port or told:
        service.published = ("", None)
    secrets_in = posixpath.join(posixpath.dirname(made.source), ".env")
    variables_of(service, env, secrets_in, made.hints)
    return service


def _settle_ports(folder: Folder, made: Draft, env: dict[str, str | Raw]) -> None:
    """`web` listens; so does a single program whose code says so."""
    found = recognised(folder.listing)
    for service in made.services:
        build(service, found)
        port = number(env.get("PORT", "")) if service.published else None
        if len(made.services) == 1 and found and found.port:
            service.published = ("", None)
        if service.published:
            front: dict[str, Any] = {
                key: service.keys[key] for key in ("source", "build", "run") if key in service.keys
            }
            front["port"] = service.keys.get("port") or port or _PORT
            service.keys = front | {key: value for key, value in service.keys.items() if key not in front}
            if "PORT" not in str(service.keys["run"]):
                service.remarks["port"] = "it must listen on $PORT, at $HOST"


def _release(made: Draft, command: str | None) -> None:
    """Runs once per release, before any program of it."""
    if command is None:
        return
    first = next((service for service in made.services if service.name == "web"), made.services[0])
    first.keys["deploy"] = {"before": command}
    first.remarks["deploy"] = f"`release` of {made.source}"
    for service in made.services:
        if service is not first:
            service.keys["depends_on"] = [first.name]
            service.remarks["depends_on"] = "after what runs before a release"


def _formation(made: Draft, described: dict[str, Any]) -> None:
    formation = described.get("formation")
    for name, said in (formation if isinstance(formation, dict) else {}).items():
        count = said.get("quantity") if isinstance(said, dict) else None
        service = next((each for each in made.services if each.name == service_name(name)), None)
        if service and isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= 10_000 and count != 1:
            service.keys["instances"] = count
        if service and isinstance(said, dict) and said.get("size"):
            service.note("app.json: size", "say it in `resources: {memory: …}`", said["size"])


def _env(folder: Folder, made: Draft, described: dict[str, Any], path: str) -> tuple[dict[str, str | Raw], list[str]]:
    """Variables, and names of secrets that have no value yet."""
    values: dict[str, str | Raw] = {}
    secrets: list[str] = []
    given = described.get("env")
    for name, said in (given if isinstance(given, dict) else {}).items():
        value = said.get("value") if isinstance(said, dict) else said
        secret = looks_secret(name, value if isinstance(value, str) else "") or (
            isinstance(said, dict) and said.get("generator") == "secret"
        )
        if secret:
            secrets.append(name)
        elif isinstance(value, str):
            values[name] = value
        elif not (isinstance(said, dict) and said.get("required") is False):
            made.notes.append(Note(f"app.json: env.{name}", "it has no value there: say it in `env` or `secrets`"))
    text = folder.read(path)
    try:
        local = dotenv(text, path) if text else {}
        return values | local, [name for name in secrets if name not in local]
    except SpecError as error:
        made.notes.append(Note(path, f"it cannot be read: {error.problems[0].message}"))
        return values, secrets


def _json(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
