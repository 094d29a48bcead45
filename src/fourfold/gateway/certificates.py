"""Certificates as HAProxy takes them: one PEM text with the chain, the server's own certificate first, and its key."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fourfold.clock import rfc3339
from fourfold.errors import UserError

DAY = 86_400.0
SOON = 14
"""Days before its end from which on a certificate is told of."""


def combine(certificate: bytes, key: bytes, where: str = "gateway.tls") -> bytes:
    """Chain and key, as two PEM texts (they may be the same one), into one. Raises UserError when they do not fit."""
    # Slow to import, and few apps have certificates.
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_pem_private_key,
    )

    pkix = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        chain = x509.load_pem_x509_certificates(certificate)
    except ValueError:
        raise UserError(
            f"cannot use the certificate of {where}: there is no PEM certificate in it",
            "give a file with -----BEGIN CERTIFICATE-----; convert DER with `openssl x509 -inform der`",
        ) from None
    try:
        private = load_pem_private_key(key, password=None)
        own = private.public_key().public_bytes(*pkix)
    except TypeError:
        raise UserError(
            f"cannot use the key of {where}: it is encrypted", "remove the passphrase: `openssl pkey -in key -out new`"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(
            f"cannot use the key of {where}: there is no private key in PEM in it",
            "give a file with -----BEGIN PRIVATE KEY-----",
        ) from None
    try:
        keys = [one.public_key().public_bytes(*pkix) for one in chain]
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(
            f"cannot use the certificate of {where}: its public key is damaged, or of no known kind ({error})"
        ) from None
    if keys[0] != own:
        position = keys.index(own) if own in keys else None
        hint = "give the key that the certificate was made with"
        if position is not None:
            hint = f"put certificate {position + 1} of the chain first: it is the one that the key belongs to"
        raise UserError(f"cannot use the key of {where}: it does not belong to the certificate", hint)
    parts = [one.public_bytes(Encoding.PEM) for one in chain]
    return b"".join([*parts, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())])


@dataclass(frozen=True)
class Facts:
    """What a certificate says of itself. Times are epoch seconds."""

    names: tuple[str, ...]
    issuer: str
    begins: float
    ends: float


def facts(pem: bytes) -> Facts:
    """Of the first certificate in a text that `combine` made. Raises UserError for one with broken fields."""
    try:
        return _facts(pem)
    except ValueError as error:
        raise UserError(f"cannot use the certificate: it is damaged ({error})", "have it issued anew") from None


def _facts(pem: bytes) -> Facts:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    own = x509.load_pem_x509_certificates(pem)[0]
    try:
        found = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
    except x509.ExtensionNotFound:  # browsers have not looked at the subject's name since 2017
        names = []
    issuer = own.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    said = str(issuer[0].value) if issuer else own.issuer.rfc4514_string()
    begins, ends = own.not_valid_before_utc.timestamp(), own.not_valid_after_utc.timestamp()
    return Facts(tuple(names), said, begins, ends)


def unfit(found: Facts, now: float) -> str:
    """Why browsers refuse it now; empty: its time is no reason."""
    if found.ends <= now:
        return f"it has ended on {rfc3339(found.ends)}"
    return f"it is not valid before {rfc3339(found.begins)}" if found.begins > now else ""


def is_renewal(found: Facts, present: Facts, now: float) -> bool:
    """Whether one that lies in a file is to be served in place of the present one: it is valid, newer, and for all of
    its names: a file of that name may be another app's, where the service file lies on another machine."""
    newer = found.begins >= present.begins or present.ends <= now
    return newer and not unfit(found, now) and set(present.names) <= set(found.names)


def ending(ends: float, now: float) -> str:
    """`ends in 12 days, on …`, `has ended on …`."""
    if ends <= now:
        return f"has ended on {rfc3339(ends)}: browsers refuse it"
    days = int((ends - now) // DAY)
    return f"ends in {days} day{'s' if days != 1 else ''}, on {rfc3339(ends)}"


def read(path: str, where: str) -> bytes:
    """A file's bytes; UserError when they cannot be read. A pipe that nobody writes to is empty."""
    try:
        with open(path, "rb", opener=_at_once) as file:
            return file.read(1_000_000)
    except OSError as error:
        raise UserError(
            f"cannot read {path} for {where}: {error.strerror}", "check the path and who may read it"
        ) from None


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
