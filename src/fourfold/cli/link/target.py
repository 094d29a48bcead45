"""Which daemon a command is for: what `-H` and FOURFOLD_HOST may say."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from fourfold.errors import UserError

FORMS = "ssh://[USER@]HOST[:PORT][/SOCKET], https://HOST[:PORT], unix:///SOCKET"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""Of hosts and users: not one that ssh would take for an option."""


@dataclass(frozen=True)
class Target:
    kind: Literal["unix", "ssh", "https", "http"]
    text: str
    """As it was given."""
    host: str = ""
    port: int | None = None
    user: str = ""
    path: str = ""
    """Of a socket: here, or (ssh) there; empty: the one that `fourfold` has there."""

    @property
    def url(self) -> str:
        """Of https and http."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}" + (f":{self.port}" if self.port else "")


def parse(text: str) -> Target:
    """Raises UserError."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _wrong(text, str(error)) from None
    kind, path = parts.scheme, unquote(parts.path)
    host = _host(parts.netloc)
    if parts.query or parts.fragment or parts.password:
        raise _wrong(text, "there is more in it than that")
    if kind == "unix":
        if host or not path.startswith("/"):
            raise _wrong(text, "the path of a socket begins with / (unix:///run/…)")
        return Target("unix", text, path=str(Path(path)))
    if kind not in ("ssh", "https", "http"):
        raise _wrong(text, f"{kind} is none of these" if kind else "it does not say how to get there")
    if not (_NAME.fullmatch(host) or _is_address(host)):
        raise _wrong(text, f"{host!r} is not a host")
    if kind == "ssh":
        user = unquote(parts.username or "")
        if user and not _NAME.fullmatch(user):
            raise _wrong(text, f"{user!r} is not a user")
        if ":" in path or "\n" in path:
            raise _wrong(text, "the socket's path has a colon, which ssh cannot have")
        return Target("ssh", text, host, port, user, "" if path == "/" else path)
    if parts.username or path not in ("", "/"):
        raise _wrong(text, "nothing comes before the host or after the port")
    if kind == "http" and host != "localhost" and not (_is_address(host) and ipaddress.ip_address(host).is_loopback):
        raise _wrong(text, "a token must not be sent without TLS: https://")
    return Target("https" if kind == "https" else "http", text, host, port)


def _host(location: str) -> str:
    """As it is written: names in ~/.ssh/config have capital letters and small ones."""
    host = location.rpartition("@")[2]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(host: str) -> bool:
    """A zone (RFC 4007, section 11) may be any text: what is no interface's name gets to no shell through ssh's %h."""
    if "%" in host and not _NAME.fullmatch(host.partition("%")[2]):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _wrong(text: str, why: str) -> UserError:
    return UserError(f"cannot use host {text}: {why}", f"-H and FOURFOLD_HOST take {FORMS}")
