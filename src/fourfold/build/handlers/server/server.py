"""Calls a Lambda handler for HTTP requests and raw events, where it runs as a process, container or virtual machine.

A request becomes an event of API Gateway, and what the handler returns the answer. `POST
/2015-03-31/functions/function/invocations` takes a raw event and answers as the Invoke API does, but not to what came
through a gateway: nobody outside is to make up events. Standard library only, Python 3.10 or later.

Arguments: OPTIONS (JSON) ROOT HANDLER PROGRAM …; PROGRAM is the client of the Runtime API that workers run.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from . import httpevents, httppaths, httpresults
from .wire import MAX_BODY, Refused, Request, answer, read
from .workers import BusyError, Event, Result, Task, Workers

INVOKE = "/2015-03-31/functions/function/invocations"
MALFORMED = b'{"message": "Internal server error"}'
UUID = re.compile(r"[0-9A-Fa-f-]{8,64}")
JSON = b"Content-Type: application/json\r\n"
THROTTLED = b'{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}'


class Server:
    def __init__(self, workers: Workers, place: httpevents.Place) -> None:
        self.workers = workers
        self.place = place
        self.busy = 0
        self.closing = False
        self.idle_writers: set[asyncio.StreamWriter] = set()
        self.rest = asyncio.Event()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.idle_writers.add(writer)
        try:
            while (request := await read(reader, writer, drop=True)) is not None:
                self.idle_writers.discard(writer)
                self.busy += 1
                try:
                    keep = request.keep and not self.closing
                    writer.write(await self.answer(request, keep, reader.at_eof))
                    await writer.drain()
                finally:
                    self.busy -= 1
                    if self.closing and not self.busy:
                        self.rest.set()
                if not keep or self.closing:
                    break
                self.idle_writers.add(writer)
        except Refused as refused:
            writer.write(answer(refused.status, b"", b"", keep=False))
        except ConnectionError:
            pass
        finally:
            self.idle_writers.discard(writer)
            writer.close()

    async def answer(self, request: Request, keep: bool, gone: Callable[[], bool]) -> bytes:
        if len(request.body) > MAX_BODY:
            return answer(413, JSON, b'{"message": "Request Too Long"}', keep, request.method == "HEAD")
        raw = request.path == INVOKE and request.header("x-forwarded-for") is None
        if raw and request.method == "POST":
            return await self._invoke(request, keep, gone)
        asked = httpevents.Asked(request.method, request.target, request.headers, request.body, request.version)
        event = Event(b"", trace=request.header("x-amzn-trace-id") or "", gone=gone)
        event.body = httpevents.event(asked, self.place, event.id, time.time())
        head = request.method == "HEAD"
        try:
            result = await self.workers.invoke(event)
        except BusyError:
            return answer(429, JSON, b'{"message": "Too Many Requests"}', keep, head)
        if result.timed_out:
            return answer(504, JSON, b'{"message": "Endpoint request timed out"}', keep, head)
        try:
            status, headers, body, length = self._told(result)
        except httpresults.MalformedError as error:
            print(f"cannot answer {request.method} {request.path}: {error}", file=sys.stderr, flush=True)
            return answer(502, JSON, MALFORMED, keep, head)
        return answer(status, headers, body, keep, head, length)

    def _told(self, result: Result) -> tuple[int, bytes, bytes, int | None]:
        if result.error:
            raise httpresults.MalformedError("the handler failed")
        if result.kind == httpresults.PRELUDE:
            found = httpresults.prelude(result.body, self.place)
            if found is None:
                raise httpresults.MalformedError("the stream's prelude has no end")
            return (*found, None)
        given = httpresults.answer(result.body, self.place)
        return given.status, given.headers, given.body, given.length

    async def _invoke(self, request: Request, keep: bool, gone: Callable[[], bool]) -> bytes:
        context = ""
        with suppress(ValueError):
            context = base64.b64decode(request.header("x-amz-client-context") or "").decode().replace("\n", " ")
        event = Event(request.body or b"{}", context, request.header("x-amzn-trace-id") or "", gone=gone)
        given = request.header("x-amzn-requestid") or ""
        event.id = given if UUID.fullmatch(given) else event.id
        try:
            result = await self.workers.invoke(event)
        except BusyError:
            return answer(429, JSON + b"x-amzn-ErrorType: TooManyRequestsException\r\n", THROTTLED, keep)
        headers = f"Content-Type: {result.kind}\r\nX-Amz-Executed-Version: $LATEST\r\nX-Amzn-RequestId: {event.id}\r\n"
        if result.error:
            headers += f"X-Amz-Function-Error: {result.error}\r\n"
        return answer(200, headers.encode(), result.body, keep)

    async def close(self) -> None:
        """What is being answered ends."""
        self.closing = True
        for writer in list(self.idle_writers):
            writer.close()
        if self.busy:
            await self.rest.wait()


def environment(root: str, handler: str, options: dict[str, object]) -> dict[str, str]:
    """What a handler finds, as far as it has a meaning here; the service's own variables win where AWS lets them."""
    name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME") or str(options["name"])
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    free = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "TZ": ":UTC", "LANG": "C.UTF-8"}
    reserved = {
        "_HANDLER": handler,
        "LAMBDA_TASK_ROOT": root,
        "LAMBDA_RUNTIME_DIR": f"{root}/.fourfold/runtime",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(options["memory"]),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": os.environ.get("FOURFOLD_INSTANCE") or name,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    }
    return {**free, **os.environ, **reserved}


async def serve(options: dict[str, object], root: str, handler: str, argv: list[str]) -> int:
    most = min(int(str(options["concurrency"])), 2 * len(os.sched_getaffinity(0)))
    env = environment(root, handler, options)
    name = env["AWS_LAMBDA_FUNCTION_NAME"]
    task = Task(argv, env, name, most, int(str(options["queue"])), float(str(options["timeout"])))
    workers = Workers(task)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if not await workers.open():
        why = workers.failure.body.decode(errors="replace") if workers.failure else "it has ended"
        print(f"cannot load the handler {handler}: {why}", file=sys.stderr, flush=True)
        await workers.close()
        return 1
    paths = options["paths"]
    routes = httppaths.routes(paths if isinstance(paths, list) else ())
    place = httpevents.Place("000000000000", "functions0", "v1" if options["payload"] == "v1" else "v2", routes)
    server = Server(workers, place)
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])
    listening = await asyncio.start_server(server.connected, host, port, backlog=1024, limit=64 * 1024)
    print(f"calling {handler} for requests to {host}:{port}", flush=True)
    await stop.wait()
    listening.close()
    await server.close()
    await workers.close()
    return 0


def main() -> int:
    if "PORT" not in os.environ:
        print("cannot serve: this service has no `port` in the service file", file=sys.stderr)
        return 2
    return asyncio.run(serve(json.loads(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
