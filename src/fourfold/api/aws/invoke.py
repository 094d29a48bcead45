"""Invoke: the hot path. Nothing is read from disk, nothing is validated but what AWS answers for.

Source: Invoke and InvokeWithResponseStream of the API reference; the event stream's encoding: Smithy 2.0,
"Amazon Event Stream Specification".
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from urllib.parse import unquote

from pydantic_core import from_json

from fourfold.api.aws.call import Site, read_query
from fourfold.api.aws.errors import (
    ApiError,
    bad_request_content,
    conflict,
    constraint,
    from_ours,
    not_found,
    throttled,
    too_large,
)
from fourfold.api.aws.http import Request, Response
from fourfold.api.aws.reference import parse
from fourfold.control.lambdas.model import LATEST, Target
from fourfold.control.lambdas.rows import Key
from fourfold.errors import FourfoldError, NotFoundError, UserError
from fourfold.functions.model import Answer, Invocation

PREFIX = "/2015-03-31/functions/"
SUFFIX = "/invocations"
STREAM_PREFIX = "/2021-11-15/functions/"
STREAM_SUFFIX = "/response-streaming-invocations"
MOST = 6_291_556
"""Bytes of a payload both ways (6 MB, as AWS counts them on the wire)."""
MOST_LATER = 1_048_576
"""Of an asynchronous one."""
CHUNK = 64 * 1024
_KINDS = ("RequestResponse", "Event", "DryRun")
_RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"
_UNRESERVED = "ConcurrentInvocationLimitExceeded"


async def invoke(site: Site, request: Request, path: str, query: str, request_id: str) -> Response:
    """Raises ApiError."""
    kind = request.header("x-amz-invocation-type") or "RequestResponse"
    if kind not in _KINDS:
        raise constraint(kind, "invocationType", f"Member must satisfy enum value set: [{', '.join(_KINDS)}]")
    key, target = _target(site, path[len(PREFIX) : -len(SUFFIX)], query)
    if len(request.body) > (MOST_LATER if kind == "Event" else MOST):
        raise too_large(MOST_LATER if kind == "Event" else MOST)
    payload, context = _payload(request), _context(request)
    if kind == "DryRun":
        return Response(204, b"", (("x-amzn-RequestId", request_id),))
    if kind == "Event":
        await _enqueue(site, target, payload, context, request_id)
        return Response(202, b"", (("x-amzn-RequestId", request_id),))
    tail = request.header("x-amz-log-type") == "Tail"
    given = Invocation(payload, request_id, context, request.header("x-amzn-trace-id"), tail, target.arn)
    answer = await ask(site, key, target, given)
    headers = [
        ("Content-Type", "application/json"),
        ("x-amzn-RequestId", request_id),
        ("X-Amz-Executed-Version", target.version),
    ]
    if answer.error:
        headers.append(("X-Amz-Function-Error", answer.error))
    if answer.log:
        headers.append(("X-Amz-Log-Result", answer.log))
    return Response(200, answer.payload, tuple(headers))


async def stream(site: Site, request: Request, path: str, query: str, request_id: str) -> Response:
    """The answer in chunks, once the function has ended. Raises ApiError."""
    kind = request.header("x-amz-invocation-type") or "RequestResponse"
    if kind not in ("RequestResponse", "DryRun"):
        raise constraint(kind, "invocationType", "Member must satisfy enum value set: [RequestResponse, DryRun]")
    key, target = _target(site, path[len(STREAM_PREFIX) : -len(STREAM_SUFFIX)], query)
    payload, context = _payload(request), _context(request)
    if kind == "DryRun":
        return Response(204, b"", (("x-amzn-RequestId", request_id),))
    tail = request.header("x-amz-log-type") == "Tail"
    given = Invocation(payload, request_id, context, request.header("x-amzn-trace-id"), tail, target.arn)
    answer = await ask(site, key, target, given)
    headers = (
        ("Content-Type", "application/vnd.amazon.eventstream"),
        ("X-Amzn-Remapped-Content-Type", "application/octet-stream"),
        ("x-amzn-RequestId", request_id),
        ("X-Amz-Executed-Version", target.version),
    )
    return Response(200, event_stream(answer), headers)


async def ask(site: Site, key: Key, target: Target, invocation: Invocation) -> Answer:
    """Raises ApiError when nobody could take it."""
    if target.reserved == 0:
        raise throttled(_RESERVED)
    try:
        if target.version != LATEST:
            await site.lambdas.until_there(target)
        answer = await site.invoke(target.app, target.service, invocation)
    except FourfoldError as error:
        raise _unanswered(site, key, error) from error
    if answer.status == 429:
        raise throttled(_UNRESERVED if target.reserved is None else _RESERVED)
    if answer.status != 200:
        what = answer.payload.decode("utf-8", "replace") or "the function cannot be run now"
        raise ApiError(503, "ServiceException", what, kind="Service")
    return answer


def _unanswered(site: Site, key: Key, error: FourfoldError) -> ApiError:
    located = site.lambdas.rows.get(key)
    if located is not None and located.managed and not located.deleted:
        state = site.lambdas.function(key, located.name).condition.state
        if state != "Active":
            return conflict("The operation cannot be performed at this time. The function is currently in the "
                            f"following state: {state}")  # fmt: skip
    if isinstance(error, UserError):
        return from_ours(error)
    return ApiError(503, "ServiceException", error.what, kind="Service")


async def _enqueue(site: Site, target: Target, payload: bytes, context: str, request_id: str) -> None:
    try:
        if target.version != LATEST:
            await site.lambdas.until_there(target)
        await site.enqueue(target.app, target.service, payload, context, request_id)
    except FourfoldError as error:
        raise from_ours(error) from error


def _target(site: Site, name: str, query: str) -> tuple[Key, Target]:
    qualifier = ""
    if query:
        qualifier = next((value for key, value in read_query(query) if key == "Qualifier"), "")
    located = None if qualifier else site.lambdas.locate(name)
    if located is None:
        reference = parse(site.lambdas, unquote(name), qualifier or None)
        qualifier = reference.qualifier
        located = site.lambdas.locate(reference.name)
        if located is None:
            raise not_found(f"Function not found: {site.lambdas.arn(reference.name, qualifier)}")
    key, known = located
    try:
        return key, site.lambdas.target(key, known, qualifier)
    except NotFoundError as error:
        raise not_found(error.what) from error


def _payload(request: Request) -> bytes:
    body = request.body
    if not body:
        return b"{}"
    try:
        from_json(body)
    except ValueError as error:
        raise bad_request_content(
            f"Could not parse request body into json: Could not parse payload into json: {error}"
        ) from None
    return body


def _context(request: Request) -> str:
    encoded = request.header("x-amz-client-context")
    if not encoded:
        return ""
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        json.loads(text)
    except (ValueError, RecursionError):
        raise bad_request_content("Client context must be a valid Base64-encoded JSON object.") from None
    return text


def event_stream(answer: Answer) -> bytes:
    payload = answer.payload
    messages = [] if answer.error else [payload[at : at + CHUNK] for at in range(0, len(payload), CHUNK)]
    frames = [_frame("PayloadChunk", "application/octet-stream", message) for message in messages]
    complete: dict[str, str] = {}
    if answer.error:
        complete = {"ErrorCode": _error_type(payload), "ErrorDetails": payload.decode("utf-8", "replace")}
    if answer.log:
        complete["LogResult"] = answer.log
    frames.append(_frame("InvokeComplete", "application/json", json.dumps(complete).encode()))
    return b"".join(frames)


def _error_type(payload: bytes) -> str:
    try:
        return str(json.loads(payload)["errorType"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "Unhandled"


def _frame(kind: str, content_type: str, payload: bytes) -> bytes:
    headers = b"".join(
        struct.pack("!B", len(name)) + name + struct.pack("!BH", 7, len(value)) + value
        for name, value in (
            (b":event-type", kind.encode()),
            (b":content-type", content_type.encode()),
            (b":message-type", b"event"),
        )
    )
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    checked = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return checked + struct.pack("!I", zlib.crc32(checked))
