"""What instances take: from what was measured, and, where nothing was, from what is known of another pattern.

What patterns take beyond a process is what Fourfold's own benches found (README.md, "Measured"): rough, but of the
right order. Whatever is made of it is marked as estimated.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import pairwise
from math import inf

from fourfold.cost.comparison import PATTERNS, Comparison, Latency, Pattern, PatternResult
from fourfold.cost.model import Footprint, Hour, Traffic, Wanted

MIB = 2**20
SECONDS = 3600.0
_CONTAINER_BYTES = 0.5 * MIB
_MACHINE_BYTES = 45 * MIB
"""A kernel and QEMU."""
_MEMBER_SHARE = 0.3
"""Of a process's memory, that one more member takes: 0.13 (Java, Python in one process) to 0.42 (Node.js workers)."""
_EVENT_SECONDS = 0.0005
"""To hand a request to a sandbox."""
_BEST_KNOWN: tuple[Pattern, ...] = ("process", "container", "shared", "vm", "function")
"""What others are estimated from, the best first."""


def footprints(comparison: Comparison) -> dict[Pattern, Footprint]:
    """Of all patterns that were available in it; what was not measured of one is estimated from another."""
    return _footprints(comparison, {result.pattern for result in comparison.patterns if result.available})


def of_all(comparison: Comparison) -> dict[Pattern, Footprint]:
    """Of those too that it was not asked for, estimated; nothing of those for which there are `reasons`."""
    return _footprints(comparison, set(PATTERNS) - reasons(comparison).keys())


def _footprints(comparison: Comparison, wanted: Collection[Pattern]) -> dict[Pattern, Footprint]:
    results = {result.pattern: result for result in comparison.patterns if result.available}
    measured = {pattern: found for pattern, each in results.items() if (found := _measured(each)) is not None}
    known = next((measured[each] for each in _BEST_KNOWN if each in measured), None)
    if known is None:
        return {}
    estimated = under_all(known)
    best = {pattern: measured.get(pattern, estimated[pattern]) for pattern in PATTERNS if pattern in wanted}
    if comparison.machine.accelerator == "tcg" and "vm" in best and known.pattern not in ("vm", "function"):
        # Emulated CPUs are many times slower than those of any machine that can be rented.
        best["vm"] = replace(estimated["vm"], start_seconds=best["vm"].start_seconds)
    if "function" in best:
        # One more sandbox here shares most of its memory with others, and one that is rented has none to share with.
        alone = max(best["function"].memory_bytes, estimated["function"].memory_bytes)
        best["function"] = replace(best["function"], memory_bytes=alone)
    return best


def reasons(comparison: Comparison) -> dict[Pattern, str]:
    """Why patterns were not available in it. That there could not be a second one beside the live service (of its
    port, say) does not mean that it cannot run so."""
    results = (each for each in comparison.patterns if not each.available and not each.live)
    return {each.pattern: each.reason or "not available" for each in results}


def from_usage(pattern: Pattern, traffic: Traffic, wanted: Wanted) -> Footprint | None:
    """Estimated from what its instances took. None: the hours do not tell its memory and CPU.

    All that a job takes is for its runs, also in hours in which none ended. What was seen of a member of a group is
    its own and its part of what all of them have once: of that, one that is alone has the whole.
    """
    job = wanted.job
    hours = [hour for hour in traffic.hours if hour.memory_bytes is not None and hour.cpu_seconds is not None]
    memory = max((_of_one(hour, hour.memory_bytes or 0) for hour in hours), default=0.0)
    if not memory:
        return None
    further = memory
    if pattern == "shared":
        memory /= _MEMBER_SHARE + (1 - _MEMBER_SHARE) / wanted.members
        further = memory * _MEMBER_SHARE
    idle = [hour for hour in hours if not hour.requests and not job]
    stood = sum(1.0 if hour.instances is None else hour.instances for hour in idle) * SECONDS
    background = sum(hour.cpu_seconds or 0 for hour in idle) / stood if stood >= 1.0 else 0.0  # a moment tells nothing
    requests = sum(hour.requests for hour in hours)
    busy = [hour for hour in hours if hour.requests or job]
    used = sum((hour.cpu_seconds or 0) - background * SECONDS * _instances(hour) for hour in busy)
    cpu = max(0.0, used) / requests if requests else 0.0
    waited = _response_seconds(traffic)
    return Footprint(
        pattern=pattern,
        memory_bytes=memory,
        next_memory_bytes=further,
        cpu_seconds_per_request=cpu,
        seconds_per_request=waited if job and waited else max(cpu, waited),
        requests_per_second=1 / cpu if cpu else inf,
        background_cores=background,
        measured=False,
    )


def under_all(known: Footprint) -> dict[Pattern, Footprint]:
    """What it would take under each other pattern, estimated; and itself."""
    process = _as_process(known)
    memory, further = process.memory_bytes, process.next_memory_bytes
    event = process.cpu_seconds_per_request + _EVENT_SECONDS
    found: dict[Pattern, Footprint] = {
        "process": process,
        "shared": replace(process, pattern="shared", next_memory_bytes=memory * _MEMBER_SHARE),
        "container": _more(process, "container", _CONTAINER_BYTES),
        "vm": _more(process, "vm", _MACHINE_BYTES),
        "function": replace(
            process,
            pattern="function",
            next_memory_bytes=further,
            cpu_seconds_per_request=event,
            seconds_per_request=process.seconds_per_request + _EVENT_SECONDS,
            requests_per_second=1 / max(event, process.seconds_per_request),
        ),
    }
    return {**found, known.pattern: known}


def _more(process: Footprint, pattern: Pattern, more: float) -> Footprint:
    memory = process.memory_bytes + more
    return replace(process, pattern=pattern, memory_bytes=memory, next_memory_bytes=process.next_memory_bytes + more)


def _as_process(known: Footprint) -> Footprint:
    less = {"container": _CONTAINER_BYTES, "vm": _MACHINE_BYTES}.get(known.pattern, 0.0)
    memory = max(known.memory_bytes - less, known.memory_bytes / 4)
    further = max(known.next_memory_bytes - less, known.next_memory_bytes / 4)
    if known.pattern in ("shared", "function"):
        further = memory
    return replace(known, pattern="process", memory_bytes=memory, next_memory_bytes=further, measured=False)


def _measured(result: PatternResult) -> Footprint | None:
    memory = result.loaded_memory_bytes or result.idle_memory_bytes
    if memory is None or result.cpu_seconds_per_1000_requests is None:
        return None
    cpu = result.cpu_seconds_per_1000_requests / 1000
    further = result.next_instance_memory_bytes
    return Footprint(
        pattern=result.pattern,
        memory_bytes=float(memory if result.pattern != "function" or further is None else further),
        next_memory_bytes=float(memory if further is None else further),
        cpu_seconds_per_request=cpu,
        seconds_per_request=_mean(result.latency_seconds) if result.latency_seconds else cpu,
        requests_per_second=result.requests_per_second or (1 / cpu if cpu else inf),
        start_seconds=result.start_seconds or 0.0,
    )


def _mean(latency: Latency) -> float:
    """Of the curve's lines; without one, the middle."""
    if len(latency.curve) < 2:
        return latency.p50
    (first, least), (last, _) = latency.curve[0], latency.curve[-1]
    area = first * least + sum((b - a) * (low + high) / 2 for (a, low), (b, high) in pairwise(latency.curve))
    return area / last if last else latency.p50


def _of_one(hour: Hour, of_all: float) -> float:
    return of_all / _instances(hour)


def _instances(hour: Hour) -> float:
    """A share of one where none was there all the hour: of a second at least, as less tells nothing."""
    return 1.0 if hour.instances is None else max(hour.instances, 1 / SECONDS)


def _response_seconds(traffic: Traffic) -> float:
    told = [hour for hour in traffic.hours if hour.response_seconds is not None and hour.requests]
    requests = sum(hour.requests for hour in told)
    return sum((hour.response_seconds or 0) * hour.requests for hour in told) / requests if requests else 0.0
