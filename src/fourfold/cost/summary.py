"""From rounds to a comparison: medians with their ranges, and which figures are too noisy. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import attrgetter
from statistics import median

from fourfold.cost.comparison import PATTERNS, Comparison, Latency, PatternResult, Range
from fourfold.cost.figures import BY_NAME
from fourfold.cost.rounds import Measured, Round, Subject

MOST_OTHER = 0.15
"""Share of the machine's cores that others may take while something is measured."""
MOST_SPREAD = 0.4
"""By this much of their median may rounds differ: beyond it, patterns cannot be told apart by them."""
_MOST_NOISY = 1 / 3
"""Share of all rounds that may be noisy before the whole comparison is."""
_SECONDS = ("start_seconds", "restart_seconds", "cpu_seconds_per_1000_requests", "requests_per_second")
_BYTES = ("idle_memory_bytes", "loaded_memory_bytes")
_PERCENTILES = ("p50", "p95", "p99")
EMULATED = "virtual machines are emulated here: under KVM they start and answer many times faster"


def summary(subject: Subject, measured: Sequence[Measured]) -> Comparison:
    """Patterns in their usual order, whatever order they were measured in; money is not in it yet."""
    cores = subject.machine.cores
    ordered = sorted(measured, key=lambda each: PATTERNS.index(each.pattern))
    return Comparison(
        app=subject.app,
        service=subject.service,
        release=subject.release,
        made_at=subject.made_at,
        quick=subject.quick,
        rounds=max((len(each.rounds) for each in measured), default=0),
        seconds=subject.seconds,
        machine=subject.machine,
        load=subject.load,
        patterns=tuple(_result(each, cores, emulated=subject.machine.accelerator == "tcg") for each in ordered),
        noise=_noise([each for one in measured for each in one.rounds], cores),
    )


def is_noisy(round: Round, cores: int) -> bool:
    """Whether others took too much of the machine meanwhile."""
    return round.other_cores is not None and round.other_cores > MOST_OTHER * cores


def _result(measured: Measured, cores: int, emulated: bool) -> PatternResult:
    used, left_out = _quiet(measured.rounds, cores)
    medians: dict[str, float] = {}
    spread: dict[str, Range] = {}
    for name, values in _columns(used):
        medians[name] = median(values)
        spread[name] = Range(low=min(values), high=max(values), rounds=len(values))
    notes = [*measured.notes, *(note for each in measured.rounds for note in each.notes)]
    if emulated and measured.pattern == "vm" and measured.available:
        notes.insert(0, EMULATED)
    if left_out:
        total = len(measured.rounds)
        notes.append(f"{left_out} of its {total} rounds are left out: others took too much CPU meanwhile")
    return PatternResult(
        pattern=measured.pattern,
        available=measured.available,
        reason=measured.reason,
        live=measured.live,
        build_seconds=measured.build_seconds,
        rebuild_seconds=measured.rebuild_seconds,
        artifact_bytes=measured.artifact_bytes,
        base_bytes=measured.base_bytes,
        cold_start_seconds=measured.cold_start_seconds,
        next_instance_memory_bytes=measured.next_instance_memory_bytes,
        deploy_seconds=measured.deploy_seconds,
        requests_lost_in_deploy=measured.requests_lost_in_deploy,
        **{name: medians.get(name) for name in _SECONDS},
        **{name: round(medians[name]) if name in medians else None for name in _BYTES},
        latency_seconds=_latency([each.latency for each in used if each.latency is not None]),
        requests=sum(each.requests for each in measured.rounds),
        errors=sum(each.errors for each in measured.rounds),
        facts=measured.facts,
        spread=spread,
        too_noisy=tuple(name for name in BY_NAME if name in spread and _differs(name, medians[name], spread[name])),
        notes=tuple(dict.fromkeys(notes)),
    )


def _quiet(rounds: Sequence[Round], cores: int) -> tuple[Sequence[Round], int]:
    """(Those to be used, how many are left out): noisy ones are, while half of all and two are left."""
    quiet = [each for each in rounds if not is_noisy(each, cores)]
    if len(quiet) == len(rounds) or len(quiet) < max(2, len(rounds) / 2):
        return rounds, 0
    return quiet, len(rounds) - len(quiet)


def _columns(rounds: Sequence[Round]) -> Iterable[tuple[str, list[float]]]:
    """Name -> what rounds have of it, if any has."""
    readers: dict[str, Callable[[Round], float | None]] = {name: attrgetter(name) for name in (*_SECONDS, *_BYTES)}
    readers |= {f"latency_seconds.{name}": partial(_percentile, name) for name in _PERCENTILES}
    for name, read in readers.items():
        if values := [float(found) for each in rounds if (found := read(each)) is not None]:
            yield name, values


def _percentile(name: str, of: Round) -> float | None:
    return None if of.latency is None else attrgetter(name)(of.latency)


def _differs(name: str, middle: float, found: Range) -> bool:
    width = found.high - found.low
    return found.rounds > 1 and width > BY_NAME[name].resolution and width > MOST_SPREAD * abs(middle)


def _latency(rounds: Sequence[Latency]) -> Latency | None:
    """Medians; its curve at the shares that all rounds have."""
    if not rounds:
        return None
    curves = [dict(each.curve) for each in rounds]
    shares = sorted(set.intersection(*(set(curve) for curve in curves)))
    return Latency(
        p50=median(each.p50 for each in rounds),
        p95=median(each.p95 for each in rounds),
        p99=median(each.p99 for each in rounds),
        curve=tuple((share, median(curve[share] for curve in curves)) for share in shares),
    )


def _noise(rounds: Sequence[Round], cores: int) -> str | None:
    noisy = [each.other_cores or 0.0 for each in rounds if is_noisy(each, cores)]
    if not noisy or len(noisy) <= len(rounds) * _MOST_NOISY:
        return None
    return (
        f"other programs took {median(noisy):.1f} of {cores} cores in {len(noisy)} of {len(rounds)} rounds: "
        "compare again when this machine has less to do"
    )
