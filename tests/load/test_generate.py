"""The generator against servers whose times and faults are known."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from fourfold.load.generate import Run
from fourfold.load.model import Plan, Report, Request
from fourfold.load.wire import STOP, plan_line, read_report

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Answering = Callable[[bytes], Awaitable[bytes | None]]
"""Head of a request -> what is sent; None: the connection is closed."""


def at_once(answer: bytes) -> Answering:
    async def answering(head: bytes) -> bytes:
        return answer

    return answering


async def hangs_up(head: bytes) -> None:
    return None


async def asked(answering: Answering, closes: bool = False, **plan: object) -> Report:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (answer := await answering(await reader.readuntil(b"\r\n\r\n"))) is not None:
                writer.write(answer)
                if closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        usual = {"requests": (Request(),), "rate": 500.0, "seconds": 0.1} | plan
        return await Run(Plan("127.0.0.1", port, **usual)).report()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "closes", "method"),
    [
        (OK, False, "GET"),
        (OK.replace(b"\r\n\r\nok", b"\r\nConnection: close\r\n\r\nok"), True, "GET"),
        (OK.replace(b"\n\r\nok", b"\n\r\n"), False, "HEAD"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False, "DELETE"),
        (b"HTTP/1.1 303 See Other\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", True, "GET"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", True, "GET"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", False, "GET"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False, "POST"),
    ],
)
def test_good_answers_of_all_forms(answer: bytes, closes: bool, method: str) -> None:
    report = asyncio.run(asked(at_once(answer), closes, requests=(Request(method),)))
    assert (report.requests, report.kinds, report.refused) == (50, {}, 0)


@pytest.mark.parametrize(
    ("answering", "closes", "kind"),
    [
        (hangs_up, False, "connection closed"),
        (at_once(b"HTTP/1.1 200 OK\r\nContent-"), True, "connection closed"),
        (at_once(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), True, "connection closed"),
        (at_once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), True, "connection closed"),
        (at_once(b"hello\r\n\r\n"), False, "not HTTP"),
        (at_once(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), False, "status 503"),
        (at_once(b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n"), False, "status 429"),
    ],
)
def test_every_failure_is_seen_and_named(answering: Answering, closes: bool, kind: str) -> None:
    report = asyncio.run(asked(answering, closes))
    assert (report.requests, report.kinds) == (50, {kind: 50})


def test_client_errors_are_counted_apart() -> None:
    report = asyncio.run(asked(at_once(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")))
    assert (report.requests, report.errors, report.refused) == (50, 0, 50)
    assert report.good_per_second > 0


def test_nobody_listens() -> None:
    async def run() -> Report:
        with socket.socket() as held:  # so that nobody else has it meanwhile
            held.bind(("127.0.0.1", 0))
            plan = Plan("127.0.0.1", held.getsockname()[1], (Request(),), 100, 0.1, connections=2)
            return await Run(plan).report()

    assert asyncio.run(run()).kinds == {"connection refused": 10}


def test_a_timeout_counts_with_the_time_that_was_waited() -> None:
    async def never(head: bytes) -> bytes:
        await asyncio.sleep(60)
        return OK

    report = asyncio.run(asked(never, rate=100.0, connections=2, timeout=0.2))
    assert report.kinds == {"timeout": 10}
    assert report.p50 is not None and report.p50 >= 0.2


def test_known_times_come_out() -> None:
    async def slow(head: bytes) -> bytes:
        await asyncio.sleep(0.08 if b"/slow" in head else 0.02)
        return OK

    requests = (Request(path="/slow"), Request(path="/fast", weight=9))
    report = asyncio.run(asked(slow, requests=requests, rate=200.0, seconds=0.5))
    assert (report.requests, report.errors) == (100, 0)
    times = dict(report.curve)
    assert times[0.05] >= 0.02
    assert times[0.95] >= 0.08  # a tenth is slow
    assert report.p99 == times[0.99]


def test_who_hangs_does_not_hide_what_was_due_meanwhile() -> None:
    """One answer takes 0.5 s and there is one connection: the 49 requests that are due in that time have waited too."""
    first = True

    async def hangs_once(head: bytes) -> bytes:
        nonlocal first
        await asyncio.sleep(0.5 if first else 0)
        first = False
        return OK

    report = asyncio.run(asked(hangs_once, rate=100.0, seconds=0.5, connections=1))
    assert (report.requests, report.errors) == (50, 0)
    times = dict(report.curve)
    for share in (0.1, 0.5, 0.9):  # of the requests were due in the last so many of the 0.5 s
        assert times[share] >= 0.5 * share - 0.02


def test_what_was_due_is_asked_though_the_generator_came_too_late() -> None:
    async def run() -> Report:
        async with await asyncio.start_server(_serve_ok, "127.0.0.1", 0) as server:
            plan = Plan("127.0.0.1", server.sockets[0].getsockname()[1], (Request(),), 100, 0.1)
            asyncio.get_running_loop().call_later(0.03, time.sleep, 0.2)
            return await Run(plan).report()

    report = asyncio.run(run())
    assert (report.requests, report.errors) == (10, 0)
    assert report.late >= 0.1


def test_as_fast_as_answered() -> None:
    async def slow(head: bytes) -> bytes:
        await asyncio.sleep(0.05)
        return OK

    report = asyncio.run(asked(slow, rate=None, seconds=0.5, connections=4))
    assert report.errors == 0
    assert 4 <= report.requests <= 44  # ten each, and those under way at the end
    assert report.good_per_second <= 80


def test_what_hangs_at_the_end_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.load.generate.AFTER_THE_END", 0.1)

    async def hangs(head: bytes) -> bytes:
        await asyncio.sleep(60 if b"/hangs" in head else 0)
        return OK

    requests = (Request(path="/hangs"), Request(weight=99))
    report = asyncio.run(asked(hangs, requests=requests, rate=None, seconds=0.2, connections=2))
    assert report.errors == 0


def test_who_answers_nothing_at_all_was_asked_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not for no time, in which the generator would have been busy all along."""
    monkeypatch.setattr("fourfold.load.generate.AFTER_THE_END", 0.1)

    async def never(head: bytes) -> bytes:
        await asyncio.sleep(60)
        return OK

    report = asyncio.run(asked(never, rate=None, seconds=0.2, connections=2))
    assert report.requests == 0 and report.seconds >= 0.2 > report.cpu_seconds


def test_who_answers_errors_only_is_not_asked_without_a_pause() -> None:
    report = asyncio.run(
        asked(at_once(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), rate=None, seconds=0.2, connections=2)
    )
    assert report.requests <= 22


def test_the_program_takes_plans_and_can_be_stopped() -> None:
    async def run() -> list[Report]:
        reports = []
        async with await asyncio.start_server(_serve_ok, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "fourfold.load", stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(plan_line(Plan("127.0.0.1", port, (Request(),), 100, 0.1)))
            reports.append(read_report(await process.stdout.readline()))
            process.stdin.write(plan_line(Plan("127.0.0.1", port, (Request(),), 100, 3600)) + STOP)
            reports.append(read_report(await process.stdout.readline()))
            process.stdin.write(plan_line(Plan("127.0.0.1", port, (Request(),), 100, 3600)))
            process.stdin.close()  # who wanted to know has gone
            assert await process.wait() == 0
        return reports

    first, second = asyncio.run(run())
    assert (first.requests, first.errors, second.errors) == (10, 0, 0)
    assert first.cpu_seconds > 0


async def _serve_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)
