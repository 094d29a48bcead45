"""What only a stream of the test's own can be told: iterators that expire, shards that merge, a stream made anew."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fourfold.control.triggers import reader, stream
from fourfold.control.triggers.aws import AwsError
from fourfold.control.triggers.reader import Page, ShardInfo, Stream
from fourfold.control.triggers.stream import StreamSource, startable
from fourfold.control.triggers.streams import Record
from fourfold.functions.model import Answer
from fourfold.spec.triggers import Kinesis
from tests.control.triggers.rig import Rig, running, until


@dataclass
class Fake:
    """Shard -> (parents, numbers of its records); `closed`: has no more than those."""

    there: dict[str, tuple[tuple[str, ...], list[int]]]
    closed: set[str] = field(default_factory=set)
    made: str = "1"
    expire: int = 0
    """Of the next calls for records, so many find their iterator expired."""
    asked: list[tuple[str, int, float]] = field(default_factory=list)
    kind: str = "kinesis"
    region: str = "us-east-1"
    most: int = 2

    async def look(self) -> Stream:
        return Stream("arn:stream", self.made, 86_400)

    async def shards(self, stream: Stream) -> list[ShardInfo]:
        return [ShardInfo(name, parents) for name, (parents, _) in self.there.items()]

    async def iterator(self, stream: Stream, shard: str, after: int, since: float) -> str:
        self.asked.append((shard, after, since))
        return str(after)

    async def fetch(self, stream: Stream, shard: str, iterator: str, limit: int) -> Page:
        if self.expire and iterator != "0":
            self.expire -= 1
            raise AwsError("expired", reader.EXPIRED)
        if shard not in self.there:
            raise AwsError("no such shard", "ResourceNotFoundException")
        numbers = [number for number in self.there[shard][1] if number > int(iterator)]
        page = [Record(number, "k", 1e10, b'{"n": "%s %d"}' % (shard.encode(), number)) for number in numbers[:limit]]
        last = page[-1].number if page else int(iterator)
        ended = shard in self.closed and len(numbers) <= limit
        return Page(page, None if ended else str(last), at_tip=len(numbers) <= limit)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "DISCOVERY_SECONDS", 0.1)
    monkeypatch.setattr(reader, "IDLE_SECONDS", 0.02)
    monkeypatch.setattr(reader, "BUSY_SECONDS", 0.02)


def source(rig: Rig, fake: Fake, **options: object) -> StreamSource:
    site = rig.site(kinesis={"stream": "s", "start": "trim-horizon", **options})
    assert isinstance(site.spec.kinesis, Kinesis)
    return StreamSource(site, fake, site.spec.kinesis)


def told(rig: Rig) -> list[str]:
    return [record["n"] for record in rig.records]


def test_shards_start_after_their_parents() -> None:
    listed = [ShardInfo("a"), ShardInfo("b", ("a",)), ShardInfo("c", ("gone",)), ShardInfo("d", ("b", "c"))]
    assert [each.id for each in startable(listed, done=set(), running={"c"})] == ["a"]
    assert [each.id for each in startable(listed, done={"a"}, running={"c"})] == ["b"]
    assert [each.id for each in startable(listed, done={"a", "b", "c"}, running=())] == ["d"]


def test_merged_shards_come_before_what_they_were_merged_into(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {})
    fake = Fake({"a": ((), [1, 2, 3]), "b": ((), [1]), "c": (("a", "b"), [9, 10])}, closed={"a", "b"})

    async def go() -> None:
        async with running(source(rig, fake, batch=1)):
            await until(lambda: len(rig.records) == 6)
            del fake.there["a"], fake.there["b"]
            fake.there["c"][1].append(11)
            await until(lambda: len(rig.records) == 7)
            await until(lambda: set(rig.site(kinesis={"stream": "s"}).state.all()) == {"since", "stream", "shard:c"})

    asyncio.run(go())
    assert told(rig)[4:] == ["c 9", "c 10", "c 11"]
    assert rig.kinds == []


def test_an_iterator_that_expired_is_got_again_where_it_was(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {})
    fake = Fake({"a": ((), [1, 2])})

    async def go() -> None:
        async with running(source(rig, fake)):
            await until(lambda: len(rig.records) == 2)
            fake.expire = 1
            await until(lambda: len(fake.asked) == 2)
            fake.there["a"][1].append(3)
            await until(lambda: len(rig.records) == 3)

    asyncio.run(go())
    assert fake.asked == [("a", 0, 0.0), ("a", 2, 0.0)]
    assert told(rig) == ["a 1", "a 2", "a 3"]
    assert rig.kinds == []


def test_a_stream_made_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {})
    fake = Fake({"a": ((), [1, 2])})

    async def go() -> None:
        async with running(source(rig, fake)):
            await until(lambda: len(rig.records) == 2)
            fake.made, fake.there = "2", {"a": ((), [1])}
            await until(lambda: len(rig.records) == 3)

    asyncio.run(go())
    assert told(rig) == ["a 1", "a 2", "a 1"]


def test_a_batch_that_fails_holds_up_its_own_shard_and_key_only(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {})
    fake = Fake({"a": ((), [1, 2]), "b": ((), list(range(1, 8)))})
    rig.answer = lambda event: Answer(200, b"", "Unhandled" if event["Records"][0]["n"].startswith("a") else "")

    async def go() -> None:
        async with running(source(rig, fake, batch=1)):
            await until(lambda: [each for each in told(rig) if each.startswith("b")] == [f"b {n}" for n in range(1, 8)])
            assert set(told(rig)) >= {"a 1"} and "a 2" not in told(rig)

    asyncio.run(go())
