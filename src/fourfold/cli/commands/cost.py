"""`fourfold cost`: what services cost in a month, under the pattern that they run under and under all others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fourfold.cli.parameters import Argument, Option
from fourfold.cli.printing import formats, output
from fourfold.cli.session import Session
from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.cli.options import Options
    from fourfold.control.views import CostView, PricedView


def command(
    ctx: click.Context,
    service: Annotated[str | None, Argument(metavar="SERVICE")] = None,
    usage: Annotated[
        str | None,
        Option("--usage", metavar="FILE", help="Of the hours in it (CSV, JSON). No daemon."),
    ] = None,
    prices: Annotated[str | None, Option("--prices", metavar="FILE", help="Laid over Fourfold's prices.")] = None,
    export: Annotated[
        str | None,
        Option("--export", metavar="FILE", help="Write what --usage reads; `-`: print it."),
    ] = None,
    curve: Annotated[bool, Option("--curve", help="Costs over requests a month too.")] = False,
    month: Annotated[
        str | None,
        Option("--month", metavar="YYYY-MM", help="Of what functions took, by UTC."),
    ] = None,
) -> None:
    """Show what services cost in a month, as they run and under all other patterns.

    Made of the traffic of each hour and of what `fourfold compare` measured, at list prices of AWS, and beside that as
    a share of own hardware; and what functions took in a month.
    """
    session = Session.of(ctx)
    if usage is not None and month is not None:
        raise UserError("cannot take --month with --usage: the file says which hours it is about")
    if export is not None:
        if usage or prices or curve or month:
            raise UserError("cannot take --export with other options: it writes hours, and prices nothing")
        return _export(session, service, export)
    if usage is not None:
        from fourfold.cli.usagecost import of_usage

        view: PricedView = of_usage(session.options, usage, service, prices, curve)
    else:
        view = _of_daemon(session, service, month, prices, curve)
    if session.options.json:
        output.as_json(view)
    else:
        _show(view, session.options)


def _of_daemon(session: Session, service: str | None, month: str | None, prices: str | None, curves: bool) -> CostView:
    from fourfold.control.views import CostRequest, CostView, PriceText

    path = f"/v1/apps/{session.app}/cost"
    if prices is None:
        answer = session.client.get(path, service=service, month=month, curves=curves or None)
        return session.client.shaped(CostView, answer)
    from fourfold.control.costing.pricefile import read_text

    text = PriceText(name=prices, text=read_text(Path(prices)))
    asked = CostRequest(service=service, month=month, curves=curves, prices=text)
    return session.client.shaped(CostView, session.client.post(path, asked.model_dump(mode="json")))


def _export(session: Session, service: str | None, file: str) -> None:
    from fourfold.cost.usagefile import to_csv

    hours = session.client.get(f"/v1/apps/{session.app}/usage", service=service)["hours"]
    text = json.dumps(hours, indent=1) if session.options.json else to_csv(hours).rstrip()
    if file == "-":
        return output.data(text)
    try:
        Path(file).write_text(text + "\n")
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from None
    output.say(f"{formats.count(len(hours), 'hour')} of {session.app} in {file}", session.options)


def _show(view: PricedView, options: Options) -> None:
    from fourfold.cli.printing import money
    from fourfold.control.views import CostView

    blocks = [money.service(each) for each in view.services]
    blocks += [money.curves(each) for each in view.services if each.curves]
    if (total := money.total(view.services)) is not None:
        blocks.append([total])
    bills = view.functions if isinstance(view, CostView) else []
    if bills and isinstance(view, CostView):
        blocks.append([f"functions in {view.month}, as they were billed:", *money.functions(bills, view.total_usd)])
    output.data("\n\n".join("\n".join(block) for block in blocks) or "no service is up")
    if any(cost.patterns for cost in view.services):
        output.say(f"{money.CHEAPEST} cheapest in the cloud, and on own hardware", options)
    if any(each.estimated for cost in view.services for each in cost.patterns):
        output.say("~: made of estimated figures; `fourfold compare SERVICE` measures them", options)
    if view.services:
        output.say(money.prices(view.prices), options)
    if bills and isinstance(view, CostView):
        rates = f"${view.price_gb_second:.10f} per GB-second, ${view.price_request * 1e6:g} per million requests"
        output.say(f"{view.month}, at {rates}", options)
