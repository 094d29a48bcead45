"""`fourfold cost`: what functions took, and what that costs."""

from __future__ import annotations

from typing import Annotated

import typer

from fourfold.cli import formats, output
from fourfold.cli.session import Session
from fourfold.control.views import CostView, FunctionCostView

NUMBERS = frozenset({"REQUESTS", "FAILED", "BILLED", "GB-SECONDS", "FOR REQUESTS", "FOR DURATION", "TOTAL"})


def command(
    ctx: typer.Context,
    service: Annotated[str | None, typer.Argument(metavar="SERVICE", show_default=False)] = None,
    month: Annotated[
        str | None, typer.Option("--month", metavar="YYYY-MM", help="By UTC; else the present one.", show_default=False)
    ] = None,
) -> None:
    """Show what functions took in a month, and what that costs.

    At the list price of AWS Lambda, unless fourfold.toml has prices of your own.
    """
    session = Session.of(ctx)
    view = session.client.get(CostView, f"/v1/apps/{session.app}/cost", service=service, month=month)
    if session.options.json:
        output.as_json(view)
        return
    output.data("\n".join(page(view)))
    prices = f"${view.price_gb_second:.10f} per GB-second, ${view.price_request * 1e6:g} per million requests"
    output.say(f"{view.month}, at {prices}", session.options)


def page(view: CostView) -> list[str]:
    header = ("FUNCTION", "REQUESTS", "FAILED", "BILLED", "GB-SECONDS", "FOR REQUESTS", "FOR DURATION", "TOTAL")
    rows = [_row(each) for each in view.functions]
    if len(rows) > 1:
        rows.append(("", "", "", "", "", "", "", _dollars(view.total_usd)))
    return formats.table(header, rows, NUMBERS)


def _row(each: FunctionCostView) -> tuple[str, ...]:
    return (
        each.service,
        str(each.requests),
        str(each.failed),
        formats.seconds(each.billed_ms / 1000),
        f"{each.gb_seconds:.3f}",
        _dollars(each.requests_usd),
        _dollars(each.duration_usd),
        _dollars(each.total_usd),
    )


def _dollars(amount: float) -> str:
    """Invocations cost little: as many places as it takes to see them."""
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.8f}"
