"""The commented `fourfold.yaml` that `fourfold init` writes. Pure."""

from __future__ import annotations

import re

from fourfold.spec.interpolate import escape
from fourfold.spec.starting.draft_functions import services
from fourfold.spec.starting.finds import Found, Listing, find, service_name
from fourfold.spec.starting.finds_functions import functions

_FRONT = ("root", "web", "frontend", "front", "storefront", "ui", "site", "www", "app", "client", "portal")
_HEAD = """\
# {app}: what runs and how. All keys: `fourfold schema`.
#   Services run as processes, or as what `pattern` says: container, vm or function.
#   fourfold validate   says what is wrong in here
#   fourfold up         brings everything to what it says
app: {app}

services:
"""
_EXAMPLE = """\
  # Nothing that can be started as it is was found here. Describe your services like this one:
  # web:
  #   source: ./web                 # its folder
  #   build: npm run build          # only if it needs more than its dependencies
  #   run: python3 server.py        # it must listen on $PORT, at $HOST
  #   port: 8080
  #   route: {path: /}              # what the gateway sends to it
"""
_TAIL = """
# gateway: {listen: ":8080"}        # where all of it is reached
"""
_WORDS = ("true", "false", "null")
"""What YAML would not take for text."""
_COMMON = """\
    # env: {LOG_LEVEL: info}
    # secrets: [API_KEY]            # set with `fourfold secrets set API_KEY`
    # resources: {cpu: 0.5, memory: 256Mi}
"""


def draft(listing: Listing) -> str:
    """A service file for a folder: it loads if something was found that can be started, else it shows how to say it."""
    if described := functions(listing.texts):
        parts = services(described, service_name, _quoted)
        return _HEAD.format(app=service_name(listing.name)) + "\n".join(parts) + _TAIL
    found = find(listing)
    sure, unsure = ([each for each in found if each.sure is wanted] for wanted in (True, False))
    front = _front(sure)
    parts = [_service(service, service is front) for service in sure] or [_EXAMPLE]
    parts += [_commented(_service(service, False)) for service in unsure]
    return _HEAD.format(app=service_name(listing.name)) + "\n".join(parts) + _TAIL


def _commented(text: str) -> str:
    return "".join(f"  # {line[2:]}" if line[4:5] != "#" else "" for line in text.splitlines(keepends=True))


def _front(found: list[Found]) -> Found | None:
    """The service that gets the route `/`: the only one that listens, or the one that is named like it."""
    listening = [service for service in found if service.port]
    if len(listening) == 1:
        return listening[0]
    return min(
        (service for service in listening if service.name in _FRONT),
        key=lambda service: _FRONT.index(service.name),
        default=None,
    )


def _service(service: Found, front: bool) -> str:
    lines = [f"  {service.name}:{_comment(2 + len(service.name) + 1, f'found by {service.why}')}"]
    lines.append(f"    source: {_quoted(service.source)}")
    if service.build:
        lines.append(f"    build: {_quoted(service.build)}")
    if service.static:
        lines.append(f"    static: {{dir: {_quoted(service.static)}}}")
    elif service.run:
        lines.append(f"    run: {_quoted(service.run)}")
    elif not service.keeps_path:
        lines.append("    # run: …                        # found by itself; say it to be sure")
    if service.port is None:
        lines.append("    # port: 8080                    # when it listens: on $PORT, and the address $HOST")
    else:
        port = f"    port: {service.port}"
        told = service.static or service.keeps_path
        lines.append(port if told else port + _comment(len(port), "it must listen on $PORT, at $HOST"))
        strip = "" if service.keeps_path else ", strip: true"
        route = "{path: /}" if front else f"{{path: /{service.name}{strip}}}"
        lines.append(f"    route: {route}")
        if not service.static:
            lines.append("    # health: {path: /healthz}      # no traffic before this answers with 200")
    return "\n".join(lines) + "\n" + ("" if service.static else _COMMON)


def _comment(used: int, text: str) -> str:
    return " " * max(2, 36 - used) + "# " + re.sub(r"[^ -~]+", "?", text)[:80]


def _quoted(text: str) -> str:
    """Plain where that is safe in YAML (also in braces), else in double quotes; `$` of interpolation escaped."""
    text = escape(text)
    if re.fullmatch(r"\.|(\./|[A-Za-z])[A-Za-z0-9 ./_=$-]*[A-Za-z0-9./_=$-]", text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(_double_quoted(character) for character in text) + '"'


def _double_quoted(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character == "\0" or "\ud800" <= character <= "\udfff":
        return "?"  # no program could take it
    return character if character.isprintable() else f"\\U{ord(character):08x}"
