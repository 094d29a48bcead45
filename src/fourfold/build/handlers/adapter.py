"""Lets a web service run as a function: starts it, waits until it listens, and turns events into HTTP requests.

A client of the AWS Lambda Runtime API (2018-06-01) of its own; standard library only, Python 3.9 or later. Usage:
`adapter.py PORT PROGRAM …`. The program gets PORT, and HOST as 127.0.0.1. It is given events once it listens, and
answers GET `$FOURFOLD_READY_PATH` well where that is set, asked for `$FOURFOLD_READY_HOST`. Events of API Gateway (v1
and v2), function URLs and load balancers become the request that they tell of; all others are posted as JSON to
/events. An answer that is long, or of unknown length, is passed on while it comes where the runtime says that its
caller takes it so (`Fourfold-Stream`).
"""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

BASE = "/2018-06-01/runtime"
SKIPPED = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "content-length", "upgrade", "te"}
TEXT = ("text/", "application/json", "application/xml", "application/javascript", "application/x-www-form-urlencoded")
SLOW = 2.0
"""Seconds after which it says what it waits for."""
ENDING = 0.1
"""Seconds that a program may take to be gone after it has broken its connection."""
KEPT = 1.0
"""Seconds that a connection without a request is kept: less than servers do, or one may close it as it is used."""
REPEATABLE = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"}
"""RFC 9110, section 9.2.2: asked twice, they do what they do once."""
MAX_BODY = 6_291_556
"""Bytes of an answer that is given as a whole (Lambda quotas)."""
LONG = 1024 * 1024
"""Bytes from which on it is passed on while it comes, if it can be."""
PRELUDE = "application/vnd.awslambda.http-integration-response"
Headers = list[tuple[str, str]]


class TooLargeError(Exception):
    pass


class Runtime:
    """The Runtime API, on one kept connection. http.client writes head and body at once where the body is bytes."""

    def __init__(self) -> None:
        host, _, port = os.environ.get("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001").partition(":")
        self.connection = HTTPConnection(host, int(port or 80))

    def ask(self, method: str, place: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        self.connection.request(method, BASE + place, body, headers or {})
        answer = self.connection.getresponse()
        return answer, answer.read()

    def stream(self, place: str, head: dict[str, Any], pieces: Iterator[bytes]) -> None:
        """Lambda developer guide, "Building a custom runtime", "Response streaming". Raises what `pieces` raises, after
        the runtime was told."""
        self.connection.putrequest("POST", BASE + place)
        for name, value in (("Content-Type", PRELUDE), ("Lambda-Runtime-Function-Response-Mode", "streaming"),
                            ("Transfer-Encoding", "chunked")):  # fmt: skip
            self.connection.putheader(name, value)
        self.connection.endheaders(_chunk(json.dumps(head).encode() + bytes(8)))
        trailers = b""
        try:
            for piece in pieces:
                self.connection.send(_chunk(piece))
        except Exception as error:
            told = json.dumps({"errorMessage": str(error), "errorType": "ServiceError", "stackTrace": []}).encode()
            trailers = b"Lambda-Runtime-Function-Error-Type: ServiceError\r\n"
            trailers += b"Lambda-Runtime-Function-Error-Body: " + base64.b64encode(told) + b"\r\n"
            raise
        finally:
            self.connection.send(b"0\r\n" + trailers + b"\r\n")
            self.connection.getresponse().read()

    def fail(self, place: str, kind: str, message: str) -> None:
        body = json.dumps({"errorMessage": message, "errorType": kind, "stackTrace": []}).encode()
        self.ask("POST", place, body, {"Lambda-Runtime-Function-Error-Type": kind})


class Service:
    """The program behind."""

    def __init__(self, port: int, argv: list[str]) -> None:
        self.port = port
        self.connection: HTTPConnection | None = None
        self.used_at = 0.0
        self.process = subprocess.Popen(argv, env={**os.environ, "PORT": str(port), "HOST": "127.0.0.1"})

    def wait(self) -> None:
        """Until it takes connections. Raises OSError when it ends before."""
        ended = _ending_of(self.process)
        pause, told_at = 0.001, time.monotonic() + SLOW
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                pass
            if ended is not None and select.select([ended], [], [], pause)[0]:
                raise OSError(f"the program has ended with {self.ended()} before it listened on port {self.port}")
            if ended is None:
                time.sleep(pause)
                if self.process.poll() is not None:
                    raise OSError(f"the program has ended with {self.ended()}")
            pause = min(pause * 1.5, 0.02)
            if time.monotonic() > told_at:
                print(f"nothing listens on port {self.port} yet: it is in $PORT", file=sys.stderr, flush=True)
                told_at += 10 * SLOW

    def until_well(self, path: str) -> None:
        """Until it answers GET `path` well; empty: it does not say where to ask. Raises OSError when it ends before."""
        told_at = time.monotonic() + SLOW
        while path:
            answer = ""
            try:
                asked = self.ask("GET", path, [("host", os.environ.get("FOURFOLD_READY_HOST", "localhost"))], b"")
                self.read(asked)
                if 200 <= asked.status < 400:
                    return
                answer = str(asked.status)
            except (HTTPException, OSError, TooLargeError):
                self.drop()
                if self.process.poll() is not None:
                    raise OSError(f"the program has ended with {self.ended()}") from None
            if time.monotonic() > told_at:
                print(f"GET {path} answered {answer or 'nothing'}", file=sys.stderr, flush=True)
                told_at += 10 * SLOW
            time.sleep(0.02)

    def ended(self) -> str:
        code = self.process.wait()
        return f"exit status {code}" if code >= 0 else f"signal: {signal.Signals(-code).name}"

    def follow(self) -> None:
        """End as the program has, where that was killed: who holds this sandbox knows whether memory ran out."""
        if self.process.poll() == -signal.SIGKILL:
            os.kill(os.getpid(), signal.SIGKILL)

    def has_ended(self) -> bool:
        """Its connections are closed a moment before it has."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(ENDING)
        return self.process.poll() is not None

    def ask(self, method: str, target: str, headers: Headers, body: bytes) -> HTTPResponse:
        """Its answer, to be read by `read` or `pieces`. What may be asked twice is, where the kept connection broke."""
        if self.connection is not None and time.monotonic() - self.used_at > KEPT:
            self.drop()
        kept = self.connection is not None
        try:
            return self._ask(method, target, headers, body)
        except (HTTPException, OSError):
            self.drop()
            if not kept or method not in REPEATABLE:
                raise
            return self._ask(method, target, headers, body)

    def _ask(self, method: str, target: str, headers: Headers, body: bytes) -> HTTPResponse:
        if self.connection is None:
            self.connection = HTTPConnection("127.0.0.1", self.port)
        connection = self.connection
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value.encode("utf-8"))
        if body or method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        return connection.getresponse()

    def read(self, answer: HTTPResponse) -> bytes:
        """Raises TooLargeError, HTTPException and OSError."""
        data = bytearray()
        for piece in self.pieces(answer):
            data += piece
            if len(data) > MAX_BODY:
                raise TooLargeError
        return bytes(data)

    def pieces(self, answer: HTTPResponse) -> Iterator[bytes]:
        """The body as it comes. Raises HTTPException and OSError when it ends too early."""
        take = answer.read1 if answer.length is None else answer.read  # read1 forgets the length before Python 3.11.8
        while piece := take(65536):
            yield piece
        if answer.length:
            raise HTTPException(f"its answer ended {answer.length} bytes too early")
        self.used_at = time.monotonic()
        if answer.will_close:
            self.drop()

    def drop(self) -> None:
        """A request may have been begun on its connection, or an answer be left in it."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def _ending_of(process: subprocess.Popen[bytes]) -> int | None:
    """A descriptor that can be read once it has ended; None before Linux 5.3 and Python 3.9."""
    try:
        return os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        return None


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def request_of(event: Any) -> tuple[str, str, Headers, bytes] | None:
    """Method, target, headers and body that an event tells of; None: it tells of no request."""
    if not isinstance(event, dict) or not isinstance(event.get("requestContext"), dict):
        return None
    context = event["requestContext"]
    body = event.get("body") or ""
    data = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode("utf-8", "surrogatepass")
    if isinstance(context.get("http"), dict) and "rawPath" in event:
        query = event.get("rawQueryString") or ""
        target = event["rawPath"] + ("?" + query if query else "")
        headers = [(name, value) for name, value in (event.get("headers") or {}).items()]
        if event.get("cookies"):
            headers.append(("cookie", "; ".join(event["cookies"])))
        return context["http"]["method"], target, _sent(headers), data
    if "httpMethod" not in event or "path" not in event:
        return None
    many = event.get("multiValueQueryStringParameters")
    pairs = _pairs(many) if many else list((event.get("queryStringParameters") or {}).items())
    target = quote(event["path"], safe="/:@!$&'()*+,;=~-._%") + ("?" + urlencode(pairs) if pairs else "")
    lists = event.get("multiValueHeaders")
    headers = _pairs(lists) if lists else list((event.get("headers") or {}).items())
    return event["httpMethod"], target, _sent(headers), data


def _pairs(lists: dict[str, list[str]]) -> Headers:
    return [(name, value) for name, values in lists.items() for value in values]


def _sent(headers: Headers) -> Headers:
    kept = [(name, value) for name, value in headers if name.lower() not in SKIPPED]
    return kept if any(name.lower() == "host" for name, _ in kept) else [("host", "localhost"), *kept]


def head_of(event: dict[str, Any], status: int, headers: Headers) -> dict[str, Any]:
    """Status and headers as API Gateway takes them, in the event's own version."""
    lists: dict[str, list[str]] = {}
    for name, value in headers:
        if name.lower() not in SKIPPED:
            lists.setdefault(name, []).append(value)
    head: dict[str, Any] = {"statusCode": status}
    if "rawPath" in event:
        cookies = [value for name, values in lists.items() if name.lower() == "set-cookie" for value in values]
        head["headers"] = {n: ",".join(values) for n, values in lists.items() if n.lower() != "set-cookie"}
        if cookies:
            head["cookies"] = cookies
    else:
        head["headers"] = {name: values[-1] for name, values in lists.items()}
        head["multiValueHeaders"] = lists
    return head


def result_of(event: dict[str, Any], status: int, headers: Headers, body: bytes) -> dict[str, Any]:
    """The answer as a whole."""
    result = head_of(event, status, headers)
    told = {name.lower(): value for name, value in headers}
    kind = told.get("content-type", "").lower()
    if not body and "content-length" in told:  # an answer to HEAD says how long that to GET were
        result["headers"]["content-length"] = told["content-length"]
    is_text = not kind or kind.startswith(TEXT) or "+json" in kind or "+xml" in kind
    try:
        if not is_text or "content-encoding" in told:
            raise ValueError("not text")
        return {**result, "isBase64Encoded": False, "body": body.decode("utf-8")}
    except ValueError:
        return {**result, "isBase64Encoded": True, "body": base64.b64encode(body).decode()}


def handle(runtime: Runtime, service: Service, request_id: str, payload: bytes, streams: bool) -> None:
    """One event. What is no request is well when /events answers with 2xx."""
    here = "/invocation/" + request_id
    event = json.loads(payload)
    try:
        asked = request_of(event)
    except (KeyError, TypeError, ValueError, AttributeError):  # it only looks like one
        asked = None
    if asked is not None:
        answer = service.ask(*asked)
        headers = answer.getheaders()
        if streams and (answer.length is None or answer.length > LONG):
            head = head_of(event, answer.status, headers)
            return runtime.stream(here + "/response", head, service.pieces(answer))
        whole = result_of(event, answer.status, headers, service.read(answer))
        runtime.ask("POST", here + "/response", json.dumps(whole).encode(), {"Content-Type": "application/json"})
        return
    more = [("host", "localhost"), ("content-type", "application/json"), ("x-request-id", request_id)]
    answer = service.ask("POST", "/events", more, payload)
    body = service.read(answer)
    if answer.status // 100 != 2:
        message = f"POST /events was answered with {answer.status}"
        runtime.fail(here + "/error", f"HTTP{answer.status}", message)
        return
    try:
        json.loads(body)
    except ValueError:
        body = json.dumps(body.decode("utf-8", "replace")).encode() if body else b"null"
    runtime.ask("POST", here + "/response", body, {"Content-Type": "application/json"})


def main(port: int, argv: list[str]) -> NoReturn:
    runtime, service = Runtime(), None
    try:
        service = Service(port, argv)
        service.wait()
        service.until_well(os.environ.get("FOURFOLD_READY_PATH", ""))
    except OSError as error:
        print(f"cannot start the service: {error}", file=sys.stderr, flush=True)
        if service is not None:
            service.follow()
        runtime.fail("/init/error", "Runtime.ExitError", str(error))
        sys.exit(1)
    while True:
        answer, payload = runtime.ask("GET", "/invocation/next")
        request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
        place = "/invocation/" + request_id + "/error"
        try:
            handle(runtime, service, request_id, payload, "Fourfold-Stream" in answer.headers)
        except TooLargeError:
            service.drop()
            message = f"Response payload size exceeded maximum allowed payload size ({MAX_BODY} bytes)."
            runtime.fail(place, "Function.ResponseSizeTooLarge", message)
        except (HTTPException, OSError, ValueError, TypeError) as error:
            service.drop()
            gone = service.has_ended()
            service.follow()
            why = f"the program has ended with {service.ended()}" if gone else f"the service did not answer: {error!r}"
            print(why, file=sys.stderr, flush=True)
            runtime.fail(place, "Runtime.ExitError" if gone else "ServiceError", why)
            if gone:  # nothing is behind it any more: the next one starts anew
                sys.exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
