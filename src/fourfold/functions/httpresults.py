"""What handlers return, as HTTP answers. Pure; how requests become events: `httpevents.py`.

Source: API Gateway developer guide, "AWS Lambda proxy integrations" for REST APIs (1.0) and HTTP APIs (2.0); Lambda
developer guide, "Response streaming for Lambda functions".
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fourfold.functions.httpevents import HOP_BY_HOP, Place

PRELUDE = "application/vnd.awslambda.http-integration-response"
"""Content type of a streamed answer whose status and headers come first, as JSON that ends in SEPARATOR."""
SEPARATOR = b"\0" * 8
MAX_PRELUDE = 256 * 1024
NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Given:
    """An HTTP answer. Its length is not among the headers."""

    status: int
    headers: bytes
    """Lines that end in CRLF."""
    body: bytes
    length: int | None = None
    """Of the body that an answer to HEAD stands for."""


class MalformedError(Exception):
    """What a handler returned is no answer to an HTTP request."""


def answer(payload: bytes, place: Place) -> Given:
    """Of what a handler returned. MalformedError: it is none (the caller gets a 502, as from API Gateway)."""
    try:
        result = json.loads(payload)
    except (ValueError, RecursionError):
        raise MalformedError("what the handler returned is not JSON") from None
    if place.payload == "v1" or (isinstance(result, dict) and "statusCode" in result):
        return _structured(result, place)
    return Given(200, b"content-type: application/json\r\n", payload)


def _structured(result: Any, place: Place) -> Given:
    if not isinstance(result, dict):
        raise MalformedError("what the handler returned is not an object")
    if "statusCode" not in result:
        raise MalformedError("what the handler returned has no `statusCode`")
    status, headers = head(result, place)
    body = result.get("body")
    if body is None:
        body = ""
    if not isinstance(body, str):
        raise MalformedError("`body` is not a string")
    data = body.encode("utf-8", "surrogatepass")
    if result.get("isBase64Encoded") is True:
        try:
            data = base64.b64decode(data)
        except ValueError:
            raise MalformedError("`body` is not base64, as `isBase64Encoded` says") from None
    return Given(status, headers, data, _length(result, data))


def head(result: Mapping[str, Any], place: Place) -> tuple[int, bytes]:
    """Status and header lines of a result or a stream's prelude."""
    status = result.get("statusCode", 200)
    if isinstance(status, str) and len(status) == 3 and status.isascii() and status.isdigit():
        status = int(status)
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise MalformedError("`statusCode` is not a status of 200 to 599")
    headers, multiple = _mapping(result, "headers"), _mapping(result, "multiValueHeaders")
    lines: dict[str, list[str]] = {}
    shown: dict[str, str] = {}
    for name, value in headers.items():
        shown[name.lower()] = name
        lines[name.lower()] = [_scalar(value)]
    if place.payload == "v1":
        for name, values in multiple.items():
            if not isinstance(values, list):
                raise MalformedError(f"multiValueHeaders: {name} is not a list")
            shown[name.lower()] = name
            both = [*lines.get(name.lower(), []), *(_scalar(value) for value in values)]
            lines[name.lower()] = list(dict.fromkeys(both))
    if place.payload == "v2" and result.get("cookies") is not None:
        cookies_given = result["cookies"]
        if not isinstance(cookies_given, list):
            raise MalformedError("`cookies` is not a list")
        shown.setdefault("set-cookie", "set-cookie")
        lines.setdefault("set-cookie", []).extend(_scalar(value) for value in cookies_given)
    if "content-type" not in lines:
        shown["content-type"] = "content-type"
        lines["content-type"] = ["application/json" if place.payload == "v1" else "text/plain;charset=UTF-8"]
    return status, b"".join(
        _line(shown[key], value) for key, values in lines.items() if key not in HOP_BY_HOP for value in values
    )


def _mapping(result: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = result.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise MalformedError(f"`{key}` is not an object")
    return found


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise MalformedError("a header's value is not a string")


def _line(name: str, value: str) -> bytes:
    """Nothing that a handler returns makes two headers of one, or ends them."""
    if not NAME.fullmatch(name) or any(each in value for each in "\r\n\0"):
        raise MalformedError(f"{name!r} is not a header")
    return f"{name}: {value}\r\n".encode()


def _length(result: Mapping[str, Any], data: bytes) -> int | None:
    if data:
        return None
    for name, value in _mapping(result, "headers").items():
        text = str(value)
        if name.lower() == "content-length" and text.isascii() and text.isdigit() and len(text) <= 15:
            return int(text)
    return None


def prelude(data: bytes, place: Place) -> tuple[int, bytes, bytes] | None:
    """-> status, header lines, what follows of the body; None: there is more of it to come. MalformedError."""
    said, found, rest = data.partition(SEPARATOR)
    if not found:
        if len(data) > MAX_PRELUDE:
            raise MalformedError("the stream's prelude has no end")
        return None
    try:
        result = json.loads(said)
    except (ValueError, RecursionError):
        raise MalformedError("the stream's prelude is not JSON") from None
    if not isinstance(result, dict):
        raise MalformedError("the stream's prelude is not an object")
    status, headers = head(result, place)
    return status, headers, rest
