"""A trigger that reads a stream: which of its shards are read now, parents before children."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

from fourfold.control.delivering.jobs import LARGEST_EVENT
from fourfold.control.triggers.patience import Patience
from fourfold.control.triggers.reader import DONE, Api, Reader, ShardInfo, Stream
from fourfold.control.triggers.source import Site
from fourfold.control.triggers.streams import PAYLOAD, Rules
from fourfold.spec.triggers import DynamoDb, Kinesis

DISCOVERY_SECONDS = 10.0
"""Between looks for new shards, unless one has just ended."""
SKEW_SECONDS = 2.0
"""`latest` means this long before the trigger was first started: clocks differ, and what is put in just after a deploy
is not to be missed."""


def rules_of(spec: Kinesis | DynamoDb, keeps: float, job: bool) -> Rules:
    """`job`: the service is one, which gets an event in its environment."""
    payload = LARGEST_EVENT - 1 if job else PAYLOAD
    return Rules(spec.batch, spec.window, spec.parallel, spec.retries, spec.max_age, spec.bisect, keeps, payload)


def startable(listed: Iterable[ShardInfo], done: Collection[str], running: Collection[str]) -> list[ShardInfo]:
    """Shards all of whose parents are done, or are not there any more."""
    shards = {shard.id: shard for shard in listed}
    return [
        shard
        for name, shard in shards.items()
        if name not in done and name not in running and all(p in done or p not in shards for p in shard.parents)
    ]


class StreamSource:
    def __init__(self, site: Site, api: Api, spec: Kinesis | DynamoDb) -> None:
        name = spec.stream if isinstance(spec, Kinesis) else spec.table
        self._site = site
        self._api = api
        self._spec = spec
        self._patience = Patience(site.emit, f"{api.kind} {name}")
        self._readers: dict[str, tuple[Reader, asyncio.Task[None]]] = {}
        self._news = asyncio.Event()

    async def run(self) -> None:
        self._remember_start()
        while True:
            stream = await self._patience.until_done(self._api.look)
            self._recognise(stream)
            try:
                async with asyncio.TaskGroup() as group:
                    await self._follow(stream, group)
            except ExceptionGroup as failures:
                raise _first(failures) from failures
            finally:
                self._readers.clear()

    def _remember_start(self) -> None:
        if self._site.state.get("since") is None:
            from_oldest = self._spec.start == "trim-horizon"
            since = 0.0 if from_oldest else self._site.clock.now() - SKEW_SECONDS
            self._site.state.put("since", repr(since))

    def _recognise(self, stream: Stream) -> None:
        """A stream that was made anew has other records under the same numbers: all of them are for the service."""
        state = self._site.state
        known = state.get("stream")
        if known == stream.made:
            return
        if known is not None:
            for key in state.all():
                if key.startswith("shard:"):
                    state.remove(key)
            state.put("since", "0.0")
        state.put("stream", stream.made)

    async def _follow(self, stream: Stream, group: asyncio.TaskGroup) -> None:
        """Until it is another one."""
        while True:
            self._news.clear()
            listed = await self._patience.until_done(lambda: self._api.shards(stream))
            self._start_readers(stream, listed, group)
            try:
                async with asyncio.timeout(DISCOVERY_SECONDS):
                    await self._news.wait()
                    continue  # one has ended: its children may be waiting
            except TimeoutError:
                pass
            if (await self._patience.until_done(self._api.look)).made != stream.made:
                for _, task in self._readers.values():
                    task.cancel()
                return

    def _start_readers(self, stream: Stream, listed: list[ShardInfo], group: asyncio.TaskGroup) -> None:
        states = self._site.state.all()
        done = {key.removeprefix("shard:") for key, value in states.items() if value == DONE}
        there = {shard.id: shard for shard in listed}
        for name in [name for name in self._readers if name not in there]:
            self._readers.pop(name)[1].cancel()  # all of it has expired
        for key in states:
            if there and key.startswith("shard:") and key.removeprefix("shard:") not in there:
                self._site.state.remove(key)
        for name, (reader, _) in self._readers.items():
            reader.info = there[name]
        for shard in startable(listed, done, self._readers):
            rules = rules_of(self._spec, stream.keeps, self._site.of.job is not None)
            reader = Reader(
                self._site, self._api, stream, shard, rules, self._spec.partial, self._spec.on_failure,
                float(states["since"]), self._patience,
            )  # fmt: skip
            task = group.create_task(reader.run())
            self._readers[shard.id] = (reader, task)
            task.add_done_callback(lambda ended, name=shard.id: self._ended(name, ended))  # type: ignore[misc]

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        if name in self._readers and self._readers[name][1] is task:
            del self._readers[name]
        self._patience.fine(name)
        self._news.set()


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    found: Exception = failures
    while isinstance(found, ExceptionGroup):
        found = found.exceptions[0]
    return found
