"""Signature Version 4, verified: who signed a request, and that nothing of it was changed. Pure.

Source: AWS General Reference, "Create a signed AWS API request", for services other than S3 (the path is encoded
twice); a presigned request carries the same in its query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from urllib.parse import quote, unquote

from fourfold.api.aws.errors import ApiError

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW = 300.0
"""Seconds that a client's clock may differ."""
LONGEST = 604_800
"""Seconds that a presigned request may hold."""
UNSIGNED = "UNSIGNED-PAYLOAD"
_EMPTY = sha256(b"").hexdigest()
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM}\s+Credential=([^,\s]+),?\s*SignedHeaders=([^,\s]+),?\s*Signature=([0-9a-f]{{64}})\s*"
)
_DATE = re.compile(r"\d{8}T\d{6}Z")
_PLAIN = re.compile(r"[A-Za-z0-9/_.~-]*")


@dataclass(frozen=True)
class Signed:
    """What of a request its signature covers. Header names are in lower case."""

    method: str
    path: str
    """As it was sent: percent-encoded."""
    query: str
    headers: Sequence[tuple[str, str]]
    payload: bytes


@dataclass(frozen=True)
class _Claim:
    """What a request says of its own signature."""

    key: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    at: str
    expires: int | None


class Verifier:
    """One key pair. Signing keys are kept: each takes four HMACs, and all requests of a day have the same."""

    def __init__(self, key_id: str, secret: str, service: str = "lambda") -> None:
        self._key_id = key_id
        self._secret = secret
        self._service = service
        self._signing: dict[tuple[str, str], bytes] = {}

    def verify(self, request: Signed, now: float) -> None:
        """Raises ApiError (403), as AWS has them, for a request that this key has not signed."""
        headers = request.headers
        authorization = _header(headers, "authorization")
        if authorization is not None:
            claim = _from_header(authorization, headers)
            pairs = _pairs(request.query)
        elif "X-Amz-Signature=" in request.query:
            pairs = _pairs(request.query)
            claim = _from_query(dict(pairs))
            pairs = [pair for pair in pairs if pair[0] != "X-Amz-Signature"]
        else:
            raise ApiError(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        if not compare_digest(claim.key.encode(), self._key_id.encode()):
            raise ApiError(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
        if claim.service != self._service:
            raise _invalid(f"Credential should be scoped to correct service: '{self._service}'. ")
        _check_time(claim, now)
        scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
        told = _header(headers, "x-amz-content-sha256") or dict(pairs).get("X-Amz-Content-Sha256")
        canonical = _canonical(request, pairs, claim.signed_headers, payload_hash(request.payload, told))
        text = f"{ALGORITHM}\n{claim.at}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        expected = hmac_digest(self._key(claim.date, claim.region), text.encode(), "sha256").hex()
        if not compare_digest(expected, claim.signature):
            raise _invalid(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
                "Access Key and signing method. Consult the service documentation for details."
            )

    def _key(self, date: str, region: str) -> bytes:
        key = self._signing.get((date, region))
        if key is None:
            if len(self._signing) >= 64:  # regions are the client's to choose
                self._signing.clear()
            key = signing_key(self._secret, date, region, self._service)
            self._signing[date, region] = key
        return key


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac_digest(key, part.encode(), "sha256")
    return key


def payload_hash(payload: bytes, told: str | None) -> str:
    """`told`: of X-Amz-Content-Sha256; a hash there must be the payload's own."""
    if told == UNSIGNED:
        return UNSIGNED
    found = sha256(payload).hexdigest() if payload else _EMPTY
    if told is not None and told != found:
        raise _invalid("The provided 'x-amz-content-sha256' header does not match what was computed.")
    return found


def _canonical(request: Signed, pairs: Sequence[tuple[str, str]], signed_headers: Sequence[str], content: str) -> str:
    lines = [request.method, canonical_path(request.path), _canonical_query(pairs)]
    values: dict[str, str] = {}
    for name, value in request.headers:
        if name in signed_headers:
            one = " ".join(value.split())
            values[name] = f"{values[name]},{one}" if name in values else one
    lines += [f"{name}:{values.get(name, '')}" for name in signed_headers]
    lines += ["", ";".join(signed_headers), content]
    return "\n".join(lines)


def canonical_path(path: str) -> str:
    """Normalized (RFC 3986, 5.2.4: no `.`, `..` or empty parts), then encoded once more."""
    if "//" in path or "/." in path:
        parts: list[str] = []
        for part in path.split("/"):
            if part == "..":
                if parts:
                    parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        path = "/" + "/".join(parts) + ("/" if path.endswith("/") and parts else "")
    return (path if _PLAIN.fullmatch(path) else quote(path, safe="/~")) or "/"


def _pairs(query: str) -> list[tuple[str, str]]:
    """Decoded: clients differ in what they encode."""
    if not query:
        return []
    parts = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(name), unquote(value)) for name, _, value in parts]


def _canonical_query(pairs: Sequence[tuple[str, str]]) -> str:
    encoded = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _from_header(authorization: str, headers: Sequence[tuple[str, str]]) -> _Claim:
    found = _AUTHORIZATION.fullmatch(authorization)
    at = _header(headers, "x-amz-date") or ""
    if not found:
        raise _incomplete("Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.")
    return _claim(found[1], found[2], found[3], at, None)


def _from_query(query: Mapping[str, str]) -> _Claim:
    expires = query.get("X-Amz-Expires", "")
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        raise _incomplete(f"X-Amz-Algorithm must be {ALGORITHM}.")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 6 and int(expires) <= LONGEST):
        raise _incomplete(f"X-Amz-Expires must be a number of at most {LONGEST} seconds.")
    return _claim(
        query.get("X-Amz-Credential", ""),
        query.get("X-Amz-SignedHeaders", ""),
        query["X-Amz-Signature"],
        query.get("X-Amz-Date", ""),
        int(expires),
    )


def _claim(credential: str, signed_headers: str, signature: str, at: str, expires: int | None) -> _Claim:
    scope = credential.split("/")
    if len(scope) != 5 or scope[4] != "aws4_request":
        raise _incomplete(f"Credential must have exactly 5 slash-delimited elements, got '{credential}'.")
    names = tuple(name.lower() for name in signed_headers.split(";"))
    if "host" not in names:
        raise _invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    if not _DATE.fullmatch(at):
        raise _incomplete("The request must contain a valid ISO-8601 'X-Amz-Date': YYYYMMDD'T'HHMMSS'Z'.")
    if at[:8] != scope[1]:
        raise _invalid(f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date: '{at}'.")
    return _Claim(scope[0], scope[1], scope[2], scope[3], names, signature, at, expires)


def _check_time(claim: _Claim, now: float) -> None:
    at = _epoch(claim.at)
    holds = claim.expires if claim.expires is not None else SKEW
    if now > at + holds:
        raise _invalid(f"Signature expired: {claim.at} is now earlier than {_stamp(now - holds)} ({_stamp(now)}.)")
    if now < at - SKEW:
        raise _invalid(f"Signature not yet current: {claim.at} is still later than {_stamp(now + SKEW)}")


@lru_cache(256)
def _epoch(stamp: str) -> float:
    """Many requests are signed in the same second."""
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise _incomplete(f"'{stamp}' is no date.") from None


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")


def _header(headers: Sequence[tuple[str, str]], wanted: str) -> str | None:
    for name, value in headers:
        if name == wanted:
            return value
    return None


def _incomplete(what: str) -> ApiError:
    return ApiError(403, "IncompleteSignatureException", what)


def _invalid(what: str) -> ApiError:
    return ApiError(403, "InvalidSignatureException", what)
