"""A Runtime API as small as can be, and programs of sandboxes run against it."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fourfold.store.files.artifacts import Artifact

BASE = "/2018-06-01/runtime/"


@dataclass
class Told:
    """What a client posted: `init/error`, `invocation/ID/response` or `…/error`."""

    place: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class RuntimeApi:
    address: str = ""
    events: queue.Queue[bytes | None] = field(default_factory=queue.Queue)
    told: queue.Queue[Told] = field(default_factory=queue.Queue)
    asked: threading.Event = field(default_factory=threading.Event)
    """The client came up."""
    count: int = 0
    streams: bool = False
    """Whoever calls takes an answer while it comes."""

    def call(self, event: Any) -> Told:
        """Give one event, and wait for what comes of it."""
        self.events.put(json.dumps(event).encode())
        return self.told.get(timeout=60)


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            assert self.path == BASE + "invocation/next"
            api.asked.set()
            event = api.events.get()
            if event is None:
                self.close_connection = True
                return
            api.count += 1
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(event)}\r\n"
            head += (
                f"Lambda-Runtime-Aws-Request-Id: id-{api.count}\r\nLambda-Runtime-Trace-Id: Root=1-0-{api.count}\r\n"
            )
            head += f"Lambda-Runtime-Deadline-Ms: {int((time.time() + 60) * 1000)}\r\n"
            head += "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:0:function:f\r\n"
            head += "Fourfold-Stream: 1\r\n\r\n" if api.streams else "\r\n"
            self.wfile.write(head.encode() + event)

        def do_POST(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body, trailers = b"", {}
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                while line := self.rfile.readline().strip():
                    name, _, value = line.decode().partition(": ")
                    trailers[name] = value
            else:
                body, trailers = self.rfile.read(int(self.headers["Content-Length"])), {}
            answer = b'{"status":"OK"}\n'
            head = f"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
            self.wfile.write(head.encode() + answer)
            api.told.put(Told(self.path.removeprefix(BASE), {**self.headers, **trailers}, body))

        def log_message(self, *words: object) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, address: Any) -> None:
        """Clients are killed in the middle of what they ask."""


@contextmanager
def runtime_api() -> Iterator[RuntimeApi]:
    api = RuntimeApi()
    server = _Server(("127.0.0.1", 0), _handler(api))
    api.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.events.put(None)
        server.shutdown()
        server.server_close()


def sandboxed(artifact: Artifact, *argv: str) -> list[str]:
    """The command line that runs `argv` where the tree is at /app and /var/task, and the first layer at /opt."""
    tree = str(artifact.tree)
    command = ["bwrap", "--die-with-parent", "--unshare-pid", "--ro-bind", "/usr", "/usr", "--proc", "/proc"]
    command += ["--dev", "/dev", "--ro-bind", "/etc", "/etc", "--perms", "1777", "--tmpfs", "/tmp"]
    command += [word for name in ("bin", "lib", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}")]
    command += [
        "--perms",
        "0755",
        "--dir",
        "/var",
        "--ro-bind",
        tree,
        "/app",
        "--ro-bind",
        tree,
        "/var/task",
        "--chdir",
        "/var/task",
    ]
    if (artifact.tree / ".fourfold/runtime").is_dir():
        command += ["--ro-bind", f"{tree}/.fourfold/runtime", "/var/runtime"]
    if artifact.function is not None and artifact.function.layers:
        command += ["--ro-bind", f"{tree}/{artifact.function.layers[0]}", "/opt"]
    other = ["/usr/bin/setpriv", "--reuid=790123", "--regid=790123", "--clear-groups"] if os.geteuid() == 0 else []
    return [*command, *other, *argv]


@contextmanager
def client(artifact: Artifact, api: RuntimeApi, **env: str) -> Iterator[subprocess.Popen[str]]:
    """What starts a sandbox of the artifact. Of kind python, the client that a fork server would import.

    With `_HANDLER`, another handler than the one that it was built for."""
    function = artifact.function
    assert function is not None
    argv = list(function.argv)
    environ = {**function.env, "_HANDLER": function.handler, "AWS_LAMBDA_RUNTIME_API": api.address, **env}
    environ |= {
        "LAMBDA_TASK_ROOT": "/var/task",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    }
    environ |= {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_REGION": "us-east-1", "HOME": "/tmp"}
    if function.kind == "python":
        argv += ["-m", "awslambdaric", function.handler]
        own = environ.get("PYTHONPATH", "")
        environ["PYTHONPATH"] = ":".join(part for part in (own, "/var/task", "/opt/python", "/var/runtime") if part)
    process = subprocess.Popen(
        sandboxed(artifact, *argv), env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
