"""The page."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fourfold.cli.printing import formats
from fourfold.cli.printing.money import dollars
from fourfold.cli.report import boundaries, drawings, figures, words
from fourfold.cli.report.charts import marks
from fourfold.cli.report.findings import findings

if TYPE_CHECKING:
    from fourfold.cost.comparison import Comparison, Load


def page(comparison: Comparison) -> str:
    """A whole HTML document: nothing is loaded from anywhere, nothing in it runs."""
    charts = drawings.drawings(comparison)
    results = figures.measured(comparison)
    return (
        _environment()
        .get_template("page.html")
        .render(
            comparison=comparison,
            style=_style(),
            made=f"{formats.moment(comparison.made_at):%d %B %Y, %H:%M} UTC".lstrip("0"),
            results=results,
            absent=[result for result in comparison.patterns if not result.available],
            findings=findings(comparison),
            drawn=[drawing for drawing in charts if drawing.pictures],
            missing=[drawing for drawing in charts if not drawing.pictures] if results else [],
            sections=figures.sections(comparison),
            facts=boundaries.rows(comparison),
            crossings=drawings.crossings(comparison),
            load=_load(comparison.load),
            costs=_costs(comparison),
            noisy=any(result.too_noisy for result in comparison.patterns),
            noted=[result for result in comparison.patterns if result.available and (result.notes or result.reason)],
            accelerator=ACCELERATORS.get(comparison.machine.accelerator or ""),
        )
    )


SOURCES = {
    "described": "as asked for on the command line",
    "file": "requests from a file",
    "recorded": "requests recorded from the live service",
    "default": "nothing was known of its traffic, so one path was asked",
}
ACCELERATORS = {
    "kvm": "virtual machines under KVM",
    "tcg": "virtual machines are emulated, many times slower",
}


def _load(load: Load) -> str:
    if not load.distinct_requests:
        return "nothing was asked, as it has no port"
    rate = words.brief(words.number(load.requests_per_second))
    long = words.brief(words.seconds(load.duration_seconds))
    different = words.count(load.distinct_requests, "distinct request")
    return f"{rate} requests a second for {long} a round; {SOURCES[load.source]} ({different})"


def _costs(comparison: Comparison) -> str | None:
    """What the costs a month are for, and how old the prices are. None: there are none."""
    priced = [result.costs for result in comparison.patterns if result.costs is not None]
    dates: dict[str, list[str]] = {}
    for costs in priced:
        if costs.as_of and costs.place not in dates.setdefault(costs.as_of, []):
            dates[costs.as_of].append(costs.place)
    parts = [f"prices of {words.listed(places)} as of {date}" for date, places in dates.items()]
    if comparison.requests_per_month:
        parts.insert(0, f"for {words.amount(comparison.requests_per_month)} requests a month")
    return "; ".join(parts) or None


@cache
def _style() -> Markup:
    """Written by us, and without a `<`: it may stand in the page as it is."""
    return Markup(files(__package__).joinpath("templates", "page.css").read_text())


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fourfold.cli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"seconds": words.seconds, "size": words.size, "money": dollars, "listed": words.listed}
    environment.globals |= {"swatch": marks.swatch, "count": words.count}
    return environment
