"""Certificates as HAProxy takes them: one PEM text with the chain, the server's own certificate first, and its key."""

from __future__ import annotations

from fourfold.errors import UserError


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
    if chain[0].public_key().public_bytes(*pkix) != own:
        position = next((n for n, one in enumerate(chain) if one.public_key().public_bytes(*pkix) == own), None)
        hint = "give the key that the certificate was made with"
        if position is not None:
            hint = f"put certificate {position + 1} of the chain first: it is the one that the key belongs to"
        raise UserError(f"cannot use the key of {where}: it does not belong to the certificate", hint)
    parts = [one.public_bytes(Encoding.PEM) for one in chain]
    return b"".join([*parts, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())])


def read(path: str, where: str) -> bytes:
    """A file's bytes; UserError when they cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - the path is the user's text
            return file.read(1_000_000)
    except OSError as error:
        raise UserError(
            f"cannot read {path} for {where}: {error.strerror}", "check the path and who may read it"
        ) from None
