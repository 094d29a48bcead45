"""The Runtime API, asked by hand: what it refuses, and what it does with streams."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.functions.byhand import Runtime
from tests.functions.rig import Rig, in_loop, make_config
from tests.functions.test_scheduling import running_by_hand
from tests.support.http import Answer, exchange
from tests.support.ports import free_port

STREAMING = "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
PRELUDE = "Content-Type: application/vnd.awslambda.http-integration-response\r\n"


def test_what_a_runtime_may_not_do(tmp_path: Path) -> None:
    async def work() -> None:
        async with running_by_hand(tmp_path, make_config(tmp_path, concurrency=1)) as (rig, runtime):
            outcome = rig.submit(b"1", "one")
            request_id, _ = await runtime.next()
            assert request_id == "one" and b"Lambda-Runtime-Trace-Id: Root=1-" in runtime.head
            assert b"Client-Context" not in runtime.head and b"Cognito" not in runtime.head
            refused = await runtime.ask("GET", "invocation/next")
            assert (refused.status, json.loads(refused.body)["errorType"]) == (403, "InvalidStateTransition")
            stale = await runtime.respond("another", b"2")
            assert (stale.status, stale.body) == (
                400, b'{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}\n',
            )  # fmt: skip
            init = await runtime.ask("POST", "init/error", b"{}")
            assert (init.status, json.loads(init.body)["errorType"]) == (403, "InvalidStateTransition")
            assert (await runtime.ask("GET", "no/such/path")).status == 404
            assert (await runtime.ask("POST", "invocation/next")).status == 405
            assert not outcome.done()
            accepted = await runtime.respond("one", b"11")
            assert (accepted.status, accepted.body) == (202, b'{"status":"OK"}\n')
            twice = await runtime.respond("one", b"22")
            assert (twice.status, json.loads(twice.body)["errorType"]) == (403, "InvalidStateTransition")
            assert (await outcome).payload == b"11"

    in_loop(work())


def test_too_much_is_413_and_the_caller_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        async with running_by_hand(tmp_path, make_config(tmp_path, concurrency=1)) as (rig, runtime):
            outcome = rig.submit()
            request_id, _ = await runtime.next()
            answer = await runtime.respond(request_id, b"x" * 6_291_557)
            assert (answer.status, json.loads(answer.body)["errorType"]) == (413, "RequestEntityTooLarge")
            assert json.loads((await outcome).payload)["errorType"] == "Function.ResponseSizeTooLarge"
            again = rig.submit(b"2")
            assert (await runtime.next())[1] == b"2"  # it may go on
            assert not again.done()

    in_loop(work())


def test_an_error_with_a_megabyte_of_cause_in_its_header(tmp_path: Path) -> None:
    async def work() -> None:
        async with running_by_hand(tmp_path, make_config(tmp_path, concurrency=1)) as (rig, runtime):
            outcome = rig.submit()
            request_id, _ = await runtime.next()
            cause = f"Lambda-Runtime-Function-XRay-Error-Cause: {'x' * 1024 * 1024}\r\n"
            answer = await runtime.ask("POST", f"invocation/{request_id}/error", b'{"errorType":"E"}', cause)
            assert answer.status == 202
            assert ((await outcome).error, (await outcome).error_type) == ("Unhandled", "E")

    in_loop(work())


@pytest.mark.parametrize("failing", [False, True])
def test_a_stream_is_gathered_for_who_does_not_take_it_as_one(tmp_path: Path, failing: bool) -> None:
    async def work() -> None:
        async with running_by_hand(tmp_path, make_config(tmp_path, "", concurrency=1)) as (rig, runtime):
            outcome = rig.submit()
            request_id, _ = await runtime.next()
            assert b"Fourfold-Stream" not in runtime.head
            trailers = (
                "Lambda-Runtime-Function-Error-Type: Late\r\nLambda-Runtime-Function-Error-Body: eyJhIjoxfQ==\r\n"
            )
            answer = await runtime.raw(stream(request_id, [b"one ", b"two"], trailers if failing else ""))
            assert answer.status == 202
            got = await outcome
            assert (got.payload, got.error_type) == ((b'{"a":1}', "Late") if failing else (b"one two", ""))

    in_loop(work())


def test_a_stream_reaches_an_http_client_while_it_comes(tmp_path: Path) -> None:
    async def work() -> None:
        port = free_port()
        async with running_by_hand(tmp_path, make_config(tmp_path, "", concurrency=1, port=port)) as (rig, runtime):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            request_id, _ = await runtime.next()
            assert b"Fourfold-Stream: 1\r\n" in runtime.head, "the adapter may stream"
            head = json.dumps({"statusCode": 418, "headers": {"X-Kind": "tea"}, "cookies": ["a=1", "b=2"]}).encode()
            whole = stream(request_id, [head, b"\0" * 8 + b"first;", b"second"], "", PRELUDE)
            cut = whole.index(b"6\r\nsecond")
            runtime.send(whole[:cut])
            read = await reader.readuntil(b"first;\r\n")
            assert read.startswith(b"HTTP/1.1 418 ") and b"X-Kind: tea\r\n" in read
            assert b"set-cookie: a=1\r\n" in read and b"set-cookie: b=2\r\n" in read
            runtime.send(whole[cut:])
            assert (await runtime.read()).status == 202
            assert await reader.readuntil(b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"
            writer.close()
            assert await broken_stream(rig, runtime, port) is None
            assert [usage.ended for usage in rig.usage()] == ["ok", "error"]

    in_loop(work())


async def broken_stream(rig: Rig, runtime: Runtime, port: int) -> Answer | None:
    """The client sees that the end is missing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = asyncio.ensure_future(exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
    request_id, _ = await runtime.next()
    await runtime.raw(stream(request_id, [b"begun"], "Lambda-Runtime-Function-Error-Type: Late\r\n"))
    try:
        return await asked
    except Exception:
        return None
    finally:
        writer.close()


def stream(request_id: str, chunks: list[bytes], trailers: str, headers: str = "") -> bytes:
    head = f"POST /2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\r\n{STREAMING}{headers}"
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + body + f"0\r\n{trailers}\r\n".encode()
