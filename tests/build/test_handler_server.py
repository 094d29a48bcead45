"""Handlers as processes: our server, which calls them for requests and raw events."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fourfold.store.files.artifacts import Artifact
from tests.support.ports import free_port
from tests.support.runtimes import java
from tests.support.wait import until

from .building import build
from .helpers import Home, environment, write
from .runtime_api import sandboxed
from .test_functions import jar

pytestmark = pytest.mark.e2e
INVOKE = "/2015-03-31/functions/function/invocations"


class Running:
    def __init__(self, port: int, process: subprocess.Popen[str]) -> None:
        self.port = port
        self.process = process

    def ask(
        self, method: str, path: str, body: bytes | str = b"", **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, names)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), data

    def invoke(self, event: Any, **headers: str) -> tuple[Any, str | None]:
        status, told, body = self.ask("POST", INVOKE, json.dumps(event), **headers)
        assert status == 200, body
        return json.loads(body), told.get("X-Amz-Function-Error")


@contextmanager
def running(artifact: Artifact) -> Iterator[Running]:
    """The artifact's program as an instance, once it takes connections."""
    port = free_port()
    env = environment(artifact, HOME="/tmp", PORT=str(port), HOST="127.0.0.1", AWS_LAMBDA_FUNCTION_NAME="web")
    process = subprocess.Popen(
        sandboxed(artifact, *artifact.argv), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.01)
        yield Running(port, process)
    finally:
        process.kill()
        process.wait()


PYTHON = """
import json, os, sys, time
def handler(event, context):
    if isinstance(event, dict) and "rawPath" in event:
        if event["rawPath"] == "/slow":
            time.sleep(60)
        if event["rawPath"] == "/bad":
            return {"statusCode": "x"}
        if event["rawPath"] == "/fail":
            raise ValueError("no")
        return {"statusCode": 201, "headers": {"x-a": "b"}, "cookies": ["c=1", "d=2"],
                "body": json.dumps([event["requestContext"]["http"]["method"], event["rawPath"], event.get("body")])}
    if event == "exit":
        os._exit(3)
    if event == "leave":
        child = os.fork()
        if child == 0:
            time.sleep(600)
        open("/tmp/child", "w").write(str(child))
        os._exit(3)
    if event == "left":
        return os.path.exists("/proc/" + open("/tmp/child").read())
    if event == "fail":
        raise ValueError("no")
    if event == "big":
        return "x" * 7_000_000
    return {"event": event, "pid": os.getpid(), "name": context.function_name, "id": context.aws_request_id}
"""


def test_a_python_handler_as_a_process(home: Home, source: Path) -> None:
    write(source, {"app.py": PYTHON})
    made = build(home, source, function={"handler": "app.handler", "timeout": 5, "concurrency": 2})
    with running(made) as server:
        status, headers, body = server.ask("POST", "/a/b?x=1", b"hi")
        assert (status, json.loads(body)) == (201, ["POST", "/a/b", "hi"])
        assert headers["x-a"] == "b"
        assert server.ask("GET", "/bad")[0] == 502 and server.ask("GET", "/fail")[0] == 502
        assert server.ask("GET", "/slow")[0] == 504, "the worker is killed at the deadline"
        first, error = server.invoke([1], **{"X-Amzn-RequestId": "11111111-2222-3333-4444-555555555555"})
        assert error is None and first["event"] == [1] and first["name"] == "web"
        assert first["id"] == "11111111-2222-3333-4444-555555555555"
        answer, error = server.invoke("exit")
        assert error == "Unhandled" and answer["errorType"] == "Runtime.ExitError"
        assert answer["errorMessage"].endswith("Runtime exited with error: exit status 3")
        assert server.invoke("leave")[1] == "Unhandled"
        until(lambda: server.invoke("left")[0] is False, what="the end of what a worker has left behind")
        answer, error = server.invoke("fail")
        assert (error, answer["errorType"]) == ("Unhandled", "ValueError")
        answer, error = server.invoke("big")
        assert (error, answer["errorType"]) == ("Unhandled", "Function.ResponseSizeTooLarge")
        status, _, body = server.ask("POST", INVOKE, b"[1]", **{"X-Forwarded-For": "10.0.0.1"})
        assert json.loads(body) == ["POST", INVOKE, "[1]"], "nobody behind the gateway makes up events"
        assert server.ask("POST", "/", b"x" * 6_300_000)[0] == 413
        server.process.send_signal(signal.SIGTERM)


def test_a_handler_that_cannot_be_loaded_ends_the_start_with_the_reason(home: Home, source: Path) -> None:
    write(source, {"app.py": "import nowhere"})
    with running(build(home, source, function={"handler": "app.handler"})) as server:
        assert server.process.wait(60) == 1
        assert server.process.stdout is not None
        assert "No module named 'nowhere'" in server.process.stdout.read()


def test_node_and_java_handlers_as_processes(home: Home, source: Path, tmp_path: Path) -> None:
    write(
        source,
        {
            "index.js": "exports.handler = async (event) => event.resource == '/orders/{id}'\n"
            "  ? { statusCode: 200, body: event.pathParameters.id } : { path: event.path, pid: process.pid };"
        },
    )
    block = {"handler": "index.handler", "payload": "v1", "paths": ["GET /orders/{id}"]}
    with running(build(home, source, function=block)) as server:
        assert server.invoke({"path": 1})[0]["path"] == 1
        assert server.ask("GET", "/orders/a%20b")[2] == b"a b"
        assert server.ask("GET", "/x")[0] == 502, "v1 takes only what has a statusCode"
    other = source.parent / "other"
    jar(other)
    made = build(home, other, "java", runtime=java(), function={"handler": "shop.Orders::length"})
    with running(made) as server:
        assert server.invoke("four") == (4, None)
        assert server.invoke(None)[1] == "Unhandled"
