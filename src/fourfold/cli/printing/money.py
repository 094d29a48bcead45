"""What services cost under all patterns, as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fourfold.cli.printing import formats

if TYPE_CHECKING:
    from fourfold.control.views import FunctionCostView, PricesView
    from fourfold.cost.comparison import BreakEven, Pattern
    from fourfold.cost.results import Monthly, ServiceCost

NUMBERS = frozenset({"INSTANCES", "A MONTH", "USED", "MEMORY NEEDED", "OWN HARDWARE"})
CHEAPEST, OTHERS = "+", " "
"""Behind the sum: places of one column, as `compare` marks what is best."""
FUNCTION_NUMBERS = frozenset({"REQUESTS", "FAILED", "BILLED", "GB-SECONDS", "FOR REQUESTS", "FOR DURATION", "TOTAL"})
_HOURS_PER_DAY = 24


def service(cost: ServiceCost) -> list[str]:
    """A heading, the table of its patterns, where they change places, and what must be known to read it."""
    rows = [_row(each, cost) for each in cost.patterns]
    lines = [heading(cost), *(formats.table(_HEADER, rows, NUMBERS) if rows else ())]
    lines += [f"{pattern}: {reason}" for pattern, reason in cost.unavailable.items()]
    lines += [f"{each.pattern}: {note}" for each in cost.patterns for note in each.notes]
    return [*lines, *break_evens(cost.break_even), *_measured(cost)]


def heading(cost: ServiceCost) -> str:
    under = f", runs as {cost.now}" if cost.now else ""
    if not cost.hours:
        return f"{cost.service}{under}: no traffic is known yet"
    little = ", which says little about a month" if cost.hours < _HOURS_PER_DAY else ""
    requests = f"{rounded(cost.requests_per_month)} requests a month"
    return f"{cost.service}{under}: {requests}, by {_span(cost.hours)} of traffic{little}"


def _measured(cost: ServiceCost) -> list[str]:
    """Why what was measured may no longer hold, or never did."""
    if (by := cost.measured) is None:
        return []
    day, again = by.made_at.partition("T")[0], f"`fourfold compare {cost.service}` measures it again"
    old = f"measured of release {by.release}, {day}; release {cost.release} runs now: {again}"
    noisy = f"the comparison of {day} that these figures are from was noisy: {by.noise}"
    return [*([old] if by.release != cost.release else ()), *([noisy] if by.noise else ())]


_HEADER = ("PATTERN", "WHERE", "SIZE", "INSTANCES", "A MONTH", "USED", "MEMORY NEEDED", "OWN HARDWARE", "")


def _row(each: Monthly, cost: ServiceCost) -> tuple[str, ...]:
    return (
        each.pattern,
        each.place,
        each.size or "-",
        _instances(each.instances_mean, each.instances_peak),
        _sum(each.monthly_cost, each, cost.cheapest),
        _percent(each.capacity_used),
        _percent(each.memory_needed),
        _sum(each.own_hardware_monthly_cost, each, cost.own_hardware_cheapest),
        "now" if each.pattern == cost.now else "",
    )


def _instances(mean: float, peak: int) -> str:
    if 0 < mean < 0.01:
        return f"<0.01, at most {peak}"
    told = f"{mean:.2g}" if mean < 10 else f"{mean:.0f}"
    return told if float(told) == peak else f"{told}, at most {peak}"


def _sum(amount: float | None, each: Monthly, cheapest: Pattern | None) -> str:
    if amount is None:
        return f"-{OTHERS}"
    mark = CHEAPEST if each.pattern == cheapest else OTHERS
    return f"{'~' if each.estimated else ''}{dollars(amount)} {mark}"


def break_evens(found: Sequence[BreakEven]) -> list[str]:
    """A line for each two patterns."""
    pairs: dict[frozenset[str], list[BreakEven]] = {}
    for each in found:
        pairs.setdefault(frozenset(each.between), []).append(each)
    return [_changes(first=each[0], last=each[-1]) for each in pairs.values()]


def _changes(first: BreakEven, last: BreakEven) -> str:
    one, other = first.between
    at, until = rounded(first.requests_per_month), rounded(last.requests_per_month)
    if first is last:
        return f"{one} is cheaper below {at} requests a month, {other} above"
    if last.between == first.between:
        return f"{one} is cheaper below {at} requests a month, {other} above {until}; in between now one, now the other"
    return f"{one} is cheaper below {at} and above {until} requests a month, {other} in between"


def total(costs: Sequence[ServiceCost]) -> str | None:
    """Of several services: as they run, and each at its cheapest."""
    priced = [cost for cost in costs if cost.patterns]
    if len(priced) < 2:
        return None
    runs = [_both([each for each in cost.patterns if each.pattern == cost.now]) for cost in priced]
    least = [_both(cost.patterns) for cost in priced]
    unknown = ", ".join(cost.service for cost in costs if not cost.patterns)
    whole = f"all but {unknown}" if unknown else "all"
    found = [(said, _added(sums)) for said, sums in ((f"{whole} as they run", runs), ("each at its cheapest", least))]
    return "; ".join(f"{said}: {sums}" for said, sums in found if sums is not None) or None


def _both(patterns: Sequence[Monthly]) -> tuple[float | None, float | None]:
    """The least in the cloud, and on own hardware."""
    cloud = [each.monthly_cost for each in patterns if each.monthly_cost is not None]
    return min(cloud, default=None), min((each.own_hardware_monthly_cost for each in patterns), default=None)


def _added(sums: Sequence[tuple[float | None, float | None]]) -> str | None:
    """None: one of them is not known at either place."""
    columns = zip(("a month in the cloud", "on own hardware"), zip(*sums, strict=True), strict=True)
    told = [
        f"{dollars(sum(each for each in column if each is not None))} {where}"
        for where, column in columns
        if None not in column
    ]
    return ", ".join(told) or None


def curves(cost: ServiceCost) -> list[str]:
    """In the cloud: a column for each pattern, two rows for each power of ten."""
    patterns: list[Pattern] = list(cost.curves)
    points = [cost.curves[pattern].points for pattern in patterns]
    shown = [index for index in range(len(points[0])) if index % 3 == 0] if points else []
    rows = [(rounded(points[0][at][0]), *(dollars(each[at][1]) for each in points)) for at in shown]
    header = ("REQUESTS A MONTH", *(pattern.upper() for pattern in patterns))
    return [f"{cost.service}, dollars a month in the cloud:", *formats.table(header, rows, frozenset(header))]


def functions(bills: Sequence[FunctionCostView], total_usd: float) -> list[str]:
    """What functions took, to the millisecond."""
    header = ("FUNCTION", "REQUESTS", "FAILED", "BILLED", "GB-SECONDS", "FOR REQUESTS", "FOR DURATION", "TOTAL")
    rows = [_bill(each) for each in bills]
    if len(rows) > 1:
        rows.append(("", "", "", "", "", "", "", exact_dollars(total_usd)))
    return formats.table(header, rows, FUNCTION_NUMBERS)


def _bill(each: FunctionCostView) -> tuple[str, ...]:
    return (
        each.service,
        str(each.requests),
        str(each.failed),
        formats.seconds(each.billed_ms / 1000),
        f"{each.gb_seconds:.3f}",
        exact_dollars(each.requests_usd),
        exact_dollars(each.duration_usd),
        exact_dollars(each.total_usd),
    )


def prices(view: PricesView) -> str:
    """`prices: EC2 host, EC2, Fargate, Lambda as of 2026-06; own hardware an example of 2026-06`."""
    dated: dict[str, list[str]] = {}
    for place, date in view.as_of.items():
        of = "an example of" if view.sources.get(place) == "example" else "as of"
        dated.setdefault(f"{of} {date}", []).append(place)
    said = "; ".join(f"{', '.join(places)} {date}" for date, places in dated.items())
    return f"prices: {said}" + (f"; with {view.file} over them" if view.file else "")


def rounded(count: float) -> str:
    """Three digits: `53,000`, `5.26 million`."""
    for limit, unit in ((1e9, " billion"), (1e6, " million")):
        if count >= limit * 0.9995:
            return f"{count / limit:.3g}{unit}"
    return f"{float(f'{count:.3g}'):,.0f}"


def dollars(amount: float) -> str:
    """Cents; where that is nothing, two digits."""
    if amount >= 999.995:
        return f"${amount:,.0f}"
    return f"${amount:.2f}" if amount >= 0.0995 or amount < 1e-9 else f"${amount:.2g}" if amount >= 1e-4 else "<$0.0001"


def exact_dollars(amount: float) -> str:
    """Invocations cost little: as many places as it takes to see them."""
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.8f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}" if share >= 0.01 or share == 0 else "<1%"


def _span(hours: int) -> str:
    return formats.count(hours, "hour") if hours < 2 * _HOURS_PER_DAY else f"{hours // _HOURS_PER_DAY} days"
