"""A file of requests, as `--requests` takes it -> requests. Pure.

A line is `GET /items?page=2`, or JSON: `{"method": "POST", "path": "/orders", "headers": {"X-Tenant": "a"}, "body":
{"item": 1}, "weight": 0.2}`, of which only `path` must be there. Empty lines and lines with `#` are passed over. What
comes several times weighs as much more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from fourfold.errors import UserError
from fourfold.load.model import Request

MOST_REQUESTS = 10_000
MOST_BYTES = 16 * 1024 * 1024
_KEYS = ("method", "path", "headers", "body", "weight")
_METHOD = re.compile(r"[A-Z]{1,20}(-[A-Z]{1,20})*")
_PATH = re.compile(r"/[!-~]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_VALUE = re.compile(r"[\t -~\x80-\U0010ffff]*")
_FRAMING = ("content-length", "transfer-encoding", "connection", "expect", "upgrade")
HINT = 'a line is `GET /path`, or JSON such as {"method": "POST", "path": "/orders", "body": {"item": 1}, "weight": 2}'


def parse(text: str, name: str = "requests") -> tuple[Request, ...]:
    """`name`: of the file, for messages. UserError: which line, and why."""
    if len(text) > MOST_BYTES:
        raise UserError(f"cannot use {name}: it has more than {MOST_BYTES // 1024 // 1024} MiB")
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    told = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not told:
        raise UserError(f"cannot use {name}: there is no request in it", HINT)
    requests = merged(_request(line, f"{name}:{number}") for number, line in told)
    if len(requests) > MOST_REQUESTS:
        raise UserError(f"cannot use {name}: it has more than {MOST_REQUESTS} different requests")
    return requests


def merged(requests: Iterable[Request]) -> tuple[Request, ...]:
    """Each once, with the weight of all that are like it."""
    weights: dict[Request, float] = {}
    for each in requests:
        alike = replace(each, weight=1.0)
        weights[alike] = weights.get(alike, 0.0) + each.weight
    return tuple(replace(each, weight=weight) for each, weight in weights.items())


def _request(line: str, where: str) -> Request:
    if line.startswith("{"):
        return _from_json(line, where)
    words = line.split()
    if len(words) != 2:
        raise UserError(f"cannot use {where}: {line[:80]!r} is not a method and a path", HINT)
    return checked(Request(words[0].upper(), words[1]), where)


def _from_json(line: str, where: str) -> Request:
    try:
        told: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise UserError(f"cannot use {where}: it is not JSON: {error}", HINT) from error
    if unknown := [key for key in told if key not in _KEYS]:
        raise UserError(f"cannot use {where}: there is no key {unknown[0]!r}", f"keys are: {', '.join(_KEYS)}")
    method, path, headers = told.get("method", "GET"), told.get("path"), told.get("headers", {})
    weight, body = told.get("weight", 1), told.get("body")
    if not isinstance(method, str) or not isinstance(path, str):
        raise UserError(f"cannot use {where}: method and path are to be texts", HINT)
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise UserError(f"cannot use {where}: headers are to be names with texts", HINT)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 1e9:
        raise UserError(f"cannot use {where}: weight is to be a number above 0", HINT)
    content, kind = _body(body)
    if kind and "content-type" not in map(str.lower, headers):
        headers = headers | {"Content-Type": kind}
    return checked(Request(method.upper(), path, tuple(headers.items()), content, float(weight)), where)


def _body(body: Any) -> tuple[bytes, str]:
    """Its bytes, and what they are where that is plain."""
    if body is None:
        return b"", ""
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass"), ""
    return json.dumps(body).encode(), "application/json"


def checked(request: Request, where: str) -> Request:
    """The same one. UserError: it cannot be sent as HTTP, or would be another request than it says."""
    if not _METHOD.fullmatch(request.method) or request.method == "CONNECT":
        raise UserError(f"cannot use {where}: {request.method!r} is not a method that can be asked", HINT)
    if not _PATH.fullmatch(request.path) or "#" in request.path:
        what = "begins with / and has no spaces; percent-encode what is not ASCII (%20)"
        raise UserError(f"cannot use {where}: {request.path[:80]!r} is not a path, which {what}", HINT)
    for name, value in request.headers:
        if not _HEADER.fullmatch(name) or not _VALUE.fullmatch(value):
            raise UserError(f"cannot use {where}: {name[:80]!r} with {value[:80]!r} is not a header", HINT)
        if name.lower() in _FRAMING:
            raise UserError(f"cannot use {where}: the header {name} is not the file's to set", "leave it out")
    return request
