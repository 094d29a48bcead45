"""`environment`, `env_file` and `secrets` of a Compose service. Pure."""

from __future__ import annotations

import re
from typing import Any

from fourfold.errors import SpecError
from fourfold.spec.dotenv import parse as dotenv
from fourfold.spec.fields import SECRET_NAME
from fourfold.spec.starting.imports.compose.model import Compose, as_list, as_map, pairs
from fourfold.spec.starting.imports.compose.source import Program
from fourfold.spec.starting.imports.model import Drafted, Raw
from fourfold.spec.starting.imports.values import is_variable, looks_secret, only_variable, resolved, variables


def environment(compose: Compose, made: Drafted, said: dict[str, Any], found: Program) -> dict[str, str | Raw]:
    """Variables with their values; sets `secrets`. `PORT` is among them where it is said."""
    files = _files(compose, made, said.get("env_file"))
    given = pairs(said.get("environment"))
    values: dict[str, str | Raw] = {}
    secrets: list[Any] = []
    held = {name: path for path, found_in in files.items() for name in found_in}
    from_files = {name: text for found_in in files.values() for name, text in found_in.items()}
    before = dict(compose.known)  # what a line of an env file may name
    for name, text in {**found.env, **from_files, **given}.items():
        if not is_variable(name):
            made.note(f"environment.{name}", "that is no name of a variable here")
        elif name == "HOST":
            made.note("environment.HOST", "HOST is set for every instance: the address to listen at", text)
        elif secret := _secret(compose, name, text, given, held.get(name)):
            secrets.append(name if secret == name else {name: secret})
        elif text is None:
            values[name] = variables(f"${{{name}}}", compose.known)
        else:
            in_file = name in held and name not in given
            values[name] = variables(found.moved(text), before if in_file else compose.known)
            if in_file:
                before.setdefault(name, resolved(text, before))
    secrets += _mounted(compose, made, said.get("secrets"), values)
    if secrets:
        made.keys["secrets"] = secrets
    return values


def _secret(
    compose: Compose, name: str, text: str | None, given: dict[str, str | None], file: str | None
) -> str | None:
    """The name of the secret that a variable is to hold; None: it is none, or stands in the Compose file as it is."""
    if not looks_secret(name, text if text and name not in given else ""):
        return None
    source = name if text is None else only_variable(text)
    if source is None:
        if name in given or not text:
            return None
        source = name  # of an env file, which is not part of what is shared
    elif file is not None:
        file = None
    known = compose.place(".env") if source in compose.known else file and compose.place(file)
    compose.hints.append(f"fourfold secrets import {known}" if known else f"fourfold secrets set {source}")
    return source


def _files(compose: Compose, made: Drafted, given: Any) -> dict[str, dict[str, str]]:
    """Path -> what it holds, in the order in which later ones win."""
    values: dict[str, dict[str, str]] = {}
    for entry in as_list(given):
        path = compose.text(entry.get("path") if isinstance(entry, dict) else entry)
        text = compose.folder.read(compose.place(path)) if path else None
        if text is None:
            required = as_map(entry).get("required") is not False
            why = "it is not there: what it holds goes to `env` and `secrets`" if required else "it is not there"
            made.note("env_file", why, path)
            continue
        try:
            values[path] = dotenv(text, path)
        except SpecError as error:
            made.note("env_file", f"it cannot be read: {error.problems[0].message}", path)
    return values


def _mounted(compose: Compose, made: Drafted, given: Any, values: dict[str, str | Raw]) -> list[Any]:
    """Secrets as files in /run/secrets, and the variable that names each of them."""
    found: list[Any] = []
    for entry in as_list(given):
        name = compose.text(entry.get("source") if isinstance(entry, dict) else entry)
        target = compose.text(as_map(entry).get("target")) or name
        if not re.fullmatch(SECRET_NAME, name):
            made.note("secrets", "that is no name of a secret here", entry)
            continue
        wanted = f"/run/secrets/{target}" if not target.startswith("/") else target
        path = wanted if re.fullmatch(r"/run/secrets/[A-Za-z0-9_-][A-Za-z0-9._-]*", wanted) else f"/run/secrets/{name}"
        if path != wanted:
            made.note(f"secrets.{name}.target", f"secrets are files in /run/secrets: it is at {path}", target)
        variable = next((key for key, value in values.items() if value == wanted), None)
        if variable:
            del values[variable]
        else:
            variable = re.sub(r"\W", "_", name).upper() + "_FILE"
        found.append({variable: {"name": name, "file": path}})
        source = as_map(compose.secrets.get(name))
        file = compose.text(source.get("file"))
        compose.hints.append(f"fourfold secrets set {name}" + (f" < {compose.place(file)}" if file else ""))
    return found
