"""How many instances a load asks for: bounds and samples in, a count and the reason in words out. Pure.

A sample is what all instances of a service did in one interval; in units of what one is to do it is the *need*, in
instances. More come as soon as the need has surely been greater throughout the window `up` (0: in the newest samples),
fewer when it has been smaller throughout `down`. Both windows have to be seen whole, so that nothing follows from what
a daemon that has just started does not know. So does Kubernetes' HorizontalPodAutoscaler (`behavior`,
`stabilizationWindowSeconds`, a tolerance of a tenth), but for one thing: where few requests were counted, their number
says little about the rate, and a need counts only as far as chance does not explain it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, log, sqrt

from fourfold.spec.scaling import TOLERANCE

FACTOR, LEAST_STEP = 2, 4
"""At most so many times as many instances, or so many more, per step; half of them fewer."""
DEVIATIONS = 3.0
"""Standard deviations that chance may explain (a Poisson process: the root of what was counted; of nothing, one)."""
POOLS = (1, 2, 4, 8)
"""How many samples are looked at together, the newest ones."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the service file says."""

    min: int
    max: int
    targets: Mapping[str, float]
    """What one instance is to do: `rps`, `concurrency`, `cpu`."""
    up: float = 0.0
    """Seconds."""
    down: float = 300.0


@dataclass(frozen=True, slots=True)
class Load:
    """Of all instances together, on average over an interval."""

    total: float
    """Requests per second, requests in flight, cores."""
    each: float = 0.0
    """What each of the things adds to it that it was counted from; 0: it was measured, and chance has no part in it."""


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    """When its interval ended."""
    ready: int
    """Instances that served then."""
    loads: Mapping[str, Load] = field(default_factory=dict)
    """What could be seen."""
    fresh: int = 0
    """Instances whose CPU is not in `loads`: they have only just started, or are about to. They are taken for busy when
    there are to be fewer, and for idle when there are to be more."""


@dataclass(frozen=True, slots=True)
class Decision:
    count: int
    reason: str
    """In words: why it is to be another count, or why it stays where it is."""
    asked: int | None = None
    """What the load asks for where bounds or steps are in the way."""


def decide(bounds: Bounds, samples: Sequence[Sample], current: int, now: float) -> Decision:
    """`samples`: oldest first, with one at `now`; `current`: how many there are to be so far.

    The count is within the bounds, and another one only if there is a sample of now that says so.
    """
    if not bounds.min <= current <= bounds.max:
        allowed = min(max(current, bounds.min), bounds.max)
        return Decision(allowed, f"min is {bounds.min}, max is {bounds.max}")
    latest = samples[-1] if samples else None
    if latest is None or latest.at < now:
        return Decision(current, "nothing was measured")
    if latest.ready == 0:
        return Decision(current, "no instance is ready")
    if not bounds.targets.keys() & latest.loads.keys():
        return Decision(current, f"not known: {' and '.join(bounds.targets)}")
    found = _more(bounds, samples, current, now) or _fewer(bounds, samples, current, now)
    return found or Decision(current, max(_needs(bounds, latest), key=_likely).told())


def _more(bounds: Bounds, samples: Sequence[Sample], current: int, now: float) -> Decision | None:
    found = [need for metric in bounds.targets if (need := _surely_more(bounds, metric, samples, current, now))]
    if not found:
        return None
    most = max(found, key=_likely)
    asked = _whole(most.likely)
    count = min(asked, bounds.max, max(FACTOR * current, current + LEAST_STEP))
    why = most.told(f" throughout {_duration(bounds.up)}" if bounds.up else "")
    if count == current:
        return Decision(current, f"{why}; max is {bounds.max}", asked)
    return Decision(count, why, asked if asked > count else None)


def _surely_more(bounds: Bounds, metric: str, samples: Sequence[Sample], current: int, now: float) -> _Need | None:
    """What few requests of one interval cannot tell those of several may; if none of these contradicts."""
    if metric not in samples[-1].loads or not _is_seen(samples, bounds.up, now):
        return None
    pools = [_within(samples, bounds.up, now)] if bounds.up else [samples[-number:] for number in POOLS]
    for pool in pools:
        needs = [need for each in pool for need in _needs(bounds, each) if need.metric == metric]
        whole = _together(needs)
        contradicted = any(need.at_most <= current for need in needs)
        if whole.likely > current * (1 + TOLERANCE) and whole.at_least > current and not contradicted:
            return whole
    return None


def _fewer(bounds: Bounds, samples: Sequence[Sample], current: int, now: float) -> Decision | None:
    """Never while those that serve have all they can do, with others still to come or down: what they answer says
    nothing of what they are asked."""
    latest = samples[-1]
    if current == bounds.min or bounds.targets.keys() - latest.loads.keys() or not _is_seen(samples, bounds.down, now):
        return None
    needs = [need for each in _within(samples, bounds.down, now) for need in _needs(bounds, each, fresh=each.fresh)]
    peaks = [_peak([need for need in needs if need.metric == metric]) for metric in bounds.targets]
    most = max(peaks, key=_likely)
    asked = max(_whole(most.likely), bounds.min)
    if most.likely >= current * (1 - TOLERANCE) or asked >= min(current, latest.ready):
        return None
    count = max(asked, current - max(1, current // 2))
    why = most.told(f" in the last {_duration(bounds.down)}" if bounds.down else "")
    return Decision(count, f"at most {why}", asked if asked < count else None)


@dataclass(frozen=True, slots=True)
class _Need:
    """Of one metric in one sample, in instances."""

    metric: str
    total: float
    target: float
    likely: float
    deviation: float
    """That chance may be expected to make."""

    @property
    def at_least(self) -> float:
        """So many even if chance has added some."""
        return self.likely - DEVIATIONS * self.deviation

    @property
    def at_most(self) -> float:
        """No more even if chance has taken some away."""
        return self.likely + DEVIATIONS * self.deviation

    def told(self, during: str = "") -> str:
        return f"{_WORDS[self.metric].format(_number(self.total))}{during}, {_number(self.target)} for each instance"


_WORDS: Mapping[str, str] = {
    "rps": "{} requests per second",
    "concurrency": "{} requests in flight",
    "cpu": "{} cores in use",
}


def _needs(bounds: Bounds, sample: Sample, fresh: int = 0) -> list[_Need]:
    """One of each metric that is known."""
    found = []
    for metric, target in bounds.targets.items():
        load = sample.loads.get(metric)
        if load is None:
            continue
        likely = load.total / target + (fresh if metric == "cpu" else 0)
        deviation = load.each * sqrt(max(1.0, load.total / load.each)) / target if load.each else 0.0
        found.append(_Need(metric, load.total, target, likely, deviation))
    return found


def _together(needs: Sequence[_Need]) -> _Need:
    """The mean of one metric, of which chance has a smaller part than of each."""
    mean = sum(need.likely for need in needs) / len(needs)
    deviation = sqrt(sum(need.deviation**2 for need in needs)) / len(needs)
    return replace(needs[-1], total=mean * needs[-1].target, likely=mean, deviation=deviation)


def _peak(needs: Sequence[_Need]) -> _Need:
    """The greatest of one metric, less what the greatest of so many has by chance alone; at least their mean.

    The greatest of n normal deviates is some sqrt(2 ln n) - 0.6 deviations above the mean (0.56 of 2, 1.63 of 12, 2.3
    of 60), so that a steady load is not taken for a greater one the longer it is looked at.
    """
    beyond = max(0.0, sqrt(2 * log(len(needs))) - 0.6)
    greatest = max(need.likely - beyond * need.deviation for need in needs)
    likely = max(greatest, sum(need.likely for need in needs) / len(needs))
    return replace(needs[0], total=likely * needs[0].target, likely=likely)


def _likely(need: _Need) -> float:
    return need.likely


def _within(samples: Sequence[Sample], window: float, now: float) -> Sequence[Sample]:
    """The newest one, and all of the window in which somebody served."""
    return [each for each in samples[:-1] if each.at > now - window and each.ready] + [samples[-1]]


def _is_seen(samples: Sequence[Sample], window: float, now: float) -> bool:
    return window == 0 or samples[0].at <= now - window


def _whole(need: float) -> int:
    return ceil(need - _ROUNDING)


def _number(value: float) -> str:
    """`190`, `7.5`, `0.25`."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
