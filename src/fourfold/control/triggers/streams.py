"""What happens next with the records of one shard of a stream: pure, so that it can be tried in all its turns.

A shard has one lane or, with `parallel`, several; a record's key decides its lane, and a lane has at most one batch on
its way. So records of one key come in their order, each at least once. A lane's batch stays until the service has taken
it, or until it is given up by the rules and that was told. Only then does the checkpoint pass it.

The rules are those of AWS Lambda's event source mappings (Developer Guide, "Configuring partial batch response",
"Bisect", "Retry attempts", "Maximum record age").
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

PAYLOAD = 6 * 1024 * 1024
FRAME = len(b'{"Records":[]}')
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Before a batch is tried again: doubled each time."""
BUFFERED_BYTES = 2 * PAYLOAD
"""Of one shard, before no more are fetched."""

Condition = Literal["RetryAttemptsExhausted", "RecordAgeExceeded"]
"""Why a batch was given up, in AWS's words."""


@dataclass(frozen=True)
class Rules:
    batch: int = 100
    window: float = 0.0
    parallel: int = 1
    retries: int | None = None
    """None: until a record expires in its stream."""
    max_age: float | None = None
    bisect: bool = False
    expires: float = 86_400.0
    """How long the stream keeps its records."""
    payload: int = PAYLOAD
    """Bytes of an event, at most; a single larger record goes alone, and it is the service's to refuse it."""


@dataclass(frozen=True, slots=True)
class Record:
    number: int
    """Its sequence number: greater for a later one, compared as integers (they differ in length)."""
    key: str
    """Records with the same one are in order."""
    arrived: float
    json: bytes
    """As the event has it."""


@dataclass(frozen=True)
class Outcome:
    """What became of a batch. `busy`: it did not reach the service, so that it is no retry that comes next."""

    kind: Literal["done", "failed", "busy"]
    reason: str = ""
    failed_at: int | None = None
    """The lowest sequence number that failed; those before it are done. None: the whole batch failed."""
    error: str = ""
    """`Unhandled`, `Handled`."""
    version: str = "$LATEST"


@dataclass(frozen=True)
class GivenUp:
    """A batch that goes to the failure destination, and nowhere else any more."""

    records: tuple[Record, ...]
    condition: Condition
    invoked: int
    """How often the service had it."""
    last: Outcome | None


@dataclass(frozen=True)
class Piece:
    """A batch, or what is left of one."""

    records: tuple[Record, ...]
    attempts: int = 0
    """That failed and count as retries."""
    invoked: int = 0
    refused: int = 0
    """In a row: busy, or the failure destination was."""
    due: float = 0.0
    condition: Condition | None = None
    last: Outcome | None = None


def wait_before(again: int) -> float:
    """`again`: 1 for the first time."""
    return float(min(FIRST_WAIT * 2 ** min(again - 1, 30), LONGEST_WAIT))


@dataclass
class Lane:
    rules: Rules
    done: int = 0
    """This lane's records up to this sequence number are finished."""
    waiting: deque[tuple[Record, float]] = field(default_factory=deque)
    """With the time at which each was fetched."""
    pieces: list[Piece] = field(default_factory=list)
    """In order; the first one is on its way when `busy`."""
    busy: bool = False

    @property
    def idle(self) -> bool:
        return not self.pieces and not self.waiting

    def next(self, now: float, closed: bool) -> tuple[Record, ...] | GivenUp | float | None:
        """What to do: deliver these, tell of that, ask again at that time, or nothing before more records come.

        After the first two, `ended` or `told` has to follow.
        """
        if self.busy:
            return None
        if not self.pieces and not self._form(now, closed):
            return self.waiting[0][1] + self.rules.window if self.waiting else None
        self._leave_old(now)
        piece = self.pieces[0]
        if now < piece.due <= now + LONGEST_WAIT:  # later than that: the clock was set back
            return piece.due
        self.busy = True
        if piece.condition is not None:
            return GivenUp(piece.records, piece.condition, piece.invoked, piece.last)
        return piece.records

    def ended(self, outcome: Outcome, now: float) -> None:
        """What `next` gave was delivered, or not."""
        self.busy = False
        piece = self.pieces[0]
        if outcome.kind == "done":
            self._finish()
        elif outcome.kind == "busy":
            refused = piece.refused + 1
            self.pieces[0] = replace(piece, refused=refused, due=now + wait_before(refused), last=outcome)
        else:
            self._failed(replace(piece, invoked=piece.invoked + 1, refused=0, last=outcome), outcome, now)

    def told(self, stored: bool, now: float) -> None:
        """Of a batch that was given up; it is told again when nobody could take that."""
        self.busy = False
        if stored:
            self._finish()
        else:
            refused = self.pieces[0].refused + 1
            self.pieces[0] = replace(self.pieces[0], refused=refused, due=now + wait_before(refused))

    def _finish(self) -> None:
        self.done = self.pieces.pop(0).records[-1].number

    def _failed(self, piece: Piece, outcome: Outcome, now: float) -> None:
        records = piece.records
        cut = next((place for place, each in enumerate(records) if each.number == outcome.failed_at), 0)
        if cut:
            self.done = records[cut - 1].number
            piece = replace(piece, records=records[cut:])
        if self.rules.bisect and (cut or len(records) > 1):
            half = 0 if cut else len(records) // 2  # a partial answer has told where to divide it
            parts = (piece.records[:half], piece.records[half:])
            self.pieces[:1] = [replace(piece, records=part, due=now) for part in parts if part]
            return
        attempts = piece.attempts + 1
        if self.rules.retries is not None and attempts > self.rules.retries:
            self.pieces[0] = replace(piece, attempts=attempts, due=now, condition="RetryAttemptsExhausted")
        else:
            self.pieces[0] = replace(piece, attempts=attempts, due=now + wait_before(attempts))

    def _leave_old(self, now: float) -> None:
        """What became too old is given up apart from what did not. A record expires only after it was tried."""
        piece = self.pieces[0]
        if piece.condition is not None:
            return
        limit = self.rules.max_age
        if piece.last is not None:
            limit = min(self.rules.expires, self.rules.expires if limit is None else limit)
        if limit is None:
            return
        old = 0
        while old < len(piece.records) and now - piece.records[old].arrived > limit:
            old += 1
        if old:
            gone = replace(piece, records=piece.records[:old], condition="RecordAgeExceeded", due=now)
            rest = [replace(piece, records=piece.records[old:])] if old < len(piece.records) else []
            self.pieces[:1] = [gone, *rest]

    def _form(self, now: float, closed: bool) -> bool:
        """Whether there is a batch now: full, or waited for long enough."""
        if not self.waiting:
            return False
        size, count = FRAME, 0
        full = False
        for record, _ in self.waiting:
            size += len(record.json) + 1
            if full := count == self.rules.batch or (size > self.rules.payload and count > 0):
                break
            count += 1
        full = full or count == self.rules.batch
        if not (full or closed) and 0 <= now - self.waiting[0][1] < self.rules.window:
            return False
        self.pieces.append(Piece(tuple(self.waiting.popleft()[0] for _ in range(count))))
        return True


class Shard:
    """One shard's records between its stream and the service."""

    def __init__(self, rules: Rules, done: Sequence[int] = ()) -> None:
        """`done`: what `checkpoint` gave; nothing for a shard that is new."""
        self.rules = rules
        if len(done) != rules.parallel:  # the lanes of today are not those of then
            done = [min(done, default=0)] * rules.parallel
        self.lanes = [Lane(rules, each) for each in done]
        self.read = min(done)
        """Records up to this sequence number were fetched, or need not be."""
        self.closed = False
        """Nothing comes after what was fetched."""

    @property
    def checkpoint(self) -> list[int]:
        """Per lane: the sequence number up to which nothing has to be fetched again."""
        return [max(lane.done, self.read) if lane.idle else lane.done for lane in self.lanes]

    @property
    def finished(self) -> bool:
        return self.closed and all(lane.idle for lane in self.lanes)

    @property
    def room(self) -> int:
        """How many more records it takes now."""
        records = [each for lane in self.lanes for each, _ in lane.waiting]
        if sum(len(each.json) for each in records) >= BUFFERED_BYTES:
            return 0
        return max(0, 2 * self.rules.batch * self.rules.parallel - len(records))

    def fetched(self, records: Iterable[Record], now: float) -> None:
        """In the order of their sequence numbers. Those that a lane is done with, or has, are left out."""
        for lane, done in zip(self.lanes, self.checkpoint, strict=True):
            lane.done = done
        for record in records:
            if record.number <= self.read:
                continue
            self.read = record.number
            lane = self.lanes[zlib.crc32(record.key.encode()) % len(self.lanes)]
            if record.number > lane.done:
                lane.waiting.append((record, now))

    def pass_over(self, number: int) -> None:
        """Records up to this one are not for the service."""
        for lane, done in zip(self.lanes, self.checkpoint, strict=True):
            lane.done = done
        self.read = max(self.read, number)
