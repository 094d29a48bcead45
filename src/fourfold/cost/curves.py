"""What a service would cost in the cloud over its traffic, and where one pattern becomes cheaper than another.

Traffic keeps its shape over the day and week, and is scaled. Costs of rented sizes rise in steps, so two patterns may
change places more than once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations

from fourfold.cost.comparison import BreakEven, Costs, Pattern
from fourfold.cost.monthly import Reckoning
from fourfold.cost.prices import PLACES

LEAST = 1e3
MOST = 1e9
"""Requests a month, from rare to 380 per second; more where a service has more."""
_PER_DECADE = 6
_SEARCHED_PER_DECADE = 24
_SAME = 1e-9
Dollars = Callable[[float], float]


def curve(reckoning: Reckoning) -> Costs:
    requests = grid(LEAST, _most(reckoning), _PER_DECADE)
    points = tuple((round(each), reckoning.dollars(each)) for each in requests)
    as_of = reckoning.prices.dated(reckoning.place).as_of
    return Costs(place=PLACES[reckoning.place], as_of=as_of, points=points)


def break_evens(reckonings: Mapping[Pattern, Reckoning]) -> tuple[BreakEven, ...]:
    """Of each two patterns. Where they change places often, the first and the last time."""
    costs: dict[Pattern, Dollars] = {pattern: cache(each.dollars) for pattern, each in reckonings.items()}
    most = max(map(_most, reckonings.values()), default=MOST)
    return tuple(
        BreakEven(between=(one, other) if rising else (other, one), requests_per_month=at)
        for one, other in combinations(costs, 2)
        for at, rising in _ends(list(crossings(costs[one], costs[other], grid(1.0, most, _SEARCHED_PER_DECADE))))
    )


def crossings(one: Dollars, other: Dollars, requests: Sequence[float]) -> Iterator[tuple[float, bool]]:
    """(Requests a month, whether `one` is cheaper below) for each change between neighbours in `requests`."""
    known: tuple[float, int] | None = None
    for each in requests:
        sign = _sign(one(each) - other(each), one(each))
        if sign and known and sign != known[1]:
            yield _between(one, other, known[0], each), known[1] < 0
        if sign:
            known = each, sign


def _between(one: Dollars, other: Dollars, low: float, high: float) -> float:
    """By halving: a jump is found as well as a meeting of lines."""
    below = one(low) < other(low)
    for _ in range(60):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if (one(middle) < other(middle)) == below:
            low = middle
        else:
            high = middle
    return high


def _sign(difference: float, scale: float) -> int:
    return 0 if abs(difference) <= _SAME * max(1.0, abs(scale)) else 1 if difference > 0 else -1


def _ends(found: list[tuple[float, bool]]) -> list[tuple[float, bool]]:
    return found if len(found) < 3 else [found[0], found[-1]]


def grid(least: float, most: float, per_decade: int) -> list[float]:
    """Evenly on a logarithmic scale; both ends are in it."""
    steps, at = [least], least
    while (at := least * 10 ** (len(steps) / per_decade)) < most * (1 - _SAME):
        steps.append(at)
    return [*steps, most]


def _most(reckoning: Reckoning) -> float:
    return max(MOST, reckoning.traffic.requests_per_month * 10)
