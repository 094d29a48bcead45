"""Where events come from: the daemon on the Unix socket, and HTTP requests of the gateway on the port."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Callable

from fourfold.functions import httpevents, httppaths, httpresults
from fourfold.functions.endings import MAX_EVENT, Outcome
from fourfold.functions.exchange import JSON, Exchange
from fourfold.functions.http import Site
from fourfold.functions.httpresults import MalformedError
from fourfold.functions.invoker import Invoker
from fourfold.functions.model import Config, Invocation

REQUEST_ID = re.compile(rb"[0-9A-Za-z-]{1,64}")
BAD_GATEWAY = b'{"message":"Internal server error"}'
REFUSALS = {
    413: b'{"message":"Request Too Long"}',
    429: b'{"message":"Too Many Requests"}',
    503: b'{"message":"Service Unavailable"}',
    504: b'{"message":"Endpoint request timed out"}',
}
"""What API Gateway says itself."""
ERROR_TYPES = {429: "TooManyRequestsException", 503: "ServiceException"}


class DaemonSide:
    """`POST /invoke` and `GET /state`; README.md has the headers."""

    def __init__(self, invoker: Invoker, config: Config) -> None:
        self._invoker = invoker
        self._config = config
        self.site = Site(self._whole, max_body=MAX_EVENT)

    def _whole(self, exchange: Exchange) -> None:
        if exchange.target == b"/invoke" and exchange.method == "POST":
            self._invoke(exchange)
        elif exchange.target == b"/state" and exchange.method in ("GET", "HEAD"):
            exchange.json(200, json.dumps(self._invoker.state()).encode())
        else:
            exchange.json(404, b'{"message":"there are POST /invoke and GET /state"}')

    def _invoke(self, exchange: Exchange) -> None:
        if exchange.too_large:
            message = f"Request must be smaller than {MAX_EVENT} bytes for the InvokeFunction operation"
            exchange.respond(
                413, JSON + b"X-Amzn-ErrorType: RequestTooLargeException\r\n", json.dumps({"message": message}).encode()
            )
            return
        given = {name.lower(): value for name, value in exchange.headers}
        request_id = given.get(b"x-request-id", b"")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = str(uuid.uuid4()).encode()
        invocation = Invocation(
            exchange.body or b"{}",
            request_id.decode(),
            context(given.get(b"x-client-context", b"")),
            given.get(b"x-trace", b"").decode("latin-1"),
            given.get(b"x-tail", b"") == b"1",
            given.get(b"x-arn", b"").decode("latin-1"),
        )
        event = self._invoker.submit(invocation, lambda outcome: self._answer(exchange, outcome))
        if event.waiting:
            exchange.on_gone = lambda: self._invoker.abandon(event)

    def _answer(self, exchange: Exchange, outcome: Outcome) -> None:
        kind = outcome.content_type if outcome.content_type.isascii() else "application/octet-stream"
        headers = f"Content-Type: {kind}\r\nX-Amz-Executed-Version: {self._config.version}\r\n"
        if outcome.error:
            headers += f"X-Amz-Function-Error: {outcome.error}\r\n"
        if outcome.log:
            headers += f"X-Amz-Log-Result: {base64.b64encode(outcome.log).decode()}\r\n"
        if outcome.status in ERROR_TYPES:
            headers += f"X-Amzn-ErrorType: {ERROR_TYPES[outcome.status]}\r\n"
        exchange.respond(outcome.status, headers.encode(), outcome.payload)


def context(encoded: bytes) -> str:
    """base64 of JSON, as clients send it to AWS -> that JSON as one line of ASCII; empty: it is none."""
    if not encoded:
        return ""
    try:
        return json.dumps(json.loads(base64.b64decode(encoded, validate=True)), separators=(",", ":"))
    except (ValueError, RecursionError):
        return ""


class HttpSide:
    """Any request is an event, and what the handler returns is its answer."""

    def __init__(self, invoker: Invoker, config: Config, now: Callable[[], float]) -> None:
        self._invoker = invoker
        self._now = now
        api = hashlib.sha256(f"{config.app}.{config.service}".encode()).hexdigest()[:10]
        self._place = httpevents.Place(config.account, api, config.payload, httppaths.routes(config.paths))
        self.site = Site(self._whole, max_body=MAX_EVENT)

    def _whole(self, exchange: Exchange) -> None:
        if exchange.too_large:
            exchange.json(413, REFUSALS[413])
            return
        request_id = str(uuid.uuid4())
        asked = httpevents.Asked(exchange.method, exchange.target, exchange.headers, exchange.body, exchange.version)
        payload = httpevents.event(asked, self._place, request_id, self._now())
        if len(payload) > MAX_EVENT:
            exchange.json(413, REFUSALS[413])
            return
        invocation = Invocation(payload, request_id, trace=exchange.header(b"x-amzn-trace-id").decode("latin-1"))
        stream = HttpStream(exchange, self._place)
        exchange.common = f"x-amzn-requestid: {request_id}\r\n".encode()
        event = self._invoker.submit(invocation, lambda outcome: self._answer(exchange, stream, outcome), stream)
        if event.waiting:
            exchange.on_gone = lambda: self._invoker.abandon(event)

    def _answer(self, exchange: Exchange, stream: HttpStream, outcome: Outcome) -> None:
        if stream.began:
            stream.end(outcome.ended == "ok")
        elif outcome.status != 200:
            exchange.json(outcome.status, REFUSALS.get(outcome.status, BAD_GATEWAY))
        elif outcome.ended == "timeout":
            exchange.json(504, REFUSALS[504])
        elif outcome.error:
            exchange.json(502, BAD_GATEWAY)
        else:
            try:
                given = httpresults.answer(outcome.payload, self._place)
            except MalformedError as error:
                self._invoker.note(f"502: {error}")
                exchange.json(502, BAD_GATEWAY)
            else:
                exchange.respond(given.status, given.headers, given.body, given.length)


class HttpStream:
    """An answer that is passed on while it comes. Its head may come first, as a prelude."""

    def __init__(self, exchange: Exchange, place: httpevents.Place) -> None:
        self._exchange = exchange
        self._place = place
        self._prelude: bytes | None = None
        self.began = False

    def begin(self, content_type: str) -> None:
        self.began = True
        if content_type.partition(";")[0].strip().lower() == httpresults.PRELUDE:
            self._prelude = b""
            return
        kind = content_type if content_type.isascii() and content_type else "application/octet-stream"
        self._exchange.start(200, f"content-type: {kind}\r\n".encode())

    def data(self, data: bytes) -> None:
        if self._prelude is None:
            self._exchange.send(data)
            return
        self._prelude += data
        try:
            found = httpresults.prelude(self._prelude, self._place)
        except MalformedError:
            self._exchange.json(502, BAD_GATEWAY)
            self._prelude = None
            return
        if found is not None:
            status, headers, rest = found
            self._prelude = None
            self._exchange.start(status, headers)
            self._exchange.send(rest)

    def end(self, whole: bool) -> None:
        if self._prelude is not None:
            self._exchange.json(502, BAD_GATEWAY)
        self._exchange.finish(whole)
