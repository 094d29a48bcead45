"""Each turn that a shard can take; and all of them together, in any order, over deaths of the daemon."""

from __future__ import annotations

import zlib
from random import Random
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.control.delivering.jobs import LARGEST_EVENT
from fourfold.control.triggers.stream import rules_of
from fourfold.control.triggers.streams import PAYLOAD, GivenUp, Lane, Outcome, Record, Rules, Shard
from fourfold.spec.triggers import Kinesis

DONE = Outcome("done")
FAILED = Outcome("failed", "boom")
BUSY = Outcome("busy", "nothing ready")


def records(*numbers: int, arrived: float = 0.0, size: int = 10) -> list[Record]:
    return [Record(number, "k", arrived, b"x" * size) for number in numbers]


def shard(*numbers: int, now: float = 0.0, **rules: object) -> tuple[Shard, Lane]:
    made = Shard(Rules(**rules))  # type: ignore[arg-type]
    made.fetched(records(*numbers), now)
    return made, made.lanes[0]


def batch_of(lane: Lane, now: float = 0.0, closed: bool = False) -> list[int]:
    batch = lane.next(now, closed)
    assert isinstance(batch, tuple), batch
    return [record.number for record in batch]


def given_up(lane: Lane, now: float = 0.0) -> tuple[list[int], str]:
    told = lane.next(now, False)
    assert isinstance(told, GivenUp), told
    return [record.number for record in told.records], told.condition


def test_batches_by_count_one_at_a_time() -> None:
    _, lane = shard(1, 2, 3, batch=2)
    assert batch_of(lane) == [1, 2]
    assert lane.next(0, False) is None
    lane.ended(DONE, 0)
    assert batch_of(lane) == [3]


def test_batches_by_size() -> None:
    made = Shard(Rules(batch=10))
    made.fetched(records(1, 2, 3, size=PAYLOAD // 2 - 100) + records(4, size=PAYLOAD + 1), 0)
    lane = made.lanes[0]
    for expected in ([1, 2], [3], [4]):
        assert batch_of(lane) == expected
        lane.ended(DONE, 0)
    assert made.checkpoint == [4]


def test_batches_of_a_job_fit_into_an_environment() -> None:
    made = Shard(rules_of(Kinesis(stream="s"), 1, job=True))
    made.fetched(records(1, 2, 3, size=LARGEST_EVENT // 2 - 100), 0)
    assert batch_of(made.lanes[0]) == [1, 2]


def test_a_window_is_waited_for_unless_the_batch_is_full_or_the_shard_closed() -> None:
    made, lane = shard(1, 2, batch=3, window=5)
    assert lane.next(0, False) == 5
    made.fetched(records(3), 2)
    assert batch_of(lane, 2) == [1, 2, 3]
    _, lane = shard(1, batch=3, window=5)
    assert batch_of(lane, 5) == [1]
    _, lane = shard(1, batch=3, window=5)
    assert batch_of(lane, 0, closed=True) == [1]


def test_nothing_waits_for_a_clock_that_was_set_back() -> None:
    _, lane = shard(1, now=7200.0, batch=3, window=5)
    assert batch_of(lane, 3.0) == [1]
    lane.ended(FAILED, 7200.0)
    assert batch_of(lane, 3.0) == [1]


def test_sequence_numbers_are_integers() -> None:
    made, lane = shard(9, 10)
    lane.next(0, False)
    lane.ended(Outcome("failed", failed_at=10), 0)
    assert made.checkpoint == [9]
    assert batch_of(lane, 1) == [10]


def test_a_failed_batch_is_tried_again_with_growing_waits_and_holds_the_others() -> None:
    made, lane = shard(1, 2, batch=1)
    now, waits = 0.0, []
    for _ in range(8):
        assert batch_of(lane, now) == [1]
        lane.ended(FAILED, now)
        again = lane.next(now, False)
        assert isinstance(again, float)
        waits.append(again - now)
        now = again
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert made.checkpoint == [0]


def test_retries_are_used_up_by_failures_alone() -> None:
    made, lane = shard(1, 2, retries=1)
    for outcome, now in ((FAILED, 0), (BUSY, 10), (BUSY, 20), (FAILED, 30)):
        assert batch_of(lane, now) == [1, 2]
        lane.ended(outcome, now)
    assert given_up(lane, 40) == ([1, 2], "RetryAttemptsExhausted")
    lane.told(False, 40)
    assert made.checkpoint == [0]
    assert given_up(lane, 50)[0] == [1, 2]
    lane.told(True, 50)
    assert made.checkpoint == [2]


def test_a_partial_answer_is_retried_from_the_lowest_that_failed() -> None:
    made, lane = shard(1, 2, 3, 4, retries=5)
    batch_of(lane)
    lane.ended(Outcome("failed", failed_at=3), 0)
    assert made.checkpoint == [2]
    assert batch_of(lane, 1) == [3, 4]


def test_bisecting_uses_no_retry_until_one_record_is_left() -> None:
    made, lane = shard(1, 2, 3, 4, retries=0, bisect=True)
    tried = []
    while not lane.idle:
        step = lane.next(0, False)
        if isinstance(step, GivenUp):
            assert [record.number for record in step.records] == [3]
            lane.told(True, 0)
            continue
        assert isinstance(step, tuple)
        numbers = [record.number for record in step]
        tried.append(numbers)
        lane.ended(FAILED if 3 in numbers else DONE, 0)
    assert tried == [[1, 2, 3, 4], [1, 2], [3, 4], [3], [4]]
    assert made.checkpoint == [4]


def test_bisecting_where_a_partial_answer_says() -> None:
    _, lane = shard(1, 2, 3, 4, retries=0, bisect=True)
    batch_of(lane)
    lane.ended(Outcome("failed", failed_at=2), 0)
    assert batch_of(lane) == [2, 3, 4]


def test_too_old_records_are_given_up_apart_from_the_others() -> None:
    made = Shard(Rules(max_age=60))
    made.fetched(records(1, 2, arrived=0) + records(3, arrived=50), 100)
    lane = made.lanes[0]
    assert given_up(lane, 100) == ([1, 2], "RecordAgeExceeded")
    lane.told(True, 100)
    assert batch_of(lane, 100) == [3]


def test_without_a_bound_a_batch_is_tried_until_it_expires() -> None:
    _, lane = shard(1, expires=100)
    assert batch_of(lane, 500) == [1]  # old, but never tried
    lane.ended(FAILED, 500)
    assert given_up(lane, 500) == ([1], "RecordAgeExceeded")


def test_lanes_by_key_and_a_checkpoint_that_holds_for_each() -> None:
    made = Shard(Rules(parallel=3))
    keys = {zlib.crc32(str(key).encode()) % 3: str(key) for key in range(20)}
    made.fetched([Record(number, keys[number % 3], 0, b"") for number in range(1, 10)], 0)
    for lane in made.lanes[1:]:
        assert len(batch_of(lane)) == 3
        lane.ended(DONE, 0)
    assert made.checkpoint == [0, 9, 9]
    again = Shard(Rules(parallel=3), made.checkpoint)
    assert again.read == 0
    again.fetched([Record(number, keys[number % 3], 0, b"") for number in range(1, 10)], 0)
    assert [lane.idle for lane in again.lanes] == [False, True, True]
    fewer = Shard(Rules(parallel=2), [4, 9, 9])
    assert fewer.checkpoint == [4, 4]


def test_room_is_bounded_by_count_and_bytes() -> None:
    made, _ = shard(1, batch=2)
    assert made.room == 3
    made.fetched(records(2, size=2 * PAYLOAD), 0)
    assert made.room == 0


def test_a_closed_shard_is_finished_when_all_is_delivered() -> None:
    made, lane = shard(1)
    made.closed = True
    assert not made.finished
    batch_of(lane)
    lane.ended(DONE, 0)
    assert made.finished


class World:
    """A stream, a shard that is read, a service that does as it is told, and the checkpoint that survives."""

    def __init__(self, rules: Rules, keys: list[int], pick: Random) -> None:
        self.rules = rules
        self.pick = pick
        self.stream = [Record(number, f"key-{key}", float(number), b"12345678") for number, key in enumerate(keys, 1)]
        self.settled: set[int] = set()
        """Answered for, or told to the failure destination."""
        self.lost: set[int] = set()
        self.now = 0.0
        self.saved = [0]
        self.shard = Shard(rules)

    def die(self) -> None:
        self.shard = Shard(self.rules, self.saved)

    def wait(self) -> None:
        self.now += self.pick.choice([0.5, 5.0, 70.0])

    def fetch(self) -> None:
        after = [record for record in self.stream if record.number > self.shard.read]
        if room := min(self.shard.room, 4):
            self.shard.fetched(after[:room], self.now)
            self.shard.closed = len(after) <= room

    def turn(self, kind: str) -> None:
        for lane in self.pick.sample(self.shard.lanes, len(self.shard.lanes)):
            step = lane.next(self.now, self.shard.closed)
            if isinstance(step, GivenUp):
                self.lost |= set() if kind == "untold" else {record.number for record in step.records}
                lane.told(kind != "untold", self.now)
            elif isinstance(step, tuple):
                self.deliver(lane, step, kind)
            self.settled |= self.lost
        checkpoint = self.shard.checkpoint
        assert all(new >= old for new, old in zip(checkpoint, self.saved, strict=False))
        self.saved = checkpoint

    def deliver(self, lane: Lane, batch: tuple[Record, ...], kind: str) -> None:
        numbers = {record.number for record in batch}
        assert len(numbers) <= self.rules.batch
        last = {record.key: record.number for record in batch}
        before = {each.number for each in self.stream if each.number < last.get(each.key, 0)}
        assert before <= self.settled | numbers  # nothing overtakes, of its key, what is neither done nor given up
        failed_at = self.pick.choice(sorted(numbers)) if kind == "partial" else None
        if kind in ("done", "untold"):
            self.settled |= numbers
        elif failed_at is not None:
            self.settled |= {each for each in numbers if each < failed_at}
        how: Literal["done", "failed", "busy"] = "failed"
        if kind in ("done", "untold", "busy"):
            how = "busy" if kind == "busy" else "done"
        lane.ended(Outcome(how, failed_at=failed_at), self.now)


RULES = st.builds(
    Rules,
    batch=st.integers(1, 5),
    window=st.sampled_from([0.0, 3.0]),
    parallel=st.integers(1, 3),
    retries=st.sampled_from([None, 0, 1, 3]),
    max_age=st.sampled_from([None, 60.0]),
    bisect=st.booleans(),
)
STEPS = st.lists(st.sampled_from(["done", "failed", "partial", "busy", "untold", "die", "wait", "fetch"]), max_size=60)


@settings(max_examples=300, deadline=None)
@given(rules=RULES, keys=st.lists(st.integers(0, 4), max_size=25), steps=STEPS, seed=st.integers(0, 9))
def test_every_record_at_least_once_in_order_of_its_key(
    rules: Rules, keys: list[int], steps: list[str], seed: int
) -> None:
    world = World(rules, keys, Random(seed))
    for step in steps:
        if step in ("die", "wait", "fetch"):
            getattr(world, step)()
        else:
            world.turn(step)
    for _ in range(1000):
        if world.shard.finished:
            break
        world.fetch()
        world.turn("done")
        world.now += 5.0
    assert world.shard.finished
    assert world.settled == {record.number for record in world.stream}
    assert not world.lost or rules.retries is not None or rules.max_age is not None
