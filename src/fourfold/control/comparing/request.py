"""What a comparison is asked for."""

from __future__ import annotations

from pydantic import Field

from fourfold.control.views import Request
from fourfold.cost.comparison import PATTERNS, Pattern


class CompareRequest(Request):
    """Run the release that a service is on under several patterns, one beside the other, and measure each."""

    patterns: list[Pattern] = Field(default=[], description="Under which; empty is under all")
    quick: bool = Field(default=False, description="Fewer and shorter rounds: less sure")
    requests: str | None = Field(
        default=None, max_length=4 * 1024 * 1024, description="Lines `GET /path`, or JSON objects: what to ask it"
    )
    requests_per_second: float | None = Field(default=None, gt=0, le=100_000, allow_inf_nan=False)
    duration_seconds: float | None = Field(
        default=None, ge=1, le=600, allow_inf_nan=False, description="Of each round's load"
    )
    actor: str = Field(default="", max_length=200)

    @property
    def wanted(self) -> tuple[Pattern, ...]:
        """Each once, in their usual order."""
        return tuple(each for each in PATTERNS if not self.patterns or each in self.patterns)
