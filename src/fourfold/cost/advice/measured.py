"""What a comparison tells, as facts: only what its rounds agree on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fourfold.cost.advice.model import Known
from fourfold.cost.comparison import Comparison, Pattern, PatternResult

Found = Iterator[tuple[str, Known]]
_GOOD_ENOUGH = 0.001
"""Seconds: what is quicker than this is not told apart by how many times."""


def measured(comparison: Comparison) -> Found:
    results = {each.pattern: each for each in comparison.patterns if each.available}
    yield from _whole(results, comparison)
    yield from _memory(results)
    emulated = comparison.machine.accelerator == "tcg"  # which says nothing of a machine that is not
    yield from _speed({pattern: each for pattern, each in results.items() if not (emulated and pattern == "vm")})
    for pattern, each in results.items():
        if (seconds := _told(each, "start_seconds")) is not None:
            yield f"{pattern}.start", Known(seconds, "measured")
        if each.requests:
            yield f"{pattern}.error_share", Known(each.errors / each.requests, "measured", f"of {each.requests}")
        if each.requests_lost_in_deploy is not None:
            yield f"{pattern}.requests_lost", Known(float(each.requests_lost_in_deploy), "measured")
        if each.facts is not None:
            missing = each.facts.limits_missing
            yield f"{pattern}.unlimited", Known(bool(missing), "measured", _by_reason(missing))
            if each.facts.setuid_files is not None:
                yield f"{pattern}.setuid", Known(float(each.facts.setuid_files), "measured")


def _by_reason(missing: Mapping[str, str]) -> str:
    """`{"memory": "not root", "pids": "not root"}` -> `memory, pids: not root`."""
    reasons = dict.fromkeys(missing.values())
    return "; ".join(f"{', '.join(limit for limit in missing if missing[limit] == why)}: {why}" for why in reasons)


def _told(result: PatternResult, name: str) -> float | None:
    """A field that its rounds agree on."""
    value = getattr(result, name)
    return None if value is None or name in result.too_noisy else float(value)


def _whole(results: Mapping[Pattern, PatternResult], comparison: Comparison) -> Found:
    starts = {pattern: each for pattern, result in results.items() if (each := _told(result, "start_seconds"))}
    slow = starts.get("function") or starts.get("process") or min(starts.values(), default=None)
    if slow is not None:
        as_what = "as a function" if "function" in starts else "as a process" if "process" in starts else "at best"
        yield "starts_in", Known(slow, "measured", as_what)
    memory = [each for result in results.values() if (each := _told(result, "loaded_memory_bytes"))]
    if memory:
        yield "memory", Known(min(memory), "measured")
    looked_into = [result.facts for result in results.values() if result.facts is not None]
    seen = [facts for facts in looked_into if facts.files_written or "files_written" not in facts.unseen]
    written = dict.fromkeys(path for facts in seen for path in facts.files_written)
    if seen:
        yield "writes", Known(bool(written), "measured", ", ".join(list(written)[:3]))
    if comparison.machine.accelerator is not None:
        yield "emulated", Known(comparison.machine.accelerator == "tcg", "measured")


def _memory(results: Mapping[Pattern, PatternResult]) -> Found:
    """Against one more process, which is what everybody knows the price of."""
    process = results.get("process")
    base = _told(process, "next_instance_memory_bytes") if process is not None else None
    if not base:
        return
    for pattern, result in results.items():
        more = _told(result, "next_instance_memory_bytes")
        if more is None or pattern == "process":
            continue
        yield f"{pattern}.memory_more", Known(max(0.0, more - base), "measured")
        yield f"{pattern}.next_share", Known(max(0.0, more / base), "measured")


def _speed(results: Mapping[Pattern, PatternResult]) -> Found:
    latencies = {
        pattern: each.latency_seconds.p99
        for pattern, each in results.items()
        if each.latency_seconds is not None and not {"latency_seconds", "latency_seconds.p99"} & set(each.too_noisy)
    }
    quickest = max(min(latencies.values(), default=0.0), _GOOD_ENOUGH)
    for pattern, seconds in latencies.items():
        yield f"{pattern}.p99", Known(seconds, "measured")
        yield f"{pattern}.p99_ratio", Known(seconds / quickest, "measured")
    taken = {pattern: each for pattern, r in results.items() if (each := _told(r, "cpu_seconds_per_1000_requests"))}
    for pattern, seconds in taken.items():
        yield f"{pattern}.cpu_ratio", Known(seconds / min(taken.values()), "measured")
    rates = {pattern: rate for pattern, each in results.items() if (rate := _told(each, "requests_per_second"))}
    for pattern, rate in rates.items():
        yield f"{pattern}.throughput_share", Known(rate / max(rates.values()), "measured")
