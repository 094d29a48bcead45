"""Commands and what they tell: whether a shell is needed, where something listens, what is asked for health. Pure."""

from __future__ import annotations

import re
import shlex
from urllib.parse import urlsplit

_SHELL = re.compile(r"[;&|<>(){}$`*?\[\]~#!\\\n]")
_URL = re.compile(r"""(?:https?://)?(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::(\d+))?(/[^\s'"|;&>)]*)?""")
_ASKS = ("curl", "wget", "http", "wget2", "httpie")
_LISTENS = (
    r"--port[ =](\d{2,5})\b",
    r"\s-p[ =]?(\d{4,5})\b",
    r"(?:-b|--bind|--listen|--http|-l)[ =](?:[\w.\[\]:*]*:)?(\d{2,5})\b",
    r"(?:0\.0\.0\.0|127\.0\.0\.1|localhost|\[::\]):(\d{2,5})\b",
    r"\bPORT=(\d{2,5})\b",
)
_ADDRESS = re.compile(r"(?<![\w.])(0\.0\.0\.0|127\.0\.0\.1|localhost):(?=\$PORT\b)")


def words(command: str) -> list[str] | None:
    """As a shell splits it; None: its quotes do not match."""
    try:
        return shlex.split(command)
    except ValueError:
        return None


def without_shell(command: str) -> str | list[str]:
    """A command that its tool runs without a shell: text where a shell would do the same, else its words."""
    if not _SHELL.search(command):
        return command
    return words(command) or command


def listens(command: str) -> int | None:
    """The port that a command line names."""
    for pattern in _LISTENS:
        if (match := re.search(pattern, command)) and 0 < int(match[1]) < 65536:
            return int(match[1])
    return None


def listening(command: str) -> tuple[str, int | None]:
    """A command with `$PORT` and `$HOST` in place of the port and address that it names, and that port.

    Several instances of a process, or an old and a new one, cannot have one port of the host. Where a shell would see
    `$PORT` in single quotes the command stays as it is.
    """
    port = listens(command)
    if port is None or "'" in command or words(command) is None:
        return command, None if port is None or "'" not in command else port
    replaced = re.sub(rf"(?<![\w.]){port}(?![\w.])", "$PORT", command, count=1)
    return _ADDRESS.sub("$HOST:", replaced), port


def asked(command: str) -> tuple[int | None, str] | None:
    """Port and path that a health check asks over HTTP at its own address: `curl -f http://localhost:3000/up`."""
    first = (words(command) or command.split() or [""])[0]
    if first.rpartition("/")[2] not in _ASKS or re.search(r"\|\s*(?!\||exit)", command.replace("||", "")):
        return None
    found = [match for match in _URL.finditer(command) if match[1] or match[2] or match[0].startswith("http")]
    if len(found) != 1 or "https://" in command:
        return None
    path = urlsplit(found[0][2] or "/")
    text = path.path + (f"?{path.query}" if path.query else "")
    return (int(found[0][1]) if found[0][1] else None), text or "/"
