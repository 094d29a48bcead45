"""`supervisord.conf` -> a draft. Pure.

Source: Supervisor's documentation, "Configuration File": sections, expressions such as `%(here)s`, and their defaults.
"""

from __future__ import annotations

import configparser
import posixpath
import re
from fnmatch import fnmatchcase

from fourfold.errors import Problem, SpecError
from fourfold.spec.fields import SIGNALS
from fourfold.spec.interpolate import escape
from fourfold.spec.starting.finds import Listing, free_name, service_name
from fourfold.spec.starting.imports.commands import listening, without_shell, words
from fourfold.spec.starting.imports.model import Draft, Drafted, Folder, Note, Raw
from fourfold.spec.starting.imports.programs import number, variables_of
from fourfold.spec.starting.imports.routes import expose
from fourfold.spec.starting.imports.values import seconds

MAX_INCLUDED = 50
_LOGS = "logs are kept, bounded and rotated here: `fourfold logs`"
_WHY = {
    "process_name": "instances have names of their own",
    "numprocs_start": "instances are not numbered",
    "priority": "say in `depends_on` what is to be there first",
    "startretries": "there is no last try: the wait before the next one grows instead",
    "exitcodes": "an exit code of 0 is a good one",
    "user": "each service runs as a user of its own",
    "umask": "it is 022",
    "serverurl": "nothing of Supervisor's is there to be called",
    "socket": "a socket of FastCGI is not made here",
    "socket_owner": "a socket of FastCGI is not made here",
    "socket_mode": "a socket of FastCGI is not made here",
}
_DONE = frozenset(
    [
        "command",
        "directory",
        "environment",
        "numprocs",
        "autostart",
        "autorestart",
        "startsecs",
        "stopsignal",
        "stopwaitsecs",
        "stopasgroup",
        "killasgroup",
        "redirect_stderr",
    ]
)
_SECTIONS = ("supervisord", "unix_http_server", "inet_http_server", "supervisorctl", "include")
"""Of Supervisor itself: nothing is lost where Fourfold is."""
_NUMBER = r"%\(process_num\)\d*[ds]"
_FIRST_PORT = 1024
"""Processes that are numbered from here are numbered by their ports."""
_NUMBERED_PORT = rf"(?<!\w)\d+{_NUMBER}"
"""`80%(process_num)02d`; not the number in `-n worker%(process_num)02d`."""


def draft(folder: Folder, file: str) -> Draft:
    """Raises SpecError when it is no such file, or has no programs."""
    parser = _parsed(folder.read(file), file)
    made = Draft(service_name(folder.listing.name), file)
    sections = {name: dict(parser.items(name)) for name in parser.sections()}
    for path in _included(folder, file, sections.get("include", {}).get("files", ""), made):
        more = _parsed(folder.read(path), path)
        sections |= {name: dict(more.items(name)) for name in more.sections() if name not in sections}
    for name, said in sections.items():
        kind, _, own = name.partition(":")
        if kind in ("program", "fcgi-program", "eventlistener") and own:
            made.services.append(_service(folder.listing, file, kind, own.strip(), said))
        elif kind == "group":
            made.notes.append(
                Note(name, "services are started and stopped by name, or all together", said.get("programs"))
            )
        elif kind not in _SECTIONS and not kind.startswith("rpcinterface"):
            made.notes.append(Note(name, "it has no counterpart here"))
    if not made.services:
        raise SpecError(
            [Problem("", "has no [program:…]", file, 1, 1, "its programs may be in files that it includes")]
        )
    names: set[str] = set()
    for service in made.services:
        service.name = free_name(service.name, names)
        names.add(service.name)
    expose(made)
    return made


def _parsed(text: str | None, file: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";",))
    try:
        parser.read_string(text or "", file)
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or next((each[0] for each in getattr(error, "errors", [])), 1)
        problem = Problem(
            "", "is no configuration of Supervisor", file, line, 1, "it has sections such as [program:web]"
        )
        raise SpecError([problem]) from None
    return parser


def _included(folder: Folder, file: str, patterns: str, made: Draft) -> list[str]:
    """Files that `[include]` names by patterns relative to the file, in order of their names."""
    found: list[str] = []
    for pattern in patterns.replace("%(here)s/", "").split():
        place = posixpath.normpath(posixpath.join(posixpath.dirname(file), pattern))
        names = sorted(name for name in folder.listing.files if fnmatchcase(name, place))
        if not names:
            made.notes.append(Note("include", "no such files are in this folder", pattern))
        found += names
    return [name for name in dict.fromkeys(found) if name != file][:MAX_INCLUDED]


def _service(listing: Listing, file: str, kind: str, name: str, said: dict[str, str]) -> Drafted:
    made = Drafted(service_name(name), f"[{kind}:{name}] of {file}")
    if kind == "eventlistener":
        made.off = "an event listener of Supervisor: `fourfold events` and `notify` tell what happens"
    if said.get("autostart", "").strip().lower() in ("false", "off", "no", "0"):
        made.off = made.off or "it is not started by itself (autostart=false): take it in, or not"
    if not said.get("command", "").strip():
        made.off = made.off or "it has no command"
    environment = _environment(said.get("environment", ""))
    folder = said.get("directory", "").strip().replace("%(here)s", ".").rstrip("/")
    _program(made, listing, name, (file, folder), said)
    _listens(made, environment.pop("PORT", None))
    _counts(made, said)
    _ending(made, said)
    variables_of(made, {key: _filled(_moved(value, folder), name) for key, value in environment.items()}, None, [])
    if any(key.startswith(("stdout_", "stderr_")) for key in said):
        logs = [key for key in said if key.startswith(("stdout_", "stderr_"))]
        made.note(", ".join(logs), _LOGS)
    for key, value in said.items():
        if key in _DONE or key.startswith(("stdout_", "stderr_")):
            continue
        if key == "process_name" and ("process_num" in value or value == "%(program_name)s"):
            continue
        made.note(key, _WHY.get(key, "it has no counterpart here"), value)
    return made


def _program(made: Drafted, listing: Listing, name: str, place: tuple[str, str], said: dict[str, str]) -> None:
    """`place`: the file, and the program's folder as it says."""
    file, folder = place
    relative = posixpath.normpath(posixpath.join(posixpath.dirname(file), folder or "."))
    if folder.startswith("/"):
        relative = _ending_of(folder, listing)
    made.keys["source"] = "." if relative in (".", "") or relative.startswith("..") else f"./{relative}"
    command = re.sub(_NUMBERED_PORT, "$PORT", said.get("command", "").strip()).replace("%(here)s/", "./")
    first = said.get("numprocs_start", "").strip()
    numbers_ports = first.isdecimal() and int(first) >= _FIRST_PORT
    command = re.sub(_NUMBER, "$PORT" if numbers_ports else "$FOURFOLD_INSTANCE", command)
    command = _moved(command, folder)
    if folder.startswith("/") and folder != "/app":
        made.remarks["source"] = f"what was in {folder} is in /app; say another folder if it is not this one"
    numbered = "$PORT" in command
    run, named = (command, 8080) if numbered else listening(command)
    filled = _filled(run, name)
    shell = named or "$FOURFOLD_INSTANCE" in run  # which it is to fill in
    if isinstance(filled, Raw) or shell or isinstance(without_shell(run), str):
        made.keys["run"] = filled
    else:
        made.keys["run"] = words(run) or filled
    if named:
        made.keys["port"] = named
        made.published = ("", None)


def _ending_of(folder: str, listing: Listing) -> str:
    """The folder here that an absolute one ends in: `/app/backend` of an image is `backend` of its source."""
    parts = folder.strip("/").split("/")
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if any(name.startswith(f"{end}/") for name in listing.files)), ".")


def _moved(text: str, folder: str) -> str:
    """With what is in an absolute folder where it is here."""
    return text.replace(f"{folder}/", "/app/") if folder.startswith("/") else text


def _listens(made: Drafted, own: str | None) -> None:
    """`own`: the port that its environment says."""
    if own is None or "port" in made.keys:
        return
    made.keys["port"] = number(own) or 8080
    made.published = ("", None)
    if number(own) is None:
        made.remarks["port"] = f"PORT was {own}"


def _counts(made: Drafted, said: dict[str, str]) -> None:
    count = said.get("numprocs", "1").strip()
    if count.isdecimal() and 0 <= int(count) <= 10_000 and count != "1":
        made.keys["instances"] = int(count)
    elif not count.isdecimal():
        made.note("numprocs", "say a number in `instances`", count)


def _ending(made: Drafted, said: dict[str, str]) -> None:
    start = said.get("startsecs", "1").strip()
    if start.isdecimal() and int(start) > 1:
        made.keys["deploy"] = {"min_ready": seconds(int(start))}
    stop: dict[str, str] = {}
    signal = said.get("stopsignal", "TERM").strip().upper().removeprefix("SIG")
    if signal != "TERM" and signal in SIGNALS:
        stop["signal"] = signal
    wait = said.get("stopwaitsecs", "10").strip()
    if wait.isdecimal() and wait != "10":
        stop["grace"] = seconds(int(wait))
    if stop:
        made.keys["stop"] = stop
    again = said.get("autorestart", "").strip().lower()
    policy = {"false": "never", "no": "never", "off": "never", "0": "never", "unexpected": "on-failure"}.get(again)
    if policy:
        made.keys["restart"] = {"policy": policy}


def _environment(text: str) -> dict[str, str]:
    """`KEY="value",OTHER=1`: values may be quoted, and then hold commas."""
    found = re.findall(r"""([A-Za-z_]\w*)\s*=\s*("[^"]*"|'[^']*'|[^,\n]*)""", text)
    return {key: value.strip()[1:-1] if value[:1] in ("'", '"') else value.strip() for key, value in found}


def _filled(text: str, program: str) -> str | Raw:
    """Expressions: `%(ENV_X)s` from the environment of whoever calls, which must have it, as with Supervisor."""
    text = text.replace("%(program_name)s", program).replace("%(group_name)s", program).replace("%%", "%")
    text = text.replace("%(here)s", ".").replace("%(ENV_PORT)s", "$PORT").replace("%(ENV_HOST)s", "$HOST")
    if "%(ENV_" not in text:
        return text
    return Raw(re.sub(r"%\(ENV_([A-Za-z_]\w*)\)s", r"${\1}", escape(text)))
