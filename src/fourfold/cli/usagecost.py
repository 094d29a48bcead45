"""`cost --usage FILE`: what exported hours would cost under every pattern. No daemon is asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fourfold.cli.appname import find_file
from fourfold.cli.options import Options
from fourfold.cli.printing import output
from fourfold.control.costing.pricefile import prices_view, read_prices
from fourfold.control.views import PricedView
from fourfold.cost.comparison import Pattern
from fourfold.cost.estimate import from_usage, under_all
from fourfold.cost.model import Wanted
from fourfold.cost.service import service_cost
from fourfold.cost.usagefile import ServiceUsage, parse_usage
from fourfold.cost.wanted import impossible, of_file
from fourfold.errors import FourfoldError, NotFoundError, UserError
from fourfold.spec.load import load

if TYPE_CHECKING:
    from fourfold.cost.prices import Prices
    from fourfold.cost.results import ServiceCost
    from fourfold.spec.app import App

MOST_BYTES = 64 * 1024 * 1024


def of_usage(options: Options, file: str, service: str | None, prices: str | None, curves: bool) -> PricedView:
    """Raises UserError for files that cannot be read, are wrong, or do not tell enough."""
    price_list = read_prices(Path(prices) if prices is not None else None)
    usages = parse_usage(_read(Path(file)), file)
    if service is not None:
        known = ", ".join(each.service for each in usages)
        usages = [each for each in usages if each.service == service]
        if not usages:
            raise NotFoundError(f"cannot find service {service} in {file}", f"its services are {known}")
    app = _app(options)
    costs = [_cost(each, app, price_list, curves, file) for each in usages]
    return PricedView(prices=prices_view(price_list, prices), services=costs)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise UserError(
                f"cannot read {file}: it has more than {MOST_BYTES:,} bytes", "take fewer hours or services"
            )
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise NotFoundError(f"cannot read {file}: it is not there") from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {file}: it is not UTF-8, at byte {error.start}") from None


def _cost(usage: ServiceUsage, app: App | None, prices: Prices, curves: bool, file: str) -> ServiceCost:
    wanted, why = Wanted(), dict[Pattern, str]()
    if app is not None and (service := app.services.get(usage.service)) is not None:
        wanted, why = of_file(app.services, app.groups)[usage.service], impossible(service)
    known = from_usage(usage.pattern or "process", usage.under_it, wanted)
    if known is None:
        under = f" under {usage.pattern}" if usage.pattern else ""
        raise UserError(
            f"cannot price {usage.service}: no hour of {file}{under} tells both its memory and its CPU",
            "add the columns memory_bytes and cpu_seconds, of all instances together",
        )
    return service_cost(
        usage.service,
        usage.pattern,
        usage.traffic,
        under_all(known),
        wanted,
        prices,
        unavailable=why,
        curves=curves,
    )


def _app(options: Options) -> App | None:
    """Of a service file that is here, for limits and counts; None of one that cannot be read."""
    if (path := find_file(options)) is None:
        return None
    try:
        return load(path, env=options.env, environ=os.environ).app
    except FourfoldError:
        output.say(f"note: {path} is not used, as it is not valid: see `fourfold validate`", options)
        return None
