"""Which event goes where, and how many sandboxes there are. Sandboxes without programs: nothing here waits for one."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.functions import invoker as scheduling
from fourfold.functions.invocation import InitFailure
from fourfold.functions.invoker import InitError
from tests.functions.byhand import ByHand, Runtime
from tests.functions.rig import Rig, eventually, in_loop, make_config, running


def events(numbers: range) -> list[bytes]:
    return [json.dumps(number).encode() for number in numbers]


def test_a_thousand_at_once_are_all_answered_or_refused(tmp_path: Path) -> None:
    async def work() -> None:
        config = make_config(tmp_path, concurrency=10, queue=500)
        async with running(tmp_path, config, ByHand.open) as rig:
            answers = await asyncio.gather(*(rig.invoke(number) for number in range(1000)))
            answered = [(number, each) for number, each in enumerate(answers) if each.status == 200]
            refused = [each for each in answers if each.status == 429]
            assert len(answered) + len(refused) == 1000 and len(answered) >= 500
            assert all(json.loads(each.payload) == number for number, each in answered)
            assert len(rig.usage()) == len(answered) == rig.invoker.totals["ok"]
            assert rig.invoker.totals["throttled"] == len(refused)
            if refused:
                assert json.loads(refused[0].payload) == {
                    "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded", "Type": "User",
                    "message": "Rate Exceeded.",
                }  # fmt: skip
                assert refused[0].headers["x-amzn-errortype"] == "TooManyRequestsException"
            assert len(rig.sandboxes.started) <= 10

    in_loop(work())


def test_the_queue_is_fair_and_bounded(tmp_path: Path) -> None:
    async def work() -> None:
        config = make_config(tmp_path, concurrency=1, queue=3)
        async with running_by_hand(tmp_path, config) as (rig, runtime):
            futures = [rig.submit(event) for event in events(range(5))]
            assert futures[4].done() and futures[4].result().status == 429
            asking = runtime.next()
            for expected in events(range(4)):
                request_id, event = await asking
                assert event == expected
                await runtime.respond(request_id, event)
                asking = runtime.next()
            asking.close()
            assert [future.result().payload for future in futures[:4]] == events(range(4))

    in_loop(work())


def test_no_event_waits_where_there_is_no_queue_but_for_its_own_sandbox(tmp_path: Path) -> None:
    async def work() -> None:
        config = make_config(tmp_path, concurrency=2, queue=0)
        async with running_by_hand(tmp_path, config) as (rig, _):
            first, second, third = (rig.submit(event) for event in events(range(3)))
            assert third.done() and third.result().status == 429
            await eventually(lambda: len(rig.sandboxes.started) == 2)
            other = await Runtime.connect(rig.sandboxes.started[1])
            request_id, event = await other.next()
            assert event == b"1"  # the one that waits takes whichever is free first
            await other.respond(request_id, event)
            assert (await second).payload == b"1" and not first.done()
            other.close()

    in_loop(work())


def test_without_a_queue_as_many_as_may_run_are_taken_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, make_config(tmp_path, concurrency=50, queue=0), ByHand.open) as rig:
            outcomes = await asyncio.gather(*(rig.submit(event) for event in events(range(50))))
            assert {outcome.status for outcome in outcomes} == {200}

    in_loop(work())


def test_an_init_that_breaks_holds_back_those_kept_ready_and_not_events(tmp_path: Path) -> None:
    async def work() -> None:
        config = make_config(tmp_path, concurrency=2, provisioned=1)
        async with running_by_hand(tmp_path, config) as (rig, _):
            for number in range(3):
                await eventually(lambda number=number: len(rig.sandboxes.started) > number)  # type: ignore[misc]
                rig.sandboxes.exit(rig.sandboxes.started[number], 1)
            await eventually(lambda: rig.invoker.totals["init_failures"] == 2)
            rig.sandboxes.serve = True
            assert (await rig.invoke(1)).payload == b"1"
            assert len(rig.sandboxes.started) == 4

    in_loop(work())


def test_nothing_runs_with_a_concurrency_of_zero(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, make_config(tmp_path, concurrency=0), ByHand.open) as rig:
            assert (await rig.invoke({})).status == 429
            assert not rig.sandboxes.started

    in_loop(work())


def test_bursts_start_several_and_the_one_used_last_is_used_next(tmp_path: Path) -> None:
    async def work() -> None:
        config = make_config(tmp_path, concurrency=4)
        async with running_by_hand(tmp_path, config) as (rig, first):
            futures = [rig.submit(event) for event in events(range(4))]
            await eventually(lambda: len(rig.sandboxes.started) == 4)  # three more, before any has come up
            runtimes = [first, *[await Runtime.connect(each) for each in rig.sandboxes.started[1:]]]
            given = [await first.next(), *[await runtime.next() for runtime in runtimes[1:]]]
            for runtime, (request_id, event) in zip(runtimes, given, strict=True):
                await runtime.respond(request_id, event)
            await asyncio.gather(*futures)
            asking = []
            for runtime in (runtimes[2], runtimes[0], runtimes[3], runtimes[1]):
                asking.append(asyncio.ensure_future(runtime.next()))
                await eventually(lambda: rig.invoker.state()["sandboxes"].get("frozen") == len(asking))  # in this order
            again = rig.submit(b'"again"')
            request_id, _ = await asking[3]
            await runtimes[1].respond(request_id, b"1")
            await again
            assert rig.invoker.state()["sandboxes"]["frozen"] == 3  # those who have nothing to do
            for each in asking:
                each.cancel()
            for runtime in runtimes[1:]:
                runtime.close()

    in_loop(work())


def test_sandboxes_that_nobody_needs_are_ended_but_those_provisioned_stay(tmp_path: Path) -> None:
    async def work() -> None:
        config = make_config(tmp_path, concurrency=4, provisioned=1, idle=0.1)
        async with running(tmp_path, config, ByHand.open) as rig:
            await asyncio.gather(*(rig.submit(event) for event in events(range(20))))
            await eventually(lambda: len(rig.sandboxes.killed) == len(rig.sandboxes.started) - 1)
            left = next(each for each in rig.sandboxes.started if each not in rig.sandboxes.killed)
            made = len(rig.sandboxes.started)
            rig.sandboxes.exit(left, 1)
            await eventually(lambda: len(rig.sandboxes.started) == made + 1)  # another one in its place
            await eventually(lambda: "frozen" in rig.invoker.state()["sandboxes"])
            assert len(rig.sandboxes.started) - len(rig.sandboxes.killed) == 1

    in_loop(work())


def test_provisioned_ones_that_end_by_themselves_are_not_made_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "RETRY_FIRST", 0.05)

    async def work() -> None:
        async with running(tmp_path, make_config(tmp_path, provisioned=1), ByHand.open) as rig:
            for number, pause in enumerate((0.05, 0.1)):
                await eventually(lambda: rig.invoker.state()["sandboxes"])
                await eventually(lambda: "frozen" in rig.invoker.state()["sandboxes"])
                ended = time.monotonic()
                rig.sandboxes.exit(rig.sandboxes.started[number], 1)
                await eventually(lambda number=number: len(rig.sandboxes.started) > number + 1)  # type: ignore[misc]
                assert time.monotonic() - ended >= pause - 0.005, "the loop counts in milliseconds"

    in_loop(work())


def test_without_provisioned_ones_nothing_runs_when_nothing_is_asked(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, make_config(tmp_path, idle=0.05), ByHand.open) as rig:
            await eventually(lambda: rig.invoker.state()["sandboxes"] == {})
            assert (await rig.invoke(1)).payload == b"1"
            assert rig.usage()[0].init_ms > 0

    in_loop(work())


def test_an_init_that_fails_is_tried_again_and_then_told_to_the_event(tmp_path: Path) -> None:
    async def work() -> None:
        config = make_config(tmp_path, concurrency=1)
        async with running_by_hand(tmp_path, config) as (rig, runtime):
            crashed = rig.submit(b"1")
            await runtime.next()
            rig.sandboxes.exit(rig.sandboxes.started[0], None, 9, oom=True)
            assert json.loads((await crashed).payload)["errorType"] == "Runtime.OutOfMemory"
            failing = rig.submit(b"2")
            for number in (1, 2):
                await eventually(lambda number=number: len(rig.sandboxes.started) > number)  # type: ignore[misc]
                other = await Runtime.connect(rig.sandboxes.started[number])
                body = b'{"errorType":"Bad","errorMessage":"it is"}'
                told = await other.ask("POST", "init/error", body, "Lambda-Runtime-Function-Error-Type: Bad\r\n")
                assert told.status == 202 and told.body == b'{"status":"OK"}\n'
                other.close()
            outcome = await failing
            assert (outcome.payload, outcome.error) == (body, "Unhandled")
            assert [usage.ended for usage in rig.usage()] == ["oom", "error"]
            following = rig.submit(b"3")  # of which only one start is tried before it is told
            await eventually(lambda: len(rig.sandboxes.started) == 4)
            rig.sandboxes.exit(rig.sandboxes.started[3], 3)
            assert "exit status 3" in json.loads((await following).payload)["errorMessage"]
            assert rig.invoker.state()["sandboxes"] == {}

    in_loop(work())


def test_the_first_init_has_its_bounds_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        with pytest.raises(InitError, match="did not ask for an event within"):
            async with running(tmp_path, make_config(tmp_path, timeout=0.1), ByHand.silent):
                raise AssertionError("it started")

    monkeypatch.setattr(scheduling, "INIT", 0.05)
    in_loop(work())


@pytest.mark.parametrize("body", [b"nonsense", b"[" * 100_000, b"\xff"])
def test_what_a_runtime_says_of_its_init_may_be_nonsense(body: bytes) -> None:
    assert InitFailure(1.0, body, "E").words(3).startswith(f"E: {body[:8].decode(errors='replace')}")


def test_a_host_that_makes_no_sandbox_refuses_at_once_and_tries_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, make_config(tmp_path, idle=0.05), ByHand.open) as rig:
            await eventually(lambda: rig.invoker.state()["sandboxes"] == {})
            rig.sandboxes.refuse = "no more processes"
            answer = await rig.invoke({})
            assert answer.status == 503 and "no more processes" in json.loads(answer.payload)["message"]
            assert answer.headers["x-amzn-errortype"] == "ServiceException"
            rig.sandboxes.refuse = None
            assert (await rig.invoke(1)).payload == b"1"  # it waits for the next try
            assert len(rig.usage()) == 1

    in_loop(work())


def test_events_whose_clients_have_left_do_not_begin(tmp_path: Path) -> None:
    async def work() -> None:
        config = make_config(tmp_path, concurrency=1)
        async with running_by_hand(tmp_path, config) as (rig, runtime):
            first = rig.submit(b"1")
            request_id, _ = await runtime.next()
            leaving = asyncio.ensure_future(rig.invoke(2))
            await eventually(lambda: rig.invoker.state()["waiting"] == 1)
            last = rig.submit(b"3")
            leaving.cancel()
            await eventually(lambda: rig.invoker.state()["waiting"] == 1)
            await runtime.respond(request_id, b"1")
            assert (await runtime.next())[1] == b"3"
            assert first.done() and not last.done()

    in_loop(work())


def test_who_has_waited_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        config = make_config(tmp_path, concurrency=1, timeout=60.0)
        async with running_by_hand(tmp_path, config) as (rig, runtime):
            given = rig.submit(b"1")
            await runtime.next()
            waiting = rig.submit(b"2")
            rig.invoker._around = replace(rig.invoker._around, elapsed=lambda: time.monotonic() + 61)
            assert (await waiting).status == 429 and not given.done()

    in_loop(work())


def test_one_event_at_a_time_and_a_deadline_for_each(tmp_path: Path) -> None:
    async def work() -> None:
        config = make_config(tmp_path, concurrency=1, timeout=0.2)
        async with running_by_hand(tmp_path, config) as (rig, runtime):
            late, waiting = rig.submit(b"1", "late"), rig.submit(b"2")
            await runtime.next()
            told = json.loads((await late).payload)
            assert told["errorType"] == "Sandbox.Timedout"
            assert told["errorMessage"] == "RequestId: late Error: Task timed out after 0.20 seconds"
            assert rig.sandboxes.killed == rig.sandboxes.started[:1]
            await eventually(lambda: len(rig.sandboxes.started) == 2)
            other = await Runtime.connect(rig.sandboxes.started[1])
            object.__setattr__(rig.config, "timeout", 60.0)  # this one is in time on any machine
            request_id, event = await other.next()
            await other.respond(request_id, event)
            assert (await waiting).payload == b"2"
            assert rig.usage()[0].duration_ms == 200  # not what ending it took
            other.close()

    in_loop(work())


def test_a_drained_invoker_answers_what_it_has_and_takes_no_more(tmp_path: Path) -> None:
    async def work() -> None:
        config = make_config(tmp_path, concurrency=1)
        async with running_by_hand(tmp_path, config) as (rig, runtime):
            one, two = rig.submit(b"1"), rig.submit(b"2")
            draining = asyncio.ensure_future(rig.invoker.drain())
            await asyncio.sleep(0)
            assert (await rig.submit(b"3")).status == 503
            for _ in range(2):
                request_id, event = await runtime.next()
                assert not draining.done()
                await runtime.respond(request_id, event)
            await draining
            assert one.result().payload + two.result().payload == b"12"

    in_loop(work())


class running_by_hand:
    """`running` with sandboxes that say nothing by themselves; the first has come up. -> the rig, its runtime."""

    def __init__(self, folder: Path, config: object) -> None:
        self._context = running(folder, config, self._open)  # type: ignore[arg-type]
        self._made: ByHand | None = None
        self._runtime: Runtime | None = None
        self._task: asyncio.Task[None] | None = None

    async def _open(self, config: object, env: object) -> ByHand:
        self._made = ByHand()
        self._made.serve = False
        self._task = asyncio.ensure_future(self._first(self._made))
        return self._made

    async def _first(self, made: ByHand) -> None:
        await eventually(lambda: made.started)
        self._runtime = await Runtime.connect(made.started[0])
        self._runtime.send(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n")
        self._runtime.asked = True

    async def __aenter__(self) -> tuple[Rig, Runtime]:
        rig = await self._context.__aenter__()
        assert self._runtime is not None
        return rig, self._runtime

    async def __aexit__(self, *why: object) -> None:
        if self._runtime is not None:
            self._runtime.close()
        await self._context.__aexit__(*why)  # type: ignore[arg-type]
