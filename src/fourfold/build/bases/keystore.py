"""Java's store of trusted certificates in the JKS format, which every JDK reads without a password. Pure.

The format is that of `sun.security.provider.JavaKeyStore` (its `engineStore` describes it). Not keytool: it writes the
time at which each certificate was added, and takes a JVM for each.
"""

from __future__ import annotations

import hashlib
import ssl
import struct
from collections.abc import Mapping

_MAGIC, _VERSION, _TRUSTED = 0xFEEDFEED, 2, 2
_PASSWORD = "changeit"
_SALT = b"Mighty Aphrodite"


def key_store(certificates: Mapping[str, str]) -> bytes:
    """`certificates`: name -> PEM text."""
    body = struct.pack(">III", _MAGIC, _VERSION, len(certificates))
    for name, pem in sorted(certificates.items()):
        content = ssl.PEM_cert_to_DER_cert(pem)
        alias = _text(f"debian:{name}".lower())
        body += struct.pack(">I", _TRUSTED) + alias + struct.pack(">Q", 0) + _text("X.509")
        body += struct.pack(">I", len(content)) + content
    return body + hashlib.sha1(_PASSWORD.encode("utf-16-be") + _SALT + body).digest()


def _text(text: str) -> bytes:
    """As java.io.DataOutput.writeUTF; what is not ASCII is replaced, as names are for people only."""
    data = text.encode("ascii", "replace")
    return struct.pack(">H", len(data)) + data
