"""docs/cost.md: its price file is valid, its hours are read, and its tables have the places and columns there are."""

from __future__ import annotations

import re
from pathlib import Path

from fourfold.control.costing.pricefile import NAME, own_text
from fourfold.cost.prices import PLACES, parse_prices
from fourfold.cost.usagefile import COLUMNS, parse_usage

PAGE = (Path(__file__).parents[2] / "docs/cost.md").read_text()


def block(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


def first_column(heading: str) -> set[str]:
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return {name for line in re.findall(r"^\| (`.*?) \|", part, re.MULTILINE) for name in re.findall(r"`(\w+)`", line)}


def test_the_price_file() -> None:
    prices = parse_prices([(NAME, own_text()), ("docs", block("yaml"))])
    assert prices.places.container == "host" and "t3.nano" not in prices.ec2.types


def test_the_hours() -> None:
    (catalog,) = parse_usage(block("csv"), "docs")
    assert catalog.service == "catalog" and len(catalog.traffic.hours) == 2


def test_every_place_and_column() -> None:
    assert first_column("Places") == {*PLACES, "own_hardware"}
    assert first_column("Before anything is moved to Fourfold") == set(COLUMNS)


def test_it_says_of_when_the_prices_are() -> None:
    assert "as of June 2026" in PAGE
    assert set(parse_prices([(NAME, own_text())]).as_of().values()) == {"2026-06"}
