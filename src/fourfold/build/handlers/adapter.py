"""Lets a web service run as a function: starts it, waits until it listens, and turns events into HTTP requests.

A client of the AWS Lambda Runtime API (2018-06-01) of its own; standard library only, Python 3.9 or later. Usage:
`adapter.py PORT PROGRAM …`. The program gets PORT, and HOST as 127.0.0.1. It is given events once it listens, and
answers GET `$FOURFOLD_READY_PATH` well where that is set. Events of API Gateway (v1 and v2), function URLs and load
balancers become the request that they tell of; all others are posted as JSON to /events.
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
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

BASE = "/2018-06-01/runtime"
SKIPPED = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "content-length", "upgrade", "te"}
TEXT = ("text/", "application/json", "application/xml", "application/javascript", "application/x-www-form-urlencoded")
SLOW = 2.0
"""Seconds after which it says what it waits for."""
ENDING = 0.1
"""Seconds that a program may take to be gone after it has broken its connection."""
Headers = list[tuple[str, str]]


class Runtime:
    """The Runtime API, on one kept connection. http.client writes head and body at once where the body is bytes."""

    def __init__(self) -> None:
        host, _, port = os.environ.get("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001").partition(":")
        self.connection = HTTPConnection(host, int(port or 80))

    def ask(self, method: str, place: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        self.connection.request(method, BASE + place, body, headers or {})
        answer = self.connection.getresponse()
        return answer, answer.read()

    def fail(self, place: str, kind: str, message: str) -> None:
        body = json.dumps({"errorMessage": message, "errorType": kind, "stackTrace": []}).encode()
        self.ask("POST", place, body, {"Lambda-Runtime-Function-Error-Type": kind})


class Service:
    """The program behind."""

    def __init__(self, port: int, argv: list[str]) -> None:
        self.port = port
        self.connection: HTTPConnection | None = None
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
                status = self.ask("GET", path, [("host", "localhost")], b"")[0]
                if 200 <= status < 400:
                    return
                answer = str(status)
            except (HTTPException, OSError):
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

    def ask(self, method: str, target: str, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
        """Once more on a new connection where the kept one was closed meanwhile, before anything was answered."""
        kept = self.connection is not None
        try:
            return self._ask(method, target, headers, body)
        except (HTTPException, OSError):
            self.connection = None
            if not kept:
                raise
            return self._ask(method, target, headers, body)

    def _ask(self, method: str, target: str, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
        if self.connection is None:
            self.connection = HTTPConnection("127.0.0.1", self.port)
            self.connection.connect()
            assert self.connection.sock is not None
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self.connection
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value.encode("utf-8"))
        if body or method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        data = answer.read()
        if answer.will_close:
            self.connection = None
        return answer.status, answer.getheaders(), data


def _ending_of(process: subprocess.Popen[bytes]) -> int | None:
    """A descriptor that can be read once it has ended; None before Linux 5.3 and Python 3.9."""
    try:
        return os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        return None


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


def result_of(event: dict[str, Any], status: int, headers: Headers, body: bytes) -> dict[str, Any]:
    """The answer as API Gateway takes it, in the event's own version."""
    kept = [(name, value) for name, value in headers if name.lower() not in SKIPPED]
    kind = next((value for name, value in kept if name.lower() == "content-type"), "").lower()
    packed = any(name.lower() == "content-encoding" for name, _ in kept)
    result: dict[str, Any] = {"statusCode": status, "isBase64Encoded": False}
    try:
        if packed or not (kind.startswith(TEXT) or "+json" in kind or "+xml" in kind or not kind):
            raise UnicodeDecodeError("utf-8", b"", 0, 1, "not text")
        result["body"] = body.decode("utf-8")
    except UnicodeDecodeError:
        result.update(body=base64.b64encode(body).decode(), isBase64Encoded=True)
    lists: dict[str, list[str]] = {}
    for name, value in kept:
        lists.setdefault(name, []).append(value)
    if "rawPath" in event:
        cookies = [value for name, value in kept if name.lower() == "set-cookie"]
        result["headers"] = {n: ",".join(values) for n, values in lists.items() if n.lower() != "set-cookie"}
        if cookies:
            result["cookies"] = cookies
    else:
        result["headers"] = {name: values[-1] for name, values in lists.items()}
        result["multiValueHeaders"] = lists
    return result


def handle(runtime: Runtime, service: Service, request_id: str, payload: bytes) -> None:
    """One event. What is no request is well when /events answers with 2xx."""
    here = "/invocation/" + request_id
    event = json.loads(payload)
    try:
        asked = request_of(event)
    except (KeyError, TypeError, ValueError, AttributeError):  # it only looks like one
        asked = None
    if asked is not None:
        answer = result_of(event, *service.ask(*asked))
        runtime.ask("POST", here + "/response", json.dumps(answer).encode(), {"Content-Type": "application/json"})
        return
    headers = [("host", "localhost"), ("content-type", "application/json"), ("x-request-id", request_id)]
    status, _, body = service.ask("POST", "/events", headers, payload)
    if status // 100 != 2:
        runtime.fail(here + "/error", f"HTTP{status}", f"POST /events was answered with {status}")
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
        try:
            handle(runtime, service, request_id, payload)
        except (HTTPException, OSError, ValueError, TypeError) as error:
            service.connection = None  # a request may have been begun on it
            print(f"the service did not answer: {error!r}", file=sys.stderr, flush=True)
            ended = service.has_ended()
            service.follow()
            runtime.fail("/invocation/" + request_id + "/error", "ServiceError", f"the service did not answer: {error}")
            if ended:  # nothing is behind it any more: the next one starts anew
                sys.exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
