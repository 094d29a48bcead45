"""Who is a bad neighbour, from tables: what guests take, second by second, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fourfold.plan.neighbours import MIB, Bounds, Guest, Host, Look, Verdict, judge, kept, onsets

EVERY, NOW = 5.0, 1000.0
BOUNDS = Bounds()
Course = Callable[[float], Look]
"""Seconds since a guest's start -> what it has taken by then."""


def guest(course: Course, name: str = "bad", age: float = 120.0, room: int | None = None) -> Guest:
    ages = [EVERY * number for number in range(int(age / EVERY) + 1)]
    return Guest(name, tuple(replace(course(each), at=NOW - age + each) for each in ages), room)


def look(cpu: float | None = 0.0, memory: int | None = None, **rest: float) -> Look:
    return Look(0.0, cpu, memory, **rest)  # type: ignore[arg-type]


def idle(age: float) -> Look:
    return look(cpu=0.001 * age, memory=20 * MIB, answered=int(age))


def late(begin: float, age: float) -> float:
    return max(0.0, age - begin)


ROOM = 100 * MIB
CPU: dict[str, tuple[Course, float, str]] = {
    "idle": (idle, 2, ""),
    "spins": (lambda age: look(cpu=age), 2, "spins: 30.0 s of CPU in 30 s, and 0 requests answered"),
    "half a core for nothing": (lambda age: look(cpu=0.6 * age), 2, "spins: 18.0 s of CPU in 30 s"),
    "a third of a core for nothing": (lambda age: look(cpu=0.33 * age), 2, ""),
    "a third, of a group that has no more": (lambda age: look(cpu=0.33 * age), 0.33, "takes 100 % of what its group"),
    "busy, for its clients": (lambda age: look(cpu=0.9 * age, answered=int(50 * age)), 2, ""),
    "takes all there is, for its clients": (
        lambda age: look(cpu=1.9 * age, answered=int(50 * age)),
        2,
        "takes 95 % of what its group may use of the CPU (2 cores), for 30 s now; nothing is left for the others",
    ),
    "spins, but not for long": (lambda age: look(cpu=late(100, age)), 2, ""),
    "spins now and then": (lambda age: look(cpu=age // 20 * 20.0), 2, ""),
    "has spun": (lambda age: look(cpu=min(age, 100)), 2, ""),
    "nobody knows": (lambda age: look(cpu=None), 2, ""),
}
MEMORY: dict[str, tuple[Course, float, int | None, str]] = {
    "as it is": (lambda age: look(memory=90 * MIB), 120, ROOM, ""),
    "leaks fast": (
        lambda age: look(memory=int(20 + 2 * age) * MIB),
        120,
        ROOM,
        "leaks: it has grown from 200 to 240 MiB in 20 s; at this pace no memory is left in 50 s",
    ),
    "leaks, with a collector that tries": (
        lambda age: look(memory=int(20 + 3 * age + 10 * (age % 10)) * MIB),
        120,
        ROOM,
        "leaks",
    ),
    "grows, with room for hours": (lambda age: look(memory=int(20 + 2 * age) * MIB), 120, 10_000 * MIB, ""),
    "grows, and nobody knows the room": (lambda age: look(memory=int(20 + 2 * age) * MIB), 120, None, ""),
    "leaks slowly": (lambda age: look(memory=int((20 + 0.1 * age) * MIB)), 400, ROOM, "leaks: it has grown"),
    "leaks very slowly": (lambda age: look(memory=int((20 + 0.02 * age) * MIB)), 2000, ROOM, "in 20 min"),
    "grows a little": (lambda age: look(memory=int((20 + 0.02 * age) * MIB)), 400, 5 * MIB, ""),
    "warms up": (lambda age: look(memory=int(20 + 4 * min(age, 30)) * MIB), 55, ROOM, ""),
    "fills a cache": (lambda age: look(memory=int(20 + 80 * (1 - 0.9**age)) * MIB), 120, ROOM, ""),
    "up and down": (lambda age: look(memory=int(20 + age % 30) * MIB), 120, ROOM, ""),
    "one step": (lambda age: look(memory=(20 if age < 105 else 100) * MIB), 120, ROOM, ""),
    "nobody knows": (lambda age: look(memory=None), 120, ROOM, ""),
}
STUCK: dict[str, tuple[Course, str]] = {
    "requests hang": (
        lambda age: look(busy=int(late(60, age)), longest=late(60, age)),
        "is stuck: 60 requests wait in it, the oldest for 60 s, and none was answered",
    ),
    "slow, but it answers": (lambda age: look(busy=50, longest=60, answered=int(age)), ""),
    "two streams": (lambda age: look(busy=2, longest=age), ""),
    "many, since a moment ago": (lambda age: look(busy=50, longest=late(100, age)), ""),
}


@pytest.mark.parametrize("case", CPU)
def test_cpu(case: str) -> None:
    course, cores, said = CPU[case]
    check(Host((guest(course), guest(idle, "good")), cores), said, "cpu")


@pytest.mark.parametrize("case", MEMORY)
def test_memory(case: str) -> None:
    course, age, room, said = MEMORY[case]
    check(Host((guest(course, age=age, room=room), guest(idle, "good", room=room)), 2), said, "memory")


@pytest.mark.parametrize("case", STUCK)
def test_stuck(case: str) -> None:
    course, said = STUCK[case]
    check(Host((guest(course), guest(idle, "good")), 2), said, "stuck")


def heap(course: Callable[[float], float]) -> tuple[tuple[float, int], ...]:
    return tuple((NOW - 120 + age, int(course(age) * MIB)) for age in range(0, 121, 5))


HEAPS: dict[str, tuple[Callable[[float], float], str]] = {
    "what survives a collection grows": (
        lambda age: 50 + age + 10 * (age % 10),
        "leaks, it seems: the heap of its group has grown from 140 to 160 MiB in 20 s, and it has allocated 90 % of it",
    ),
    "not collected yet": (lambda age: 50 + age, ""),
    "garbage": (lambda age: 50 + 10 * (age % 10), ""),
}


@pytest.mark.parametrize("case", HEAPS)
def test_a_heap_that_nobody_knows_the_parts_of(case: str) -> None:
    course, said = HEAPS[case]
    guests = (
        guest(lambda age: look(allocated_bytes=int(900 * age))),
        guest(lambda age: look(allocated_bytes=int(100 * age)), "good"),
    )
    check(Host(guests, 2, heap(course), 230 * MIB), said, "memory")


def check(host: Host, said: str, what: str) -> None:
    found = judge(host, NOW, BOUNDS)
    assert [(each.guest, each.what) for each in found] == ([("bad", what)] if said else []), found
    assert not said or said in found[0].said, found[0].said
    assert judge(replace(host, guests=host.guests[:1]), NOW, BOUNDS) == [], "alone it is nobody's neighbour"
    pruned = tuple(replace(each, looks=kept(each.looks, NOW, BOUNDS)) for each in host.guests)
    again = judge(replace(host, guests=pruned), NOW, BOUNDS)
    assert [each.guest for each in again] == [each.guest for each in found], "what is forgotten makes no difference"
    assert sum(len(each.looks) for each in pruned) < 200


def test_the_heaviest_comes_first() -> None:
    guests = (guest(lambda age: look(cpu=0.7 * age), "one"), guest(lambda age: look(cpu=0.8 * age), "two"))
    assert [each.guest for each in judge(Host(guests, 2), NOW, BOUNDS)] == ["two", "one"]


def test_each_onset_is_told_once() -> None:
    spins, leaks = Verdict("a", "cpu", "", 1), Verdict("a", "memory", "", 1)
    told: list[list[Verdict]] = []
    known: dict[tuple[str, object], float] = {}
    for now, verdicts in ((0, [spins]), (5, [spins, leaks]), (20, [spins]), (25, []), (55, [spins]), (90, [spins])):
        known, fresh = onsets(known, verdicts, now, calm=30)  # type: ignore[assignment, arg-type]
        told.append(fresh)
    assert told == [[spins], [leaks], [], [], [spins], [spins]]
