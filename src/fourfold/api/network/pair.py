"""The certificate of the API over TLS: read when it is there, and again when its files change."""

from __future__ import annotations

import ssl
from pathlib import Path

from fourfold.errors import WorldError


class Pair:
    """`context` is for connections to come; it takes a renewed certificate while it is used."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate = certificate
        self.key = key
        self.context: ssl.SSLContext | None = None
        """None until a pair that goes together was read."""
        self._seen: tuple[object, ...] = ()

    def look(self) -> bool:
        """Read the files if they are others than those looked at last. -> whether they are in use now, as new ones.

        Raises WorldError, once for each state of the files; what was in use stays.
        """
        state = (_stamp(self.certificate), _stamp(self.key))
        if state == self._seen:
            return False
        self._seen = state
        fresh = _context()
        self._load(fresh)  # a pair that does not go together leaves a context that nobody can use
        if self.context is None:
            self.context = fresh
        else:
            self._load(self.context)
        return True

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self.certificate, self.key, password=_none)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            why = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
            raise WorldError(
                f"cannot use certificate {self.certificate} with key {self.key}: {why}",
                "see api_cert and api_key in fourfold.toml; new files are taken within seconds",
            ) from error


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _none() -> str:
    """For a key with a passphrase: asking for it on a terminal would stop the daemon."""
    raise ValueError("the key has a passphrase")


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_ino, found.st_mtime_ns, found.st_size
