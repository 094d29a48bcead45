"""What instances took and answered since they were last looked at, by hour of their services. Pure.

Counters start again: of CPU with each run of an instance, of requests never (`gateway.served.Served.ever`). Marks say
up to where they were counted; they are stored with the hours, so that nothing is counted twice, or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from fourfold.gateway.model import InstanceStats
from fourfold.store.model import UsageHour, UsageMark
from fourfold.store.tables.usage import HOUR, KEEP_HOURS

Key = tuple[str, str, str]
"""(app, service, pattern)."""


@dataclass(frozen=True)
class Part:
    """Of what is summed in `UsageHour`."""

    requests: int = 0
    errors: int = 0
    response_seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_byte_seconds: float = 0.0
    instance_seconds: float = 0.0

    def __add__(self, other: Part) -> Part:
        return Part(**{name: getattr(self, name) + getattr(other, name) for name in _NAMES})


_NAMES = tuple(each.name for each in fields(Part))


@dataclass(frozen=True)
class Seen:
    """One instance that runs."""

    instance: str
    app: str
    service: str
    pattern: str
    run: int
    since: float
    """When this run of it was started."""
    host: str | None = None
    is_host: bool = False
    """What it takes is put down to its guests, not to itself."""
    cpu_seconds: float | None = None
    """Since its start; None: nobody can tell."""
    memory_bytes: int | None = None


@dataclass
class Reckoned:
    """What is to be stored."""

    marks: dict[str, UsageMark] = field(default_factory=dict)
    """All that are to be kept: those that were there and are not in here are to go."""
    hours: list[UsageHour] = field(default_factory=list)


def begun(seen: Seen, before: UsageMark | None) -> UsageMark:
    """Of a run of which nothing has been counted; `before`: of an earlier one."""
    requests, errors = (before.requests, before.errors) if before is not None else (0, 0)
    return UsageMark(
        seen.instance, seen.app, seen.service, seen.pattern, seen.host, seen.run,
        seen.since, 0.0, seen.memory_bytes or 0, requests, errors,
    )  # fmt: skip


def taken(mark: UsageMark, at: float, cpu_seconds: float | None, memory_bytes: int | None) -> tuple[UsageMark, Part]:
    """Since `mark`. What is None is as it was."""
    elapsed = max(0.0, at - mark.at)
    cpu = mark.cpu_seconds if cpu_seconds is None else cpu_seconds
    memory = mark.memory_bytes if memory_bytes is None else memory_bytes
    part = Part(
        cpu_seconds=max(0.0, cpu - mark.cpu_seconds),  # without groups it shrinks with a process that nobody waits for
        memory_byte_seconds=(mark.memory_bytes + memory) / 2 * elapsed,
        instance_seconds=elapsed,
    )
    return replace(mark, at=at, cpu_seconds=cpu, memory_bytes=memory), part


def answered(mark: UsageMark, stats: InstanceStats) -> tuple[UsageMark, Part]:
    """Since `mark`, by what the gateway has counted of an instance in all."""
    requests, errors = max(0, stats.requests - mark.requests), max(0, stats.errors_5xx - mark.errors)
    part = Part(requests, min(errors, requests), requests * stats.response_seconds)
    return replace(mark, requests=stats.requests, errors=stats.errors_5xx), part


def shared_out(whole: Part, parts: Sequence[Part]) -> list[Part]:
    """What a host takes beyond what is known of its guests is theirs in equal shares."""
    known = sum(parts, Part())
    cpu = max(0.0, whole.cpu_seconds - known.cpu_seconds) / len(parts)
    memory = max(0.0, whole.memory_byte_seconds - known.memory_byte_seconds) / len(parts)
    return [each + Part(cpu_seconds=cpu, memory_byte_seconds=memory) for each in parts]


def in_hours(key: Key, part: Part, start: float, end: float) -> Iterator[UsageHour]:
    """Evenly over the time from `start` to `end`; whole requests, none lost by rounding."""
    if part == Part():
        return
    app, service, pattern = key
    start = max(min(start, end), end - KEEP_HOURS * HOUR)
    done = Part()
    for hour in range(int(start // HOUR) * HOUR, int(end // HOUR) * HOUR + 1, HOUR):
        until = min(float(hour + HOUR), end)
        share = 1.0 if until >= end else (until - start) / (end - start)
        upto = Part(
            round(part.requests * share),
            round(part.errors * share),
            *(getattr(part, name) * share for name in _NAMES[2:]),
        )
        here = {name: getattr(upto, name) - getattr(done, name) for name in _NAMES}
        done = upto
        if any(here.values()):
            yield UsageHour(app, service, hour, pattern, **here)
        if until >= end:
            return


def reckon(
    at: float,
    marks: Mapping[str, UsageMark],
    seen: Iterable[Seen],
    served: Mapping[str, InstanceStats],
    there: Collection[str],
) -> Reckoned:
    """One look at everything at the time `at`.

    `marks`: after the look before. `served`: see `Gateway.answered`. `there`: instances that are not gone for good,
    for one that ended may come back under the same name, and those that the gateway may still tell more of.
    """
    begin: dict[str, UsageMark] = {}
    after = {name: replace(mark, ended=True) for name, mark in marks.items()}
    parts: dict[str, Part] = dict.fromkeys(marks, Part())
    hosts: dict[str, Part] = {}
    for each in seen:
        mark = marks.get(each.instance)
        if mark is None or mark.run != each.run:
            mark = begun(each, mark)
        elif mark.ended:
            continue  # it ended after it was looked at
        begin[each.instance] = mark
        after[each.instance], part = taken(mark, at, each.cpu_seconds, each.memory_bytes)
        parts[each.instance] = Part() if each.is_host else part
        if each.is_host:
            hosts[each.instance] = part
    for host, part in hosts.items():
        put_down(begin[host], part, after, parts)
    found = Reckoned()
    for name, mark in after.items():
        part = parts[name]
        if name in served and mark.pattern != "function" and name not in hosts:  # functions keep journals
            after[name], told = answered(mark, served[name])
            part += told
        start = begin[name].at if name in begin else mark.at
        found.hours += in_hours((mark.app, mark.service, mark.pattern), part, min(start, at), at)
        if name in begin or name in there:
            found.marks[name] = after[name]
    return found


def put_down(host: UsageMark, part: Part, marks: Mapping[str, UsageMark], parts: dict[str, Part]) -> None:
    """What a host took since `host` to those that were its guests in that time."""
    guests = [name for name, mark in marks.items() if mark.host == host.instance and mark.at >= host.at]
    if guests:
        shares = shared_out(part, [parts.get(name, Part()) for name in guests])
        parts |= dict(zip(guests, shares, strict=True))
