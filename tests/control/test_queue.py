"""Events that are delivered later: none is lost, retries and waits as promised, what is given up is kept and told."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import suppress
from itertools import pairwise

import pytest

from fourfold.control.delivering import queue as module
from fourfold.control.delivering import writes
from fourfold.control.delivering.invoking import LostError
from fourfold.errors import NotFoundError, WorldError
from fourfold.functions.model import Answer
from fourfold.store.tables.queue import KEEP_SECONDS
from tests.control.eventrig import FAILED, EventRig, evented
from tests.store.samples import instance


@evented
async def test_it_is_stored_first_then_delivered_then_gone(rig: EventRig) -> None:
    rig.service()
    id = await rig.enqueue(b'{"a":1}', client_context='{"c":2}')
    assert rig.waiting == 1 and not rig.invoking.calls
    await rig.settle()
    assert rig.invoking.calls == [("web", b'{"a":1}', id)]
    assert rig.waiting == 0


@evented
async def test_many_of_one_moment_are_one_commit(rig: EventRig) -> None:
    rig.service()
    commits, whole = 0, rig.store.database.execute

    def counted(sql: str, values: object = ()) -> object:
        nonlocal commits
        commits += sql == "COMMIT"
        return whole(sql, values)  # type: ignore[arg-type]

    rig.store.database.execute = counted  # type: ignore[method-assign, assignment]
    ids = await asyncio.gather(*(rig.enqueue() for _ in range(1000)))
    assert len(set(ids)) == 1000 and commits == 1


@evented
async def test_a_daemon_that_dies_meanwhile_delivers_again(rig: EventRig) -> None:
    rig.service()
    rig.invoking.hold = asyncio.Event()
    id = await rig.enqueue()
    await rig.settle()
    assert [call[2] for call in rig.invoking.calls] == [id]
    await rig.restart()
    rig.invoking.hold = None
    await rig.settle()
    assert [call[2] for call in rig.invoking.calls] == [id, id]
    assert rig.waiting == 0


@evented
async def test_a_failure_is_tried_again_after_one_and_two_minutes_then_given_up(rig: EventRig) -> None:
    rig.service()
    rig.invoking.answer = lambda service: FAILED
    id = await rig.enqueue(b'{"n":1}')
    tries = []
    for _ in range(300):
        before = len(rig.invoking.calls)
        rig.events.dispatcher.pump()
        for _ in range(5):
            await asyncio.sleep(0)
        tries += [rig.clock.now()] * (len(rig.invoking.calls) - before)
        rig.clock.time += 1
    began = tries[0]
    assert [at - began for at in tries] == [0, 60, 180]
    (failed,) = rig.events.given_up.of("shop", "web")
    assert (failed.id, failed.reason, failed.attempts, failed.error) == (id, "RetriesExhausted", 3, "Unhandled")
    assert rig.waiting == 0 and rig.told("event.failed")


@evented
async def test_what_nothing_can_take_uses_up_no_retry_and_waits_longer_each_time(rig: EventRig) -> None:
    rig.service(function={"retries": 0})
    refusals: list[Answer | Exception] = [Answer(429, b""), Answer(503, b""), WorldError("nothing is ready")]
    rig.invoking.answer = lambda service: refusals[len(rig.invoking.calls) % 3]
    await rig.enqueue()
    times = []
    for _ in range(2000):
        before = len(rig.invoking.calls)
        rig.events.dispatcher.pump()
        for _ in range(5):
            await asyncio.sleep(0)
        times += [rig.clock.now()] * (len(rig.invoking.calls) - before)
        rig.clock.time += 1
    waits = [second - first for first, second in pairwise(times)]
    assert waits[:9] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert max(waits) == 300
    assert rig.waiting == 1
    line = rig.queue.lines.find("shop.web")
    assert line is not None and line.refused

    rig.put(instance("shop.web-1-bbbb"))  # one more is ready: at once
    rig.invoking.answer = lambda service: Answer(200, b"")
    await rig.settle()
    assert rig.waiting == 0


@evented
async def test_what_is_too_old_is_given_up_even_while_its_service_is_stopped(rig: EventRig) -> None:
    rig.service(function={"max_age": 60})
    rig.change("web", stopped=True)
    await rig.enqueue()
    await rig.later(59)
    assert rig.waiting == 1 and not rig.invoking.calls
    await rig.later(62)
    (failed,) = rig.events.given_up.of("shop", None)
    assert (failed.reason, failed.attempts) == ("EventAgeExceeded", 0)


@evented
async def test_no_more_at_once_than_the_service_may_have(rig: EventRig) -> None:
    rig.service(pattern="function", function={"handler": "app.handler", "concurrency": 3})
    rig.invoking.hold = asyncio.Event()
    for _ in range(10):
        await rig.enqueue()
    await rig.settle()
    assert rig.invoking.at_once == 3
    rig.invoking.hold.set()
    await rig.settle()
    assert (len(rig.invoking.calls), rig.invoking.most_at_once, rig.waiting) == (10, 3, 0)


@evented
async def test_what_is_given_up_is_told_to_another_service_as_aws_tells_it(rig: EventRig) -> None:
    rig.service(function={"retries": 0, "on_failure": "morgue"})
    rig.service("morgue")
    rig.invoking.answer = lambda service: FAILED
    id = await rig.enqueue(b'{"order":7}')
    await rig.settle()
    service, payload, _ = rig.invoking.calls[1]
    record = json.loads(payload)
    assert service == "morgue"
    assert record["requestContext"] == {
        "requestId": id,
        "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:shop-web:$LATEST",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 1,
    }
    assert record["requestPayload"] == {"order": 7}
    assert record["responseContext"] == {
        "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled",
    }  # fmt: skip
    assert record["responsePayload"] == {"errorMessage": "no"}
    await rig.later(61)
    await rig.later(121)  # it fails there too, three times, and that is told to nobody
    await rig.later(300)
    assert [call[0] for call in rig.invoking.calls] == ["web", "morgue", "morgue", "morgue"]
    assert {row.service for row in rig.events.given_up.of("shop", None)} == {"web", "morgue"}


@evented
async def test_what_is_given_up_is_sent_to_an_sqs_queue(rig: EventRig) -> None:
    rig.service(function={"retries": 0, "on_failure": "dead-letters"}, env={"AWS_REGION": "eu-west-1"})
    rig.invoking.answer = lambda service: FAILED
    sent: list[tuple[str, bytes, dict[str, str]]] = []
    refusals = [WorldError("no such queue")]

    async def send(aws: object, target: str, payload: bytes, environ: dict[str, str]) -> None:
        if refusals:
            raise refusals.pop()
        sent.append((target, payload, dict(environ)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fourfold.control.delivering.delivery.send", send)
        await rig.enqueue(b"no json")
        await rig.settle()
        assert not sent and rig.waiting == 1
        await rig.later(1)
    ((target, payload, environ),) = sent
    assert (target, environ) == ("dead-letters", {"AWS_REGION": "eu-west-1"})
    assert json.loads(payload)["requestPayload"] == "no json"
    assert rig.waiting == 0


@evented
async def test_failed_ones_are_replayed_by_id_or_all_and_kept_for_two_weeks(rig: EventRig) -> None:
    rig.service(function={"retries": 0})
    rig.invoking.answer = lambda service: FAILED
    ids = [await rig.enqueue(b"%d" % number) for number in range(3)]
    await rig.settle()
    with pytest.raises(NotFoundError, match="no failed event of web"):
        rig.events.given_up.replay("shop", "web", [ids[0], "nonsense"])
    assert len(rig.events.given_up.of("shop", "web")) == 3

    rig.invoking.answer = lambda service: Answer(200, b"")
    rig.invoking.calls.clear()
    rig.events.given_up.replay("shop", None, [ids[1]])
    await rig.settle()
    assert rig.invoking.calls == [("web", b"1", ids[1])]
    rig.events.given_up.replay("shop", "web", None)
    await rig.settle()
    assert {call[2] for call in rig.invoking.calls} == set(ids) and not rig.events.given_up.of("shop", None)

    rig.invoking.answer = lambda service: FAILED
    await rig.enqueue()
    await rig.settle()
    await rig.later(KEEP_SECONDS - 10)
    assert len(rig.events.given_up.of("shop", "web")) == 1
    await rig.later(71)
    assert not rig.events.given_up.of("shop", "web")


@evented
async def test_a_full_queue_refuses(rig: EventRig) -> None:
    rig.service()
    rig.change("web", stopped=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_EVENTS", 2)
        done = await asyncio.gather(*(rig.enqueue() for _ in range(3)), return_exceptions=True)
    assert [isinstance(each, WorldError) for each in done] == [False, False, True]


@evented
async def test_a_store_that_takes_nothing_loses_nothing(rig: EventRig) -> None:
    """Who puts in is told; what was delivered meanwhile is delivered once only, and stored when that is possible."""
    rig.service()
    await rig.enqueue()
    whole = rig.store.database.transaction

    def full() -> object:
        raise WorldError("its disk is full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writes, "AGAIN_SECONDS", 0.01)
        rig.store.database.transaction = full  # type: ignore[method-assign, assignment]
        with pytest.raises(WorldError, match="disk is full"):
            await rig.enqueue()
        with suppress(WorldError):
            await rig.settle()
        rig.store.database.transaction = whole  # type: ignore[method-assign]
        async with asyncio.timeout(20):
            while rig.waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert len(rig.invoking.calls) == 1


@evented
async def test_a_write_that_is_wrong_itself_is_in_no_others_way_and_not_tried_for_ever(rig: EventRig) -> None:
    rig.service()
    tries, unstorable = 0, {"position": object()}

    def wrong() -> None:
        nonlocal tries
        tries += 1
        raise ValueError("a mistake")

    async def write() -> None:
        rig.queue.write(wrong, lambda: None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writes, "AGAIN_SECONDS", 0.0)
        both = rig.enqueue(), rig.enqueue(state=unstorable)
        _, stored, refused = await asyncio.gather(write(), *both, return_exceptions=True)
        for _ in range(5):
            await asyncio.sleep(0)
    assert isinstance(stored, str) and isinstance(refused, sqlite3.ProgrammingError)
    assert (rig.waiting, tries) == (1, 2)  # together with the others, then alone


@evented
async def test_a_purged_app_leaves_nothing(rig: EventRig) -> None:
    rig.service()
    rig.invoking.hold = asyncio.Event()
    await rig.enqueue()
    await rig.settle()
    with rig.registry.transaction():
        rig.events.forget("shop")
    await rig.settle()
    assert rig.waiting == 0 and rig.events.dispatcher.pump() > rig.clock.now()


@evented
async def test_what_kills_whoever_has_it_is_given_up(rig: EventRig) -> None:
    """Of one that was not sent nothing is used up."""
    rig.service()
    errors = [WorldError("nothing is ready"), LostError("it died"), LostError("it died"), LostError("it died")]
    rig.invoking.answer = lambda service: errors.pop(0)
    await rig.enqueue()
    for seconds in (0, 1, 1, 119):
        await rig.later(seconds)
        assert rig.waiting == 1
    await rig.later(1)
    (failed,) = rig.events.given_up.of("shop", "web")
    assert (failed.reason, failed.attempts, failed.error) == ("RetriesExhausted", 3, "Unhandled")
    assert b"it died" in failed.answer and not errors


@evented
async def test_an_sqs_queue_that_is_gone_holds_up_nobody_and_is_told_of_a_stopped_service(rig: EventRig) -> None:
    rig.service(function={"retries": 0, "max_age": 60, "on_failure": "dead-letters"})
    sent: list[bytes] = []
    there = False

    async def send(aws: object, target: str, payload: bytes, environ: dict[str, str]) -> None:
        if not there:
            raise WorldError("no such queue")
        sent.append(payload)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fourfold.control.delivering.delivery.send", send)
        rig.invoking.answer = lambda service: FAILED
        await rig.enqueue()
        await rig.settle()
        rig.invoking.answer = lambda service: Answer(200, b"")
        for _ in range(4):
            await rig.enqueue()
            await rig.settle()
        assert len(rig.invoking.calls) == 5 and rig.waiting == 1

        rig.change("web", stopped=True)
        await rig.enqueue()
        there = True
        await rig.later(121)
        await rig.settle()
    conditions = [json.loads(each)["requestContext"]["condition"] for each in sent]
    assert conditions == ["RetriesExhausted", "EventAgeExceeded"]
    assert rig.waiting == 0


@evented
async def test_what_was_withdrawn_meanwhile_does_not_come_back(rig: EventRig) -> None:
    rig.service()
    rig.invoking.answer = lambda service: FAILED
    rig.invoking.hold = asyncio.Event()
    await rig.enqueue()
    await rig.settle()
    (waiting,) = rig.store.queue.waiting()
    rig.invoking.hold.set()
    while rig.invoking.at_once:  # noqa: ASYNC110
        await asyncio.sleep(0)
    rig.queue.add([], lambda: None, [waiting.seq])
    await rig.settle()
    assert rig.waiting == 0


@evented
async def test_what_is_under_way_when_the_daemon_ends_is_not_delivered_twice(rig: EventRig) -> None:
    rig.service()
    rig.invoking.hold = asyncio.Event()
    await rig.enqueue()
    await rig.settle()
    asyncio.get_running_loop().call_later(0.01, rig.invoking.hold.set)
    await rig.events.close()
    assert rig.waiting == 0


@evented
async def test_a_service_that_is_gone_gets_nothing_again(rig: EventRig) -> None:
    rig.service(function={"retries": 0})
    rig.invoking.answer = lambda service: FAILED
    await rig.enqueue()
    await rig.settle()
    rig.change("web", removed=True)
    with pytest.raises(NotFoundError, match="no such service any more"):
        rig.events.given_up.replay("shop", "web", None)
    assert len(rig.events.given_up.of("shop", "web")) == 1


@evented
async def test_many_that_wait_cost_little(rig: EventRig) -> None:
    """A job that has all the runs it may have is not asked for each; what gets too old is given up bit by bit."""
    rig.service("job", job={}, function={"max_age": 60})
    rig.queue.add([rig.queue.new("shop", "job", b"{}", source="invoke") for _ in range(1300)], lambda: None)
    asked = 0
    has_room = rig.jobs.has_room

    def counted(key: str, lane: str = "") -> bool:
        nonlocal asked
        asked += 1
        return has_room(key, lane)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig.jobs, "has_room", counted)
        await rig.settle()
        assert len(rig.jobs.under_way("shop.job")) == 100
        asked = 0
        rig.events.dispatcher.pump()
        assert asked == 1
    rig.change("job", stopped=True)
    rig.clock.time += 121
    assert rig.events.dispatcher.pump() == rig.clock.now()
    await rig.settle()
    await rig.later(61)
    assert rig.waiting == 0 and len(rig.events.given_up.of("shop", "job")) == 1000
