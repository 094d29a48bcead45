"""A service's month under all patterns; a comparison with its money."""

from __future__ import annotations

from collections.abc import Mapping

from fourfold.cost.comparison import PATTERNS, Comparison, Pattern, PatternResult
from fourfold.cost.curves import break_evens, curve
from fourfold.cost.estimate import footprints as footprints_of
from fourfold.cost.model import Footprint, Hour, Traffic, Wanted
from fourfold.cost.monthly import Reckoning, monthly
from fourfold.cost.prices import Prices
from fourfold.cost.results import ServiceCost
from fourfold.cost.sizes import NoSize

SECONDS = 3600.0
ESTIMATED = "its cost is made of estimated figures, for what cannot be measured here"
NO_COST = "no monthly cost: "


def service_cost(
    service: str,
    now: Pattern | None,
    traffic: Traffic,
    footprints: Mapping[Pattern, Footprint],
    wanted: Wanted,
    prices: Prices,
    *,
    unavailable: Mapping[Pattern, str] | None = None,
    curves: bool = False,
) -> ServiceCost:
    """Under each pattern that has a footprint; `unavailable`: why it cannot run under others.

    Of what was never asked anything, measured nowhere, there are no break-evens and curves.
    """
    reasons = dict(unavailable or {})
    reckonings = _reckonings(traffic, footprints, wanted, prices, reasons)
    found = tuple(monthly(traffic, each.footprint, wanted, prices) for each in reckonings.values())
    cheapest = min(found, key=lambda each: each.dollars, default=None)
    if not traffic.requests_per_month and not any(each.footprint.measured for each in reckonings.values()):
        reckonings = {}  # nobody knows what a request takes
    return ServiceCost(
        service=service,
        now=now,
        requests_per_month=traffic.requests_per_month,
        hours=len(traffic.hours),
        patterns=found,
        unavailable=reasons,
        cheapest=cheapest and cheapest.pattern,
        break_even=break_evens(reckonings),
        curves={pattern: curve(each) for pattern, each in reckonings.items()} if curves else {},
    )


def priced(comparison: Comparison, traffic: Traffic | None, wanted: Wanted, prices: Prices) -> Comparison:
    """With monthly_cost, costs, requests_per_month and break_even; any it had before are replaced.

    Without traffic, at the rate of its own load, day and night.
    """
    if traffic is None or not traffic.hours:
        traffic = Traffic((Hour(0.0, comparison.load.requests_per_second * SECONDS),))
    reasons: dict[Pattern, str] = {}
    reckonings = _reckonings(traffic, footprints_of(comparison), wanted, prices, reasons)
    results: list[PatternResult] = []
    for result in comparison.patterns:
        if (reckoning := reckonings.get(result.pattern)) is not None:
            notes: tuple[str, ...] = () if reckoning.footprint.measured else (ESTIMATED,)
            costs: dict[str, object] = {"monthly_cost": reckoning.bill().dollars, "costs": curve(reckoning)}
        else:
            notes = (f"{NO_COST}{reasons[result.pattern]}",) if result.pattern in reasons else ()
            costs = {"monthly_cost": None, "costs": None}
        kept = tuple(note for note in result.notes if note != ESTIMATED and not note.startswith(NO_COST))
        results.append(result.model_copy(update={**costs, "notes": (*kept, *notes)}))
    return comparison.model_copy(
        update={
            "patterns": tuple(results),
            "requests_per_month": traffic.requests_per_month,
            "break_even": break_evens(reckonings),
        }
    )


def _reckonings(
    traffic: Traffic,
    footprints: Mapping[Pattern, Footprint],
    wanted: Wanted,
    prices: Prices,
    reasons: dict[Pattern, str],
) -> dict[Pattern, Reckoning]:
    """Of the patterns that have a price; `reasons` gets why others have none."""
    found: dict[Pattern, Reckoning] = {}
    for pattern in PATTERNS:
        if pattern in reasons or pattern not in footprints:
            continue
        if pattern == "function" and not traffic.requests_per_month and footprints[pattern].works_unasked:
            reasons[pattern] = "it works without being asked, and a function does nothing until it is asked"
            continue
        reckoning = Reckoning(traffic, footprints[pattern], wanted, prices)
        try:
            reckoning.bill()
        except NoSize as none:
            reasons[pattern] = none.what
        else:
            found[pattern] = reckoning
    return found
