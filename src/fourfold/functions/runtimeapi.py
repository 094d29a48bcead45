"""The Runtime API of one sandbox, 2018-06-01: what its runtime asks and tells, on a listener of its own.

Answers, to the letter, as aws-lambda-rie gives them. A connection tells the sandbox, as there is one listener for each.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from fourfold.functions import endings
from fourfold.functions.endings import MAX_PAYLOAD, UNHANDLED, Outcome
from fourfold.functions.exchange import Exchange
from fourfold.functions.http import Site
from fourfold.functions.slot import Slot

PREFIX = b"/2018-06-01/runtime/"
NEXT, INIT_ERROR = PREFIX + b"invocation/next", PREFIX + b"init/error"
INVOCATION = PREFIX + b"invocation/"
MAX_HEAD = 1024 * 1024 + 128 * 1024
"""Of a request: its X-Ray error cause alone may have 1 MB."""
MAX_CONNECTIONS, MAX_AHEAD = 8, 1
"""Connections of one sandbox, and requests that each may send ahead: clients have one or two, and none."""
MAX_STREAM = 20 * 1024 * 1024
"""Bytes of an answer that is passed on while it comes."""
ERROR_TYPE = b"lambda-runtime-function-error-type"
ERROR_BODY = b"lambda-runtime-function-error-body"
ACCEPTED = b'{"status":"OK"}\n'


def site_for(slot: Slot) -> Site:
    api = RuntimeApi(slot)
    return Site(api.whole, MAX_HEAD, MAX_PAYLOAD, api.head, most=MAX_CONNECTIONS, max_ahead=MAX_AHEAD)


class RuntimeApi:
    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._post: dict[bytes, Callable[[Exchange], None]] = {b"response": self._response, b"error": self._error}

    def head(self, exchange: Exchange) -> None:
        """An answer that is to be streamed to somebody who takes it so is passed on as it comes."""
        event = self._slot.event
        if not self._is_expected(exchange):
            exchange.sink = _forget
            return
        if event is None or event.stream is None or not self._is_streamed(exchange) or not self._is_of_event(exchange):
            return
        stream, size = event.stream, 0

        def sink(data: bytes) -> None:
            nonlocal size
            size += len(data)
            if size <= MAX_STREAM:
                stream.data(data)
            else:
                exchange.too_large = True

        stream.begin(exchange.header(b"content-type").decode("latin-1"))
        exchange.sink = sink

    def whole(self, exchange: Exchange) -> None:
        target = exchange.target
        if target == NEXT:
            self._next(exchange) if exchange.method == "GET" else _no_method(exchange)
        elif target.startswith(INVOCATION):
            request_id, _, what = target[len(INVOCATION) :].partition(b"/")
            if (answer := self._post.get(what)) is None:
                _nothing(exchange)
            elif exchange.method != "POST":
                _no_method(exchange)
            elif self._check(exchange, request_id.decode("latin-1")):
                answer(exchange)
        elif target == INIT_ERROR:
            self._init_error(exchange) if exchange.method == "POST" else _no_method(exchange)
        else:
            _nothing(exchange)

    def _next(self, exchange: Exchange) -> None:
        if self._slot.may_ask():
            self._slot.next(exchange)
        else:
            _not_now(exchange, self._slot.state, "Ready")

    def _check(self, exchange: Exchange, request_id: str) -> bool:
        """Whether it is about the event that the sandbox has; if not, that is answered."""
        event = self._slot.event
        if self._slot.state == "busy" and event is not None and event.invocation.request_id == request_id:
            return True
        if self._slot.state == "answered" and self._slot.last_id == request_id:
            _not_now(exchange, "InvocationResponse", "InvocationResponse")
        else:
            _problem(exchange, 400, "InvalidRequestID", "Invalid request ID")
        return False

    def _response(self, exchange: Exchange) -> None:
        streamed = self._is_streamed(exchange)
        if exchange.too_large:
            self._slot.answer(endings.too_large())
            _problem(
                exchange, 413, "RequestEntityTooLarge", f"Exceeded maximum allowed payload size ({MAX_PAYLOAD} bytes)."
            )
            return
        kind = exchange.header(b"content-type").decode("latin-1") or "application/octet-stream"
        trailers = {name.lower(): value for name, value in exchange.trailers}
        if (error_type := trailers.get(ERROR_TYPE)) is not None:  # it failed on its way (custom runtimes, streaming)
            body = _decoded(trailers.get(ERROR_BODY, b"")) or exchange.body
            outcome = Outcome(200, body, UNHANDLED, "error", error_type.decode("latin-1"), streamed=streamed)
        else:
            outcome = Outcome(200, exchange.body, content_type=kind, streamed=streamed)
        self._slot.answer(outcome)
        exchange.json(202, ACCEPTED)

    def _error(self, exchange: Exchange) -> None:
        if exchange.too_large:
            self._response(exchange)
            return
        self._slot.answer(endings.reported(exchange.body, _error_type(exchange)))
        exchange.json(202, ACCEPTED)

    def _init_error(self, exchange: Exchange) -> None:
        if self._slot.state != "starting":
            _not_now(exchange, self._slot.state, "InitError")
            return
        exchange.json(202, ACCEPTED)
        self._slot.init_error(exchange.body, _error_type(exchange))

    def _is_streamed(self, exchange: Exchange) -> bool:
        return exchange.header(b"lambda-runtime-function-response-mode").lower() == b"streaming"

    def _is_expected(self, exchange: Exchange) -> bool:
        """Whether what it brings is of any use; it is not kept otherwise."""
        event = self._slot.event
        if self._slot.state == "busy" and event is not None:
            return exchange.target.startswith(INVOCATION + event.invocation.request_id.encode() + b"/")
        return self._slot.state == "starting" and exchange.target == INIT_ERROR

    def _is_of_event(self, exchange: Exchange) -> bool:
        event = self._slot.event
        wanted = event and INVOCATION + event.invocation.request_id.encode() + b"/response"
        return self._slot.state == "busy" and exchange.target == wanted


def _forget(data: bytes) -> None:
    """A body that nobody wants."""


def _error_type(exchange: Exchange) -> str:
    """From its header, or from what it said; `Runtime.Unknown` as AWS has it."""
    if found := exchange.header(ERROR_TYPE):
        return found.decode("latin-1")
    try:
        found = json.loads(exchange.body)["errorType"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return "Runtime.Unknown"
    return found if isinstance(found, str) and found.isprintable() else "Runtime.Unknown"


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _problem(exchange: Exchange, status: int, kind: str, message: str) -> None:
    exchange.json(
        status, json.dumps({"errorMessage": message, "errorType": kind}, separators=(",", ":")).encode() + b"\n"
    )


def _not_now(exchange: Exchange, state: str, wanted: str) -> None:
    message = f"State transition from {state} to {wanted} failed for runtime. Error: State transition is not allowed"
    _problem(exchange, 403, "InvalidStateTransition", message)


def _nothing(exchange: Exchange) -> None:
    exchange.respond(404, b"Content-Type: text/plain; charset=utf-8\r\n", b"404 page not found\n")


def _no_method(exchange: Exchange) -> None:
    exchange.respond(405)
