"""Objects of a bucket, by way of the SQS queue that it notifies: read, stored as an event of ours, then deleted there.

A message that is no notification is left to the queue, and to its redrive policy. One whose objects the trigger does
not want is deleted: a queue is for one trigger.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fourfold.control.triggers.aws import Aws, AwsError, access, region_of
from fourfold.control.triggers.patience import Patience
from fourfold.control.triggers.shapes import s3
from fourfold.control.triggers.shapes.common import encoded, timestamp
from fourfold.control.triggers.source import Site, Source
from fourfold.control.triggers.threads import Threads
from fourfold.errors import WorldError
from fourfold.spec.triggers import S3

LONG_POLL_SECONDS = 20
MOST_MESSAGES = 10
"""In one answer: as many as SQS gives."""


def source(site: Site, aws: Aws) -> Source:
    assert site.spec.s3 is not None
    return S3Source(site, aws, site.spec.s3)


class S3Source:
    def __init__(self, site: Site, aws: Aws, spec: S3) -> None:
        self._site = site
        self._aws = aws
        self._spec = spec
        self._patience = Patience(site.emit, f"queue {spec.queue}")
        self._own = Threads(1)
        """For the call that waits for messages."""
        self._odd: set[str] = set()
        """Messages that are no notifications, and were told of."""

    async def run(self) -> None:
        url = await self._patience.until_done(self._queue_url, "queue")
        while True:
            messages = await self._patience.until_done(lambda: self._receive(url), "receive")
            for message in messages:
                await self._take(url, message)

    async def _queue_url(self) -> str:
        queue = self._spec.queue
        if "://" in queue:
            return queue
        return str((await self._call("get_queue_url", QueueName=queue.rpartition(":")[2]))["QueueUrl"])

    async def _receive(self, url: str) -> list[dict[str, Any]]:
        told = await self._call(
            "receive_message", self._own, QueueUrl=url, MaxNumberOfMessages=MOST_MESSAGES,
            WaitTimeSeconds=LONG_POLL_SECONDS,
        )  # fmt: skip
        found: list[dict[str, Any]] = told.get("Messages", [])
        return found

    async def _take(self, url: str, message: dict[str, Any]) -> None:
        """Delete it once its event is stored. When it cannot be, the message comes again."""
        name = message["MessageId"]
        try:
            records = s3.notification(message["Body"])
        except (ValueError, RecursionError) as error:
            self._leave(name, error)
            return
        spec = self._spec
        wanted = [each for each in records if s3.wanted(each, spec.bucket, spec.prefix, spec.suffix, spec.events)]
        if wanted:
            received = timestamp(self._site.clock.now())
            event = encoded({"Records": [s3.complete(each, name, received) for each in wanted]})
            try:
                await self._site.enqueue(event)
            except WorldError as error:
                await self._wait(error)
                return
            self._patience.fine("store")
        try:
            await self._call("delete_message", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        except AwsError as error:  # it comes again: at least once
            await asyncio.sleep(self._patience.failed(error, "delete"))
        else:
            self._patience.fine("delete")

    async def _wait(self, error: WorldError) -> None:
        """Our own queue takes no more now: theirs keeps it."""
        await asyncio.sleep(self._patience.failed(error, "store"))

    def _leave(self, name: str, error: Exception) -> None:
        if name not in self._odd:
            if len(self._odd) > 1000:
                self._odd.clear()
            self._odd.add(name)
            what = f"message {name} of queue {self._spec.queue} is no notification of a bucket: {error}"
            self._site.emit("trigger.ignored", f"{what}; it is left there")

    async def _call(self, operation: str, threads: Threads | None = None, /, **arguments: Any) -> dict[str, Any]:
        who = access(self._spec, self._site.environ(), region_of(self._spec.queue))
        return await self._aws.call(who, "sqs", operation, threads, **arguments)
