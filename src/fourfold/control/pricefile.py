"""The price file: the user's, or the one that comes with Fourfold."""

from __future__ import annotations

from pathlib import Path

from fourfold.cost.prices import Prices


def read_prices(file: Path | None) -> Prices:
    """None: Fourfold's own. UserError when it cannot be read, SpecError when it is wrong."""
    raise NotImplementedError
