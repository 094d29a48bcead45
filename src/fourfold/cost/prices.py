"""What things cost, in US dollars: list prices of a cloud, as a measure of what runs here."""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.spec.base import Model


@dataclass(frozen=True)
class FunctionPrice:
    """Of AWS Lambda on x86 in us-east-1, first tier, without the free tier.

    Source: https://aws.amazon.com/lambda/pricing/, as of November 2025.
    """

    gb_second: float = 0.0000166667
    """A second with 1 GiB allotted, billed by the millisecond."""
    request: float = 0.0000002


class Prices(Model):
    """A price file."""

    as_of: str


def parse_prices(text: str, name: str) -> Prices:
    """Of a price file's text. SpecError with all that is wrong, and where."""
    raise NotImplementedError
