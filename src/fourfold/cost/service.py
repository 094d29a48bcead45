"""A service's month under all patterns; a comparison with its money."""

from __future__ import annotations

from collections.abc import Mapping

from fourfold.cost.comparison import PATTERNS, Comparison, Pattern, PatternResult
from fourfold.cost.curves import break_evens, curve
from fourfold.cost.estimate import footprints as footprints_of
from fourfold.cost.model import Footprint, Hour, Traffic, Wanted
from fourfold.cost.monthly import Reckoning, monthly
from fourfold.cost.prices import Prices
from fourfold.cost.results import Measured, ServiceCost
from fourfold.cost.sizes import Bill

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
    release: int | None = None,
    measured: Measured | None = None,
    curves: bool = False,
) -> ServiceCost:
    """Under each pattern that has a footprint; `unavailable`: why it cannot run under others; `release`: that runs now;
    `measured`: where the footprints are from.

    Of what was never asked anything, measured nowhere, there are no break-evens and curves.
    """
    reasons = dict(unavailable or {})
    reckonings = _reckonings(traffic, footprints, wanted, prices, reasons)
    found = tuple(map(monthly, reckonings.values()))
    cloud = {each.pattern: each.monthly_cost for each in found if each.monthly_cost is not None}
    own = {each.pattern: each.own_hardware_monthly_cost for each in found}
    drawn = _rentable(reckonings)
    if not traffic.requests_per_month and not any(each.footprint.measured for each in drawn.values()):
        drawn = {}  # nobody knows what a request takes
    return ServiceCost(
        service=service,
        now=now,
        requests_per_month=traffic.requests_per_month,
        hours=len(traffic.hours),
        release=release,
        measured=measured,
        patterns=found,
        unavailable=reasons,
        cheapest=min(cloud, key=cloud.__getitem__, default=None),
        own_hardware_cheapest=min(own, key=own.__getitem__, default=None),
        break_even=break_evens(drawn),
        curves={pattern: curve(each) for pattern, each in drawn.items()} if curves else {},
    )


def priced(comparison: Comparison, traffic: Traffic | None, wanted: Wanted, prices: Prices) -> Comparison:
    """With monthly costs, costs, requests_per_month and break_even; any it had before are replaced.

    Without traffic, at the rate of its own load, day and night.
    """
    if traffic is None or not traffic.hours:
        traffic = Traffic((Hour(0.0, comparison.load.requests_per_second * SECONDS),))
    reasons: dict[Pattern, str] = {}
    reckonings = _reckonings(traffic, footprints_of(comparison), wanted, prices, reasons)
    results: list[PatternResult] = []
    for result in comparison.patterns:
        costs: dict[str, object] = dict.fromkeys(("monthly_cost", "own_hardware_monthly_cost", "costs"))
        notes = [note for note in result.notes if note != ESTIMATED and not note.startswith(NO_COST)]
        if (reckoning := reckonings.get(result.pattern)) is not None:
            costs["own_hardware_monthly_cost"] = reckoning.on_own_hardware().dollars
            notes += [] if reckoning.footprint.measured else [ESTIMATED]
            if isinstance(bill := reckoning.rentable, Bill):
                costs |= {"monthly_cost": bill.dollars, "costs": curve(reckoning)}
            else:
                notes.append(f"{NO_COST}{bill.what}")
        elif result.pattern in reasons:
            notes.append(f"{NO_COST}{reasons[result.pattern]}")
        results.append(result.model_copy(update={**costs, "notes": tuple(notes)}))
    return comparison.model_copy(
        update={
            "patterns": tuple(results),
            "requests_per_month": traffic.requests_per_month,
            "break_even": break_evens(_rentable(reckonings)),
        }
    )


def _is_for_nobody(traffic: Traffic) -> bool:
    """Nobody asks it anything; known of more than an hour, as what its start took is in the first one."""
    return not traffic.requests_per_month and len(traffic.hours) > 1


def _reckonings(
    traffic: Traffic,
    footprints: Mapping[Pattern, Footprint],
    wanted: Wanted,
    prices: Prices,
    reasons: dict[Pattern, str],
) -> dict[Pattern, Reckoning]:
    """Of the patterns that it can run under; `reasons` gets why it cannot under others."""
    found: dict[Pattern, Reckoning] = {}
    for pattern in PATTERNS:
        if pattern in reasons or pattern not in footprints:
            continue
        if pattern == "function" and _is_for_nobody(traffic) and footprints[pattern].works_unasked:
            reasons[pattern] = "it works without being asked, and a function does nothing until it is asked"
            continue
        found[pattern] = Reckoning(traffic, footprints[pattern], wanted, prices)
    return found


def _rentable(reckonings: Mapping[Pattern, Reckoning]) -> dict[Pattern, Reckoning]:
    """Those with a price in the cloud."""
    return {pattern: each for pattern, each in reckonings.items() if isinstance(each.rentable, Bill)}
