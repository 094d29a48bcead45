"""Sources against an AWS of moto's: what is put in comes out, in order, once it was taken."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.parser.models import DynamoDBStreamModel, KinesisDataStreamModel

from fourfold.control.triggers import dynamodb, kinesis, stream, streams
from fourfold.control.triggers.aws import Aws
from fourfold.errors import WorldError
from fourfold.functions.model import Answer
from tests.control.triggers.rig import Event, Rig, running, until
from tests.support.moto import Moto

HALF = str(2**127)


def data_of(record: Event) -> str:
    return b64decode(record["kinesis"]["data"]).decode()


def flat(batches: list[list[str]]) -> list[str]:
    return [each for batch in batches for each in batch]


def put(client: Any, stream: str, *items: str) -> None:
    for item in items:
        client.put_record(StreamName=stream, PartitionKey=item[0], Data=item.encode())


def test_kinesis_in_order_over_failures_resharding_and_a_new_daemon(
    tmp_path: Path, moto: Moto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "DISCOVERY_SECONDS", 0.5)
    monkeypatch.setattr(streams, "FIRST_WAIT", 0.1)
    moto.stream("clicks")
    client = moto.client("kinesis")
    put(client, "clicks", "a0")
    rig = Rig(tmp_path, moto.environ)
    boom = Answer(200, b'{"errorMessage": "boom"}', "Unhandled")
    failures: list[WorldError | Answer] = [WorldError("not ready"), Answer(429, b""), boom]
    tried: list[list[str]] = []

    def answer(event: Event) -> Answer:
        KinesisDataStreamModel.model_validate(event)
        tried.append([data_of(record) for record in event["Records"]])
        if not failures:
            return Answer(200, b"")
        failure = failures.pop(0)
        if isinstance(failure, WorldError):
            raise failure
        return failure

    rig.answer = answer
    trigger = {"kinesis": {"stream": "clicks", "batch": 2, "start": "trim-horizon"}}

    async def first() -> None:
        async with running(kinesis.source(rig.site(**trigger), Aws())):
            await until(lambda: len(tried) == 4)
            assert tried == [["a0"]] * 4
            put(client, "clicks", "b1", "a1", "b2")
            await until(lambda: flat(tried[4:]) == ["b1", "a1", "b2"])

    async def second() -> None:
        put(client, "clicks", "a2")  # while nobody looked
        async with running(kinesis.source(rig.site(**trigger), Aws())):
            await until(lambda: ["a2"] in tried)
            shard = client.list_shards(StreamName="clicks")["Shards"][0]["ShardId"]
            client.split_shard(StreamName="clicks", ShardToSplit=shard, NewStartingHashKey=HALF)
            put(client, "clicks", "a3", "b3", "a4", "b4")
            await until(lambda: {"a3", "b3", "a4", "b4"} <= set(flat(tried)))
            await until(lambda: "done" in json.dumps(rig.site(**trigger).state.all()))

    asyncio.run(first())
    assert "trigger.batch-failed" in rig.kinds and "boom" in dict(rig.events)["trigger.batch-failed"]
    asyncio.run(second())
    # moto gives the records of a split shard to its children once more, so only the order of the new ones is told.
    for key in "ab":
        new = [each for each in flat(tried) if each in (f"{key}3", f"{key}4")]
        assert new == [f"{key}3", f"{key}4"]


def test_kinesis_from_now_on_partial_answers_and_what_is_given_up(tmp_path: Path, moto: Moto) -> None:
    moto.stream("partial", shards=2)
    client = moto.client("kinesis")
    put(client, "partial", "a-old", "b-old")
    rig = Rig(tmp_path, moto.environ)
    bad = "a2"
    taken: list[str] = []

    def answer(event: Event) -> Answer:
        for record in event["Records"]:
            if data_of(record) == bad:
                failed = [{"itemIdentifier": record["kinesis"]["sequenceNumber"]}]
                return Answer(200, json.dumps({"batchItemFailures": failed}).encode())
            taken.append(data_of(record))
        return Answer(200, b"{}")

    rig.answer = answer
    options = {"partial": True, "bisect": True, "retries": 0, "on_failure": "morgue", "parallel": 2}
    site = rig.site(kinesis={"stream": "partial", "window": "1s", **options})

    async def go() -> None:
        await asyncio.sleep(2.1)  # `latest` has a margin of two seconds for clocks that differ
        async with running(kinesis.source(site, Aws())):
            await until(lambda: site.state.get("since") is not None)
            put(client, "partial", "a1", "a2", "a3", "b1")
            await until(lambda: rig.told and {"a1", "a3", "b1"} <= set(taken))

    asyncio.run(go())
    assert sorted(taken) == ["a1", "a3", "b1"]
    ((destination, told),) = rig.told
    assert destination == "morgue"
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert told["KinesisBatchInfo"]["batchSize"] == 1
    assert told["KinesisBatchInfo"]["streamArn"].endswith("stream/partial")


def test_dynamodb(tmp_path: Path, moto: Moto) -> None:
    moto.table("images")
    table = moto.client("dynamodb")
    rig = Rig(tmp_path, moto.environ)
    rig.answer = lambda event: Answer(200, b"", "" if DynamoDBStreamModel.model_validate(event) else "Unhandled")
    trigger = {"dynamodb": {"table": "images"}}

    async def first() -> None:
        async with running(dynamodb.source(rig.site(**trigger), Aws())):
            table.put_item(TableName="images", Item={"id": {"S": "1"}, "bytes": {"B": b"\x00\xff"}})
            table.put_item(TableName="images", Item={"id": {"S": "1"}, "bytes": {"B": b"\x01"}})
            await until(lambda: len(rig.records) == 2)

    async def second() -> None:
        table.delete_item(TableName="images", Key={"id": {"S": "1"}})
        async with running(dynamodb.source(rig.site(**trigger), Aws())):
            await until(lambda: len(rig.records) == 3)

    asyncio.run(first())
    asyncio.run(second())
    assert [record["eventName"] for record in rig.records] == ["INSERT", "MODIFY", "REMOVE"]
    first_one = rig.records[0]
    assert first_one["eventVersion"] == "1.1"
    assert first_one["dynamodb"]["NewImage"]["bytes"] == {"B": "AP8="}
    assert ":table/images/stream/" in first_one["eventSourceARN"]


def test_what_is_not_there_is_told_once_and_waited_for(tmp_path: Path, moto: Moto) -> None:
    rig = Rig(tmp_path, moto.environ)

    async def go() -> None:
        async with running(kinesis.source(rig.site(kinesis={"stream": "not-yet"}), Aws())):
            await until(lambda: rig.events)
            moto.stream("not-yet")
            put(moto.client("kinesis"), "not-yet", "a1")
            await until(lambda: rig.delivered)

    asyncio.run(go())
    assert rig.kinds == ["trigger.failed", "trigger.recovered"]
    assert "not-yet" in rig.events[0][1]


def test_a_dead_endpoint_holds_up_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s3cret"})
    site = rig.site(dynamodb={"table": "images", "endpoint": "http://127.0.0.1:1"})

    async def go() -> None:
        async with running(dynamodb.source(site, Aws())):
            await until(lambda: rig.events)
            await asyncio.sleep(1.5)

    asyncio.run(go())
    assert rig.kinds == ["trigger.failed"]
    assert "127.0.0.1:1" in rig.events[0][1] and "s3cret" not in rig.events[0][1]


def test_a_batch_on_its_way_is_not_delivered_again_when_the_trigger_ends(tmp_path: Path, moto: Moto) -> None:
    moto.stream("slow")
    put(moto.client("kinesis"), "slow", "a1")
    rig = Rig(tmp_path, moto.environ)
    began: list[str] = []

    async def answer(event: Event) -> Answer:
        began.append(data_of(event["Records"][0]))
        await asyncio.sleep(0.2)
        return Answer(200, b"")

    rig.answer_later = answer
    trigger = {"kinesis": {"stream": "slow", "start": "trim-horizon"}}

    async def go() -> None:
        async with running(kinesis.source(rig.site(**trigger), Aws())):
            await until(lambda: began)
        put(moto.client("kinesis"), "slow", "a2")
        async with running(kinesis.source(rig.site(**trigger), Aws())):
            await until(lambda: len(began) == 2)

    asyncio.run(go())
    assert began == ["a1", "a2"]
