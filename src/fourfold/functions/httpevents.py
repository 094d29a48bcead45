"""HTTP requests as events of API Gateway, versions 1.0 and 2.0. Pure; what handlers return: `httpresults.py`.

Source: API Gateway developer guide, "AWS Lambda proxy integrations" for REST APIs (1.0) and HTTP APIs (2.0); Lambda
developer guide, "Invoking function URLs" (2.0 too).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import parse_qsl

from fourfold.functions.httppaths import Route, decoded, match

HOP_BY_HOP = frozenset((
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length",
))  # fmt: skip
TEXT = re.compile(r"text/.*|application/(?:.*[+])?(?:json|xml)|application/(?:x-)?(?:java|ecma)script|application/yaml")


@dataclass(frozen=True, slots=True)
class Asked:
    """An HTTP request as it came."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    version: str = "1.1"


@dataclass(frozen=True, slots=True)
class Place:
    """What an event says about its API."""

    account: str
    api: str
    """Ten letters or digits, the same for all requests."""
    payload: Literal["v1", "v2"]
    routes: tuple[Route, ...] = ()
    """`httppaths.routes`."""


def event(asked: Asked, place: Place, request_id: str, now: float) -> bytes:
    """JSON. `now`: epoch seconds."""
    make = _v2 if place.payload == "v2" else _v1
    return json.dumps(make(asked, place, request_id, now), separators=(",", ":"), ensure_ascii=False).encode()


def _v2(asked: Asked, place: Place, request_id: str, now: float) -> dict[str, Any]:
    path, _, query = asked.target.decode("latin-1").partition("?")
    joined: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in _texts(asked.headers):
        key = name.lower()
        if key == "cookie":
            cookies += [each for part in value.split(";") if (each := part.strip())]
        elif key not in HOP_BY_HOP or key == "content-length":
            joined[key] = f"{joined[key]},{value}" if key in joined else value
    domain = _domain(joined)
    path = _origin(path)
    found = match(place.routes, asked.method, path)
    key = "$default" if found is None else found[0].key
    made: dict[str, Any] = {"version": "2.0", "routeKey": key, "rawPath": path, "rawQueryString": query}
    if cookies:
        made["cookies"] = cookies
    made["headers"] = joined
    if query:
        many: dict[str, list[str]] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            many.setdefault(name, []).append(value)
        made["queryStringParameters"] = {name: ",".join(values) for name, values in many.items()}
    if found is not None and found[1]:
        made["pathParameters"] = found[1]
    made["requestContext"] = {
        "accountId": "anonymous" if not place.account else place.account,
        "apiId": place.api,
        "domainName": domain,
        "domainPrefix": domain.partition(".")[0],
        "http": {
            "method": asked.method,
            "path": path,
            "protocol": f"HTTP/{asked.version}",
            "sourceIp": _source(joined),
            "userAgent": joined.get("user-agent", ""),
        },
        "requestId": request_id,
        "routeKey": key,
        "stage": "$default",
        "time": _time(now),
        "timeEpoch": int(now * 1000),
    }
    text, encoded = _body(asked.body, joined, form_is_text=False)
    if text is not None:
        made["body"] = text
    made["isBase64Encoded"] = encoded
    return made


def _v1(asked: Asked, place: Place, request_id: str, now: float) -> dict[str, Any]:
    target, _, query = asked.target.decode("latin-1").partition("?")
    target = _origin(target)
    path = decoded(target)
    many: dict[str, list[str]] = {}
    lower: dict[str, str] = {}
    for name, value in _texts(asked.headers):
        if name.lower() not in HOP_BY_HOP or name.lower() == "content-length":
            many.setdefault(name, []).append(value)
            lower[name.lower()] = value
    asked_for: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        asked_for.setdefault(name, []).append(value)
    domain = _domain(lower)
    resource, parameters = _resource(place, asked.method, target, path)
    text, encoded = _body(asked.body, lower, form_is_text=True)
    return {
        "version": "1.0",
        "resource": resource,
        "path": path,
        "httpMethod": asked.method,
        "headers": {name: values[-1] for name, values in many.items()},
        "multiValueHeaders": many,
        "queryStringParameters": {name: values[-1] for name, values in asked_for.items()} or None,
        "multiValueQueryStringParameters": asked_for or None,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": place.account,
            "apiId": place.api,
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "extendedRequestId": request_id,
            "httpMethod": asked.method,
            "identity": _identity(_source(lower), lower.get("user-agent")),
            "path": path,
            "protocol": f"HTTP/{asked.version}",
            "requestId": request_id,
            "requestTime": _time(now),
            "requestTimeEpoch": int(now * 1000),
            "resourceId": place.api[:6],
            "resourcePath": resource,
            "stage": "$default",
        },
        "body": text,
        "isBase64Encoded": encoded,
    }


def _resource(place: Place, method: str, target: str, path: str) -> tuple[str, dict[str, str]]:
    """What is none of the routes is of `/{proxy+}`, which takes all there is."""
    if (found := match(place.routes, method, target)) is not None:
        return found[0].path, found[1]
    rest = path.lstrip("/")
    return ("/{proxy+}", {"proxy": rest}) if rest else ("/", {})


def _identity(source: str, agent: str | None) -> dict[str, Any]:
    nobody = (
        "accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "cognitoAuthenticationType",
        "cognitoIdentityId", "cognitoIdentityPoolId", "principalOrgId", "user", "userArn",
    )  # fmt: skip
    return {**dict.fromkeys(nobody), "sourceIp": source, "userAgent": agent}


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[str, str]]:
    for name, value in headers:
        yield name.decode("latin-1"), _unquoted_bytes(value)


def _unquoted_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _origin(path: str) -> str:
    """Of an absolute URI its path (RFC 9112, section 3.2.2)."""
    if path.startswith("/"):
        return path
    _, scheme, rest = path.partition("://")
    return f"/{rest.partition('/')[2]}" if scheme else "/"


def _domain(headers: Mapping[str, str]) -> str:
    """As the client named it: what the gateway tells wins over what it asked with itself."""
    host = headers.get("x-forwarded-host") or headers.get("host") or "localhost"
    host = host.rpartition(",")[2].strip()
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def _source(headers: Mapping[str, str]) -> str:
    """The last one in X-Forwarded-For is what the gateway itself has seen."""
    return headers.get("x-forwarded-for", "").rpartition(",")[2].strip() or "127.0.0.1"


def _time(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")


def _body(body: bytes, headers: Mapping[str, str], form_is_text: bool) -> tuple[str | None, bool]:
    """-> the event's `body`, and whether it is base64. HTTP APIs (2.0) send forms as base64, REST APIs do not."""
    if not body:
        return None, False
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    form = form_is_text and kind == "application/x-www-form-urlencoded"
    if (not kind or form or TEXT.fullmatch(kind)) and "content-encoding" not in headers:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True
