"""Where a daemon's API is reached, and how."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fourfold.errors import UserError

if TYPE_CHECKING:
    import ssl

    from fourfold.cli.link.target import Target

CONNECT = 10.0
"""Seconds; to a local socket it is instant or never."""
_ALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))


@dataclass(frozen=True)
class Endpoint:
    where: str
    """For people."""
    url: str = "http://fourfold"
    socket: Path | None = None
    """Where it is reached; None: by the host of `url`."""
    tls: ssl.SSLContext | None = None
    token: str = ""
    remote: bool = False
    words: Callable[[], str] = str
    """What is to be added when it cannot be reached: the last words of ssh."""
    gone: Callable[[], bool] = bool
    """Whether the way there is gone, however long one waits: ssh has ended."""

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def host(self) -> str:
        """Host and port of `url`."""
        return self.url.partition("://")[2].partition("/")[0]


def connect(endpoint: Endpoint, timeout: float) -> socket.socket:
    """Raises OSError."""
    if endpoint.socket is not None:
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(timeout)
        connected.connect(str(endpoint.socket))
        return connected
    from urllib.parse import urlsplit

    parts = urlsplit(endpoint.url)
    default = 443 if parts.scheme == "https" else 80
    connected = socket.create_connection((parts.hostname or "", parts.port or default), timeout)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _ALIVE:
        connected.setsockopt(socket.IPPROTO_TCP, name, value)
    return endpoint.tls.wrap_socket(connected, server_hostname=parts.hostname) if endpoint.tls else connected


def connects(path: Path) -> bool:
    """Whether somebody listens on that socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def local(path: Path) -> Endpoint:
    return Endpoint(str(path), socket=path)


def over_network(target: Target, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """Of https and http, with FOURFOLD_TOKEN and FOURFOLD_CA. Raises UserError."""
    token = environ.get("FOURFOLD_TOKEN", "").strip()
    if not token:
        raise UserError(
            f"cannot reach {target.text}: there is no token",
            "set FOURFOLD_TOKEN; an admin makes one there: fourfold tokens create NAME --role read",
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UserError("cannot use FOURFOLD_TOKEN: it is not a token", "it is what `fourfold tokens create` printed")
    tls = None
    if target.kind == "https":
        import ssl

        authorities = environ.get("FOURFOLD_CA") or None
        try:
            tls = ssl.create_default_context(cafile=authorities)
        except OSError as error:
            what = f"cannot use FOURFOLD_CA={authorities}: {error.strerror or error}"
            raise UserError(what, "it is a file of certificates, PEM") from None
    return Endpoint(target.text, url=target.url, tls=tls, token=token, remote=True)
