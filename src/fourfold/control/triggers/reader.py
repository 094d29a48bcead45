"""One shard: fetched, handed to the service in batches, and remembered. `streams` decides, this does it."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from fourfold.control.delivering.invoking import LostError
from fourfold.control.triggers.answers import given_up, outcome_of
from fourfold.control.triggers.aws import AwsError
from fourfold.control.triggers.patience import Patience
from fourfold.control.triggers.shapes.common import function_arn
from fourfold.control.triggers.source import Site
from fourfold.control.triggers.streams import GivenUp, Lane, Outcome, Record, Rules, Shard
from fourfold.errors import ConflictError, FourfoldError, UserError

log = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
"""Between looks at a shard that had nothing, as AWS Lambda does it."""
BUSY_SECONDS = 0.2
"""Between looks at one that had: a shard may be read five times a second."""
LONGEST_SLEEP = 30.0
"""Clocks jump."""
END_SECONDS = 2.0
"""For a batch that is on its way when the trigger ends."""
TOLD_AGAIN_SECONDS = 60.0
"""Between two events about batches that failed."""
EXPIRED = "ExpiredIteratorException"


@dataclass(frozen=True)
class Stream:
    """As it is now. `made`: tells it from another one of the same name."""

    arn: str
    made: str
    keeps: float
    """Seconds."""


@dataclass(frozen=True)
class ShardInfo:
    id: str
    parents: tuple[str, ...] = ()
    """Those that it was split off or merged from: to be read before it."""
    ending: int | None = None
    """The last sequence number that it can have; None: it is open."""


@dataclass(frozen=True)
class Page:
    records: list[Record]
    next: str | None
    """Iterator; None: the shard has ended, and there is no more."""
    at_tip: bool
    """There was nothing more when this was fetched, as far as the stream tells."""


class Api(Protocol):
    """What a kind of stream is asked. Everything raises AwsError."""

    @property
    def kind(self) -> str:
        """kinesis or dynamodb."""
        ...

    @property
    def region(self) -> str: ...

    @property
    def most(self) -> int:
        """Records that one call may ask for."""
        ...

    async def look(self) -> Stream: ...

    async def shards(self, stream: Stream) -> list[ShardInfo]: ...

    async def iterator(self, stream: Stream, shard: str, after: int, since: float) -> str:
        """Behind sequence number `after`; 0: at the first record since `since` (or earlier); 0: the oldest there is."""
        ...

    async def fetch(self, stream: Stream, shard: str, iterator: str, limit: int) -> Page: ...


class Reader:
    def __init__(
        self, site: Site, api: Api, stream: Stream, info: ShardInfo, rules: Rules, partial: bool,
        on_failure: str | None, since: float, patience: Patience,
    ) -> None:  # fmt: skip
        self.info = info
        """Replaced when the stream tells that the shard was closed."""
        self._site = site
        self._api = api
        self._stream = stream
        self._partial = partial
        self._on_failure = on_failure
        self._since = since
        self._patience = patience
        self._told_at = 0.0
        self._key = f"shard:{info.id}"
        self._saved = self._site.state.get(self._key)
        self._shard = Shard(rules, json.loads(self._saved) if self._saved else ())
        self._news = [asyncio.Event() for _ in self._shard.lanes]
        self._freed = asyncio.Event()

    async def run(self) -> None:
        """Until all of the shard was delivered; then its state says so."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fetch())
            for lane, news in zip(self._shard.lanes, self._news, strict=True):
                group.create_task(self._serve(lane, news))
        self._site.state.put(self._key, DONE)

    # -- from the stream ------------------------------------------------------------------------------------------

    async def _fetch(self) -> None:
        iterator: str | None = None
        while not self._shard.closed:
            self._freed.clear()
            if not self._shard.room:
                await self._freed.wait()
                continue
            try:
                fresh = iterator is None
                if iterator is None:
                    iterator = await self._api.iterator(self._stream, self.info.id, self._shard.read, self._since)
                limit = min(self._shard.room, self._api.most)
                page = await self._api.fetch(self._stream, self.info.id, iterator, limit)
            except AwsError as error:
                iterator = None
                if fresh or error.code != EXPIRED:  # an iterator that was not used for five minutes is got again
                    await asyncio.sleep(self._patience.failed(error, self.info.id))
                continue
            self._patience.fine(self.info.id)
            iterator = page.next
            self._take(page)
            if not self._shard.closed:
                await asyncio.sleep(BUSY_SECONDS if page.records else IDLE_SECONDS)

    def _take(self, page: Page) -> None:
        records = page.records
        old = 0
        while old < len(records) and records[old].arrived < self._since:
            old += 1
        if old:
            self._shard.pass_over(records[old - 1].number)
        self._shard.fetched(records[old:], self._site.clock.now())
        self._shard.closed = page.next is None or self._has_ended(page)
        if old:
            self._save()
        self._wake()

    def _has_ended(self, page: Page) -> bool:
        """Some that speak like AWS give an iterator behind the end of a closed shard."""
        ending = self.info.ending
        return ending is not None and (self._shard.read >= ending or (page.at_tip and not page.records))

    # -- to the service -------------------------------------------------------------------------------------------

    async def _serve(self, lane: Lane, news: asyncio.Event) -> None:
        while not self._shard.finished:
            news.clear()
            now = self._site.clock.now()
            step = lane.next(now, self._shard.closed)
            if step is None or isinstance(step, float):
                await _wait(news, None if step is None else min(max(step - now, 0.0), LONGEST_SLEEP))
                continue
            await self._settle(lane, step)

    async def _settle(self, lane: Lane, step: tuple[Record, ...] | GivenUp) -> None:
        """What is on its way when this ends may still arrive: otherwise each deploy would deliver batches twice."""
        work = asyncio.create_task(self._do(step))
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            await asyncio.wait({work}, timeout=END_SECONDS)
            raise
        finally:
            if work.done() and not work.cancelled():
                now, result = self._site.clock.now(), work.result()
                if isinstance(result, Outcome):
                    lane.ended(result, now)
                else:
                    lane.told(result, now)
                self._save()
                self._freed.set()
                self._wake()
            else:
                work.cancel()

    async def _do(self, step: tuple[Record, ...] | GivenUp) -> Outcome | bool:
        return await self._tell(step) if isinstance(step, GivenUp) else await self._deliver(step)

    async def _deliver(self, batch: tuple[Record, ...]) -> Outcome:
        event = b'{"Records":[' + b",".join(record.json for record in batch) + b"]}"
        try:
            outcome = outcome_of(await self._site.deliver(event), batch, self._partial)
        except FourfoldError as error:
            outcome = _undelivered(error)
        if outcome.kind == "failed" or outcome.error:
            self._tell_failure(f"{self._where(batch)} failed: {outcome.reason}")
        return outcome

    def _tell_failure(self, what: str) -> None:
        now = self._site.clock.now()
        if not 0 <= now - self._told_at < TOLD_AGAIN_SECONDS:
            self._told_at = now
            self._site.emit("trigger.batch-failed", what)

    async def _tell(self, gone: GivenUp) -> bool:
        """Whether the failure destination has it, if there is one."""
        words = "older than allowed" if gone.condition == "RecordAgeExceeded" else f"failed {gone.invoked} times"
        what = f"{self._where(gone.records)} given up: {words}"
        if self._on_failure is not None:
            arn = function_arn(self._site.app, self._site.service, self._api.region)
            told = given_up(
                gone, self._api.kind, self.info.id, self._stream.arn, arn, str(uuid.uuid4()), self._site.clock.now()
            )
            try:
                await self._site.tell(self._on_failure, told)
            except FourfoldError as error:
                log.warning("cannot tell %s: %s", self._on_failure, error)
                return False
        self._site.emit("trigger.given-up", what)
        return True

    def _where(self, batch: Sequence[Record]) -> str:
        return f"{len(batch)} records of {self.info.id}, {batch[0].number} to {batch[-1].number}"

    def _save(self) -> None:
        """Only what has changed: each is a commit."""
        checkpoint = json.dumps(self._shard.checkpoint)
        if checkpoint != self._saved:
            self._site.state.put(self._key, checkpoint)
            self._saved = checkpoint

    def _wake(self) -> None:
        for news in self._news:
            news.set()


DONE = '"done"'
"""State of a shard that has ended and was delivered."""


def _undelivered(error: FourfoldError) -> Outcome:
    """Nothing is ready: no retry is used up. One that died of it may have had it: that was a try."""
    if isinstance(error, LostError):
        return Outcome("failed", str(error), error="Unhandled")
    never = isinstance(error, UserError) and not isinstance(error, ConflictError)
    return Outcome("busy", str(error), error="Undeliverable" if never else "")


async def _wait(news: asyncio.Event, seconds: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news.wait()
