"""Processes that call a handler, each with one event at a time, as clients of the Lambda Runtime API (2018-06-01).

Each has a listener of its own on loopback, so that it is known who asks; only programs of the same user may. A worker
that has not answered by its deadline is killed, and another one takes its place when it is needed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from .peers import uid_of
from .wire import MAX_ANSWER, Refused, Request, answer, read

BASE = "/2018-06-01/runtime"
INIT_SECONDS = 10.0
"""How long a worker may take to ask for its first event, or as long as an event if that is longer."""
ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


@dataclass(frozen=True)
class Result:
    """How an event ended."""

    body: bytes
    kind: str = "application/json"
    error: str = ""
    """`Unhandled`, as X-Amz-Function-Error has it."""
    timed_out: bool = False


@dataclass(eq=False)
class Event:
    body: bytes
    context: str = ""
    """The client's context, decoded."""
    trace: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    gone: Callable[[], bool] = lambda: False
    """Whether whoever asked is not there any more."""
    result: asyncio.Future[Result] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def end(self, result: Result) -> None:
        if not self.result.done():
            self.result.set_result(result)


class BusyError(Exception):
    """No worker is free, and too many events wait."""


@dataclass(frozen=True)
class Task:
    """What workers run, and their bounds."""

    argv: Sequence[str]
    env: Mapping[str, str]
    name: str
    most: int
    queue: int
    timeout: float


class Workers:
    def __init__(self, task: Task) -> None:
        self.task = task
        self.idle: list[Worker] = []
        self.all: set[Worker] = set()
        self.waiting: deque[Event] = deque()
        self.failure: Result | None = None
        """Of the last worker that did not come up."""

    async def open(self) -> bool:
        """The first worker; False: it did not come up, and `failure` says why."""
        if self.task.most:
            await self._start()
            while self.all and not self.idle:
                await asyncio.wait({worker.up for worker in self.all}, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(0)
            return bool(self.idle)
        return True

    async def invoke(self, event: Event) -> Result:
        """Raises BusyError."""
        if self.task.most == 0 or len(self.waiting) >= self.task.queue + (self.task.most - len(self.all)):
            raise BusyError
        if self.idle:
            self.idle.pop().give(event)
        else:
            self.waiting.append(event)
            if len(self.all) < self.task.most:
                await self._start()
        return await event.result

    async def _start(self) -> None:
        worker = Worker(self)
        self.all.add(worker)
        try:
            await worker.open()
        except OSError as error:
            self.lost(worker, Result(error_body("Runtime.ExitError", f"cannot start: {error}"), error="Unhandled"))

    def ready(self, worker: Worker) -> None:
        """It asks for an event."""
        while self.waiting:
            event = self.waiting.popleft()
            if not event.gone():
                worker.give(event)
                return
            event.end(Result(b""))
        self.idle.append(worker)

    def lost(self, worker: Worker, failure: Result | None) -> None:
        """It is gone; `failure`: it never came up, which one that waits is told, lest all wait for ever."""
        self.all.discard(worker)
        if worker in self.idle:
            self.idle.remove(worker)
        if failure is not None:
            self.failure = failure
            if self.waiting:
                self.waiting.popleft().end(failure)
        if self.waiting and len(self.all) < self.task.most:
            task = asyncio.get_running_loop().create_task(self._start())
            worker.keep = task

    async def close(self) -> None:
        for worker in list(self.all):
            worker.kill()
        await asyncio.gather(*(worker.gone.wait() for worker in list(self.all)))


class Worker:
    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self.event: Event | None = None
        self.asking: asyncio.Future[Event] | None = None
        loop = asyncio.get_running_loop()
        self.up: asyncio.Future[None] = loop.create_future()
        """Done once it asks for its first event, or is lost."""
        self.failure: Result | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.gone = asyncio.Event()
        self.late = False
        self.process: asyncio.subprocess.Process | None = None
        self.keep: asyncio.Task[None] | None = None

    async def open(self) -> None:
        task = self.workers.task
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=64 * 1024)
        port = self.server.sockets[0].getsockname()[1]
        env = {**task.env, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}"}
        try:
            self.process = await asyncio.create_subprocess_exec(*task.argv, env=env, start_new_session=True)
        except OSError:
            self.server.close()
            self.up.set_result(None)
            self.gone.set()
            raise
        self.timer = asyncio.get_running_loop().call_later(max(INIT_SECONDS, task.timeout), self._too_late)
        self.watch = asyncio.get_running_loop().create_task(self._watch(self.process))

    def give(self, event: Event) -> None:
        assert self.asking is not None
        self.event = event
        self.deadline = time.time() + self.workers.task.timeout
        self.timer = asyncio.get_running_loop().call_later(self.workers.task.timeout, self._too_late)
        self.asking.set_result(event)
        self.asking = None

    def kill(self) -> None:
        """With all that it has started in its session."""
        if self.process is not None and self.process.returncode is None:
            _kill_group(self.process.pid)

    def _too_late(self) -> None:
        self.late = True
        self.kill()

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        _kill_group(process.pid)  # what it has left behind belongs to no event
        if self.timer is not None:
            self.timer.cancel()
        self.server.close()
        event, self.event = self.event, None
        if event is not None:
            event.end(self._ended(code, event.id, self.workers.task.timeout))
        failure = None
        if not self.up.done():
            seconds = max(INIT_SECONDS, self.workers.task.timeout)
            failure = self.failure or self._ended(code, str(uuid.uuid4()), seconds)
        self.workers.lost(self, failure)
        if not self.up.done():
            self.up.set_result(None)
        self.gone.set()

    def _ended(self, code: int, request_id: str, seconds: float) -> Result:
        if self.late:
            why = f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds"
            body = error_body("Sandbox.Timedout", why)
            return Result(body, error="Unhandled", timed_out=True)
        how = f"exit status {code}" if code >= 0 else f"signal: {signal.strsignal(-code) or -code}".lower()
        why = f"Runtime exited with error: {how}" if code else "Runtime exited without providing a reason"
        return Result(error_body("Runtime.ExitError", f"RequestId: {request_id} Error: {why}"), error="Unhandled")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer, own = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        if uid_of(peer[1], own[1]) not in (os.getuid(), None):
            writer.close()
            return
        try:
            while (request := await read(reader, writer, MAX_ANSWER, drop=True)) is not None:
                writer.write(await self._answer(request))
                await writer.drain()
        except Refused as refused:
            writer.write(answer(refused.status, b"", b"", keep=False))
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _answer(self, request: Request) -> bytes:
        place = request.path.removeprefix(BASE)
        if (request.method, place) == ("GET", "/invocation/next"):
            return await self._next()
        if (request.method, place) == ("POST", "/init/error"):
            self.failure = Result(request.body or b"{}", error="Unhandled")
            return _status(202, {"status": "OK"})
        parts = place.strip("/").split("/")
        if request.method != "POST" or len(parts) != 3 or parts[0] != "invocation":
            return _status(404, {"errorMessage": "no such operation", "errorType": "NotFound"})
        if self.event is None or self.event.id != parts[1]:
            return _status(400, {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"})
        kind = request.header("content-type") or "application/json"
        if len(request.body) > MAX_ANSWER:
            message = f"Response payload size exceeded maximum allowed payload size ({MAX_ANSWER} bytes)."
            self._end(Result(error_body("Function.ResponseSizeTooLarge", message), error="Unhandled"))
            return _status(413, {"errorMessage": message, "errorType": "RequestEntityTooLarge"})
        failed = parts[2] == "error" or request.header("lambda-runtime-function-error-type") is not None
        self._end(Result(request.body, kind, "Unhandled" if failed else ""))
        return _status(202, {"status": "OK"})

    def _end(self, result: Result) -> None:
        event, self.event = self.event, None
        if self.timer is not None:
            self.timer.cancel()
        if event is not None:
            event.end(result)

    async def _next(self) -> bytes:
        if self.timer is not None:
            self.timer.cancel()
        self.asking = asyncio.get_running_loop().create_future()
        asking = self.asking
        self.workers.ready(self)
        if not self.up.done():
            self.up.set_result(None)
        event = await asking
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": event.id,
            "Lambda-Runtime-Deadline-Ms": str(int(self.deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": ARN + self.workers.task.name,
            "Lambda-Runtime-Trace-Id": event.trace or f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}",
        }
        if event.context:
            headers["Lambda-Runtime-Client-Context"] = event.context
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return answer(200, lines.encode(), event.body, keep=True)


def _kill_group(number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(number, signal.SIGKILL)


def _status(status: int, body: Mapping[str, str]) -> bytes:
    return answer(status, b"Content-Type: application/json\r\n", json.dumps(body).encode(), keep=True)


def error_body(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()
