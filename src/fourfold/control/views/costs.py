"""What services took, and what that costs."""

from __future__ import annotations

from pydantic import Field

from fourfold.control.views.base import Request, View
from fourfold.cost.comparison import Pattern
from fourfold.cost.results import ServiceCost


class FunctionCostView(View):
    """What a function took in a month, and what that would cost on AWS Lambda."""

    service: str
    requests: int
    failed: int
    """Of those: ended by an error, a timeout or a crash. They are billed too."""
    billed_ms: int
    gb_seconds: float
    """Seconds billed times GiB allotted."""
    requests_usd: float
    duration_usd: float
    total_usd: float


class PriceText(View):
    """A price file, laid over the one that comes with Fourfold."""

    name: str = Field(max_length=4096)
    text: str = Field(max_length=1024 * 1024)


class CostRequest(Request):
    """What `cost` is asked."""

    service: str | None = None
    """Of that one only."""
    month: str | None = None
    """Of what functions took; null: the present one."""
    curves: bool = False
    """Costs over requests a month too."""
    prices: PriceText | None = None
    """In place of the daemon's own price file."""


class PricesView(View):
    """What money was reckoned with."""

    as_of: dict[str, str]
    """Place -> `2026-06`: since then its prices may have changed."""
    sources: dict[str, str]
    """Place -> the address of its price list, or in words."""
    file: str | None
    """The user's own, laid over those that come with Fourfold."""


class PricedView(View):
    """What services cost in a month, under the pattern that they run under and under all others. US dollars."""

    prices: PricesView
    services: list[ServiceCost]


class CostView(PricedView):
    app: str
    month: str
    """Of `functions`: `2026-11`, by UTC."""
    price_gb_second: float
    """US dollars."""
    price_request: float
    functions: list[FunctionCostView]
    """What they were asked for in the month, to the millisecond."""
    total_usd: float
    """Of `functions`."""


class HourView(View):
    """Of a service under one pattern; what `cost --usage` reads. Of one that is not all known, as if it went on so."""

    hour: str
    """Its beginning."""
    service: str
    pattern: Pattern
    requests: float
    """And events, and runs of a job."""
    cpu_seconds: float | None
    memory_bytes: float | None
    """Mean, of all instances together."""
    response_seconds: float | None
    """Mean of a request; null where there was none."""
    instances: float | None
    """Mean number."""


class UsageView(View):
    app: str
    hours: list[HourView]
    """By service, then by pattern and time; without those in which nothing of it was there."""
