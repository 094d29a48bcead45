"""Kinesis streams, as the API of Kinesis Data Streams gives them (API version 2013-12-02)."""

from __future__ import annotations

from typing import Any

from fourfold.control.triggers.aws import Aws, access, region_of
from fourfold.control.triggers.reader import Page, ShardInfo, Stream
from fourfold.control.triggers.shapes import kinesis
from fourfold.control.triggers.shapes.common import encoded
from fourfold.control.triggers.source import Site, Source
from fourfold.control.triggers.stream import StreamSource
from fourfold.control.triggers.streams import Record
from fourfold.spec.triggers import Kinesis

HOUR = 3600.0


def source(site: Site, aws: Aws) -> Source:
    spec = site.spec.kinesis
    assert spec is not None
    return StreamSource(site, KinesisApi(site, aws, spec), spec)


class KinesisApi:
    kind = "kinesis"
    most = 10_000

    def __init__(self, site: Site, aws: Aws, spec: Kinesis) -> None:
        self._site = site
        self._aws = aws
        self._spec = spec
        arn = region_of(spec.stream)
        self._named = {"StreamARN" if arn else "StreamName": spec.stream}

    @property
    def region(self) -> str:
        return access(self._spec, self._site.environ(), region_of(self._spec.stream)).region

    async def look(self) -> Stream:
        told = (await self._call("describe_stream_summary", **self._named))["StreamDescriptionSummary"]
        arn, made = told["StreamARN"], told["StreamCreationTimestamp"]
        return Stream(arn, f"{arn} {made.timestamp():.3f}", told["RetentionPeriodHours"] * HOUR)

    async def shards(self, stream: Stream) -> list[ShardInfo]:
        found: list[ShardInfo] = []
        page: dict[str, Any] = dict(self._named)
        while True:
            told = await self._call("list_shards", **page)
            found += map(_shard, told["Shards"])
            if not told.get("NextToken"):
                return found
            page = {"NextToken": told["NextToken"]}

    async def iterator(self, stream: Stream, shard: str, after: int, since: float) -> str:
        where: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        if after:
            where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": str(after)}
        elif since:
            where = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": since}
        told = await self._call("get_shard_iterator", ShardId=shard, **self._named, **where)
        return str(told["ShardIterator"])

    async def fetch(self, stream: Stream, shard: str, iterator: str, limit: int) -> Page:
        by_arn = {name: value for name, value in self._named.items() if name == "StreamARN"}
        told = await self._call("get_records", ShardIterator=iterator, Limit=limit, **by_arn)
        region = self.region
        records = [
            Record(
                int(raw["SequenceNumber"]),
                raw["PartitionKey"],
                raw["ApproximateArrivalTimestamp"].timestamp(),
                encoded(kinesis.record(raw, shard, stream.arn, region)),
            )
            for raw in told["Records"]
        ]
        return Page(records, told.get("NextShardIterator"), not told.get("MillisBehindLatest"))

    async def _call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        who = access(self._spec, self._site.environ(), region_of(self._spec.stream))
        return await self._aws.call(who, "kinesis", operation, **arguments)


def _shard(told: dict[str, Any]) -> ShardInfo:
    parents = (told.get("ParentShardId"), told.get("AdjacentParentShardId"))
    ending = told["SequenceNumberRange"].get("EndingSequenceNumber")
    return ShardInfo(told["ShardId"], tuple(each for each in parents if each), None if ending is None else int(ending))
