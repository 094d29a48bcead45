"""The price file: the one that comes with Fourfold, and the user's laid over it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fourfold.control.views import PricesView
from fourfold.cost.prices import Prices, parse_prices
from fourfold.errors import NotFoundError, UserError
from fourfold.spec.yaml import yaml

NAME = "prices.yaml"


def own_text() -> str:
    """Of the file that comes with Fourfold."""
    return (files("fourfold.cost") / NAME).read_text("utf-8")


def read_prices(file: Path | None) -> Prices:
    """None: Fourfold's own. UserError when it cannot be read, SpecError when it is wrong. Reads files."""
    texts = [(NAME, own_text())]
    if file is not None:
        texts.append((str(file), read_text(file)))
    return parse_prices(texts)


def read_text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(yaml.MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFoundError(f"cannot read {file}: it is not there") from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    return yaml.decode(data, str(file))


def prices_view(prices: Prices, file: str | None) -> PricesView:
    """`file`: the user's, if there is one."""
    return PricesView(as_of=prices.as_of(), sources=prices.sources(), file=file)
