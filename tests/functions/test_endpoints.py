"""The port: what API Gateway would answer itself, with real handlers."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.functions.rig import in_loop, make_config, running
from tests.support.http import Answer, exchange
from tests.support.ports import free_port


async def ask(port: int, head: str, body: bytes = b"") -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await exchange(reader, writer, f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)
    finally:
        writer.close()


def test_requests_become_events_and_results_answers(tmp_path: Path) -> None:
    async def work() -> None:
        port = free_port()
        config = make_config(tmp_path, "app.http", port=port, concurrency=1, paths=("GET /a/{b}",))
        async with running(tmp_path, config) as rig:
            first = await ask(port, "GET /a/b?x=1 HTTP/1.1\r\nHost: shop.example.com")
            event = json.loads(first.body)
            assert f"x-amzn-requestid: {event['requestContext']['requestId']}\r\n".encode() in first.head
            assert (event["rawPath"], event["requestContext"]["domainName"]) == ("/a/b", "shop.example.com")
            assert (event["routeKey"], event["pathParameters"]) == ("GET /a/{b}", {"b": "b"})
            result: Any = {"statusCode": 201, "headers": {"X-A": "1"}, "cookies": ["a=1"], "body": "done"}
            answer = await ask(port, "POST / HTTP/1.1\r\nContent-Type: image/x", json.dumps(result).encode())
            assert (answer.status, answer.body) == (201, b"done") and b"set-cookie: a=1\r\n" in answer.head
            odd = await ask(
                port, "GET / HTTP/1.1\r\nX-Amzn-Trace-Id: \xff\xfe"
            )  # its runtime client could not read that
            assert odd.status == 200
            bad = await ask(port, "POST / HTTP/1.1", b'{"statusCode": "nonsense"}')
            assert (bad.status, bad.body) == (502, b'{"message":"Internal server error"}')
            assert "502: `statusCode` is not a status" in await rig.log("502:")
            failed = await ask(port, "POST / HTTP/1.1", b"no JSON at all")
            assert (failed.status, failed.body) == (502, b'{"message":"Internal server error"}')
            large = await ask(port, "POST / HTTP/1.1\r\nContent-Type: image/x", b"x" * 5 * 1024 * 1024)
            assert (large.status, large.body) == (413, b'{"message":"Request Too Long"}')  # as base64 it is

    in_loop(work())


def test_timeouts_and_throttles(tmp_path: Path) -> None:
    async def work() -> None:
        port = free_port()
        config = make_config(tmp_path, "app.told", port=port, concurrency=1, queue=0, timeout=1.0, argv=SLEEPS)
        async with running(tmp_path, config):
            answers = await asyncio.gather(*(ask(port, "GET / HTTP/1.1") for _ in range(2)))
            assert {(answer.status, answer.body) for answer in answers} == {
                (429, b'{"message":"Too Many Requests"}'),
                (504, b'{"message":"Endpoint request timed out"}'),
            }

    in_loop(work())


NEXT = "'http://%s/2018-06-01/runtime/invocation/next' % os.environ['AWS_LAMBDA_RUNTIME_API']"
SLEEPS = (sys.executable, "-c", f"import os, time, urllib.request as r; r.urlopen({NEXT}); time.sleep(60)")
"""A runtime that never answers."""
