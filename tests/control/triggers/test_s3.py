"""What a bucket's queue gives becomes events, and is deleted there only when it is stored here."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from aws_lambda_powertools.utilities.parser.models import S3Model

from fourfold.control.triggers import s3
from fourfold.control.triggers.aws import Aws
from fourfold.errors import WorldError
from tests.control.triggers.rig import Rig, running, until
from tests.support.moto import Moto


def left(moto: Moto, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = moto.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(counts[name]) for name in names)


def test_objects_become_events(tmp_path: Path, moto: Moto) -> None:
    url = moto.bucket_with_queue("photos", "photos-events")
    sqs, store = moto.client("sqs"), moto.client("s3")
    for body in ({"Service": "Amazon S3", "Event": "s3:TestEvent"}, {"hello": "world"}):
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))
    rig = Rig(tmp_path, moto.environ)
    site = rig.site(s3={"bucket": "photos", "queue": "photos-events", "prefix": "in/", "suffix": ".png"})

    async def go() -> None:
        async with running(s3.source(site, Aws())):
            for key in ("in/a b.png", "out/c.png", "in/d.txt"):
                store.put_object(Bucket="photos", Key=key, Body=b"12345")
            store.delete_object(Bucket="photos", Key="in/a b.png")
            await until(lambda: left(moto, url) == 1)  # what is no notification

    asyncio.run(go())
    (event,) = rig.queued
    S3Model.model_validate(event)
    assert event["Records"][0]["s3"]["object"]["key"] == "in/a+b.png"
    assert event["Records"][0]["eventName"] == "ObjectCreated:Put"
    assert rig.kinds == ["trigger.ignored"]


def test_a_message_stays_until_it_is_stored(tmp_path: Path, moto: Moto) -> None:
    url = moto.bucket_with_queue("kept", "kept-events")
    moto.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "1"})
    moto.client("s3").put_object(Bucket="kept", Key="a", Body=b"1")
    rig = Rig(tmp_path, moto.environ)
    rig.refuse = WorldError("the disk is full")

    async def go() -> None:
        arn = "arn:aws:sqs:us-east-1:123456789012:kept-events"
        async with running(s3.source(rig.site(s3={"bucket": "kept", "queue": arn}), Aws())):
            await until(lambda: rig.events)
            assert left(moto, url) == 1 and not rig.queued
            rig.refuse = None
            await until(lambda: rig.queued and left(moto, url) == 0)

    asyncio.run(go())
    assert rig.kinds == ["trigger.failed", "trigger.recovered"]
    assert len(rig.queued) == 1
