"""Streams of DynamoDB tables, as the API of DynamoDB Streams gives them (API version 2012-08-10)."""

from __future__ import annotations

from typing import Any

from fourfold.control.triggers.aws import Aws, AwsError, access, region_of
from fourfold.control.triggers.reader import Page, ShardInfo, Stream
from fourfold.control.triggers.shapes import dynamodb
from fourfold.control.triggers.shapes.common import encoded
from fourfold.control.triggers.source import Site, Source
from fourfold.control.triggers.stream import StreamSource
from fourfold.control.triggers.streams import Record
from fourfold.spec.triggers import DynamoDb

KEPT = 24 * 3600.0
"""By all streams of DynamoDB."""


def source(site: Site, aws: Aws) -> Source:
    spec = site.spec.dynamodb
    assert spec is not None
    return StreamSource(site, DynamoDbApi(site, aws, spec), spec)


class DynamoDbApi:
    kind = "dynamodb"
    most = 1000

    def __init__(self, site: Site, aws: Aws, spec: DynamoDb) -> None:
        self._site = site
        self._aws = aws
        self._spec = spec

    @property
    def region(self) -> str:
        return access(self._spec, self._site.environ(), region_of(self._spec.table)).region

    async def look(self) -> Stream:
        table = self._spec.table
        if "/stream/" in table:
            return Stream(table, table, KEPT)
        told = (await self._call("describe_table", "dynamodb", TableName=table))["Table"]
        if not told.get("StreamSpecification", {}).get("StreamEnabled") or "LatestStreamArn" not in told:
            raise AwsError(
                f"table {table} has no stream: enable one (aws dynamodb update-table --table-name {table} "
                "--stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES)"
            )
        return Stream(told["LatestStreamArn"], told["LatestStreamArn"], KEPT)

    async def shards(self, stream: Stream) -> list[ShardInfo]:
        found: list[ShardInfo] = []
        page: dict[str, Any] = {}
        while True:
            told = (await self._call("describe_stream", StreamArn=stream.arn, **page))["StreamDescription"]
            found += map(_shard, told["Shards"])
            if not told.get("LastEvaluatedShardId"):
                return found
            page = {"ExclusiveStartShardId": told["LastEvaluatedShardId"]}

    async def iterator(self, stream: Stream, shard: str, after: int, since: float) -> str:
        """There is none for a moment here: what is older than `since` is read, and left out by whoever asks."""
        where = {"StreamArn": stream.arn, "ShardId": shard}
        if after:
            try:
                told = await self._call(
                    "get_shard_iterator", **where, ShardIteratorType="AFTER_SEQUENCE_NUMBER", SequenceNumber=str(after)
                )
                return str(told["ShardIterator"])
            except AwsError as error:
                if error.code != "TrimmedDataAccessException":  # it has expired: the oldest comes next
                    raise
        told = await self._call("get_shard_iterator", **where, ShardIteratorType="TRIM_HORIZON")
        return str(told["ShardIterator"])

    async def fetch(self, stream: Stream, shard: str, iterator: str, limit: int) -> Page:
        told = await self._call("get_records", ShardIterator=iterator, Limit=limit)
        region = self.region
        records = [
            Record(
                int(raw["dynamodb"]["SequenceNumber"]),
                dynamodb.key(raw),
                raw["dynamodb"]["ApproximateCreationDateTime"].timestamp(),
                encoded(dynamodb.record(raw, stream.arn, region)),
            )
            for raw in told["Records"]
        ]
        return Page(records, told.get("NextShardIterator"), at_tip=False)

    async def _call(self, operation: str, service: str = "dynamodbstreams", /, **arguments: Any) -> dict[str, Any]:
        who = access(self._spec, self._site.environ(), region_of(self._spec.table))
        return await self._aws.call(who, service, operation, **arguments)


def _shard(told: dict[str, Any]) -> ShardInfo:
    parent = told.get("ParentShardId")
    ending = told.get("SequenceNumberRange", {}).get("EndingSequenceNumber")
    return ShardInfo(told["ShardId"], (parent,) if parent else (), None if ending is None else int(ending))
