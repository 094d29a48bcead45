"""`fourfold compare`: one service under every pattern, measured."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fourfold.cli.options import duration as time_of
from fourfold.cli.parameters import Argument, Option
from fourfold.cli.session import Session

if TYPE_CHECKING:
    from fourfold.control.comparing.request import CompareRequest
    from fourfold.control.views import OperationView
    from fourfold.cost.comparison import Comparison


def command(
    ctx: click.Context,
    service: Annotated[str, Argument(metavar="SERVICE")],
    patterns: Annotated[
        list[str] | None,
        Option("--as", metavar="PATTERN", help="Under these: several times, or with commas."),
    ] = None,
    quick: Annotated[bool, Option("--quick", help="Fewer and shorter rounds: less sure.")] = False,
    rps: Annotated[
        float | None,
        Option("--rps", metavar="N", min=0.001, help="Requests a second to ask it."),
    ] = None,
    duration: Annotated[
        float | None,
        Option("--duration", metavar="TIME", parser=time_of, help="For so long each round."),
    ] = None,
    requests: Annotated[
        Path | None,
        Option("--requests", metavar="FILE", help="What to ask: lines like GET /items."),
    ] = None,
    html: Annotated[Path | None, Option("--html", metavar="FILE", help="Write a page to pass around.")] = None,
    last: Annotated[bool, Option("--last", help="Show the newest comparison; measure nothing.")] = False,
) -> int:
    """Run a service under every pattern, beside the live one, and measure each.

    The live service goes on, and none of its users' requests goes elsewhere. What is started for this is taken away
    again, also after Ctrl-C. With -o json the result is the document that docs/compare.md describes.
    """
    from fourfold.cli.comparison.following import check_writable, see_through

    if last and any((patterns, quick, rps, duration, requests)):
        raise click.UsageError("--last measures nothing: of the other options it goes with --html alone", ctx)
    session = Session.of(ctx)
    check_writable(html)
    if not last:
        request = _request(session, patterns, quick, rps, duration, requests)
        path = f"/v1/apps/{session.app}/services/{service}/compare"

        def ask() -> OperationView:
            operation: OperationView = session.client.post(path, request.model_dump(mode="json"))
            return operation

        code = see_through(session, ask, request.wanted)
        if code is not None:
            return code
    _show(session, service, html)
    return 0


def _request(
    session: Session,
    patterns: list[str] | None,
    quick: bool,
    rps: float | None,
    duration: float | None,
    requests: Path | None,
) -> CompareRequest:
    from pydantic import ValidationError

    from fourfold.cli.comparison.following import read_requests
    from fourfold.control.comparing.request import CompareRequest
    from fourfold.cost.comparison import PATTERNS
    from fourfold.spec.problems import plain

    named = [name.strip() for text in patterns or () for name in text.split(",") if name.strip()]
    for name in named:
        if name not in PATTERNS:
            raise click.BadParameter(f"there is no pattern {name!r}: they are {', '.join(PATTERNS)}", param_hint="--as")
    given = {
        "patterns": named,
        "quick": quick,
        "requests": read_requests(requests),
        "requests_per_second": rps,
        "duration_seconds": duration,
        "actor": session.actor,
    }
    try:
        return CompareRequest.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        option = {"requests_per_second": "--rps", "duration_seconds": "--duration", "requests": "--requests"}
        hint = option.get(str(first["loc"][0]), str(first["loc"][0]))
        raise click.BadParameter(plain(first), param_hint=hint) from None


def _show(session: Session, service: str, html: Path | None) -> None:
    from fourfold.cli.comparison.following import write_report
    from fourfold.cli.printing import output
    from fourfold.cost.comparison import Comparison

    answer = session.client.get(f"/v1/apps/{session.app}/services/{service}/comparison")
    comparison = session.client.shaped(Comparison, answer)
    if html is not None:
        from fourfold.cli.report.page import page as report

        write_report(html, report(comparison))
        output.say(f"wrote {html}", session.options)
    if session.options.json:
        output.as_json(comparison)
        return
    for line in _table(session, comparison):
        output.data(line)


def _table(session: Session, comparison: Comparison) -> list[str]:
    from fourfold.cli.comparison.table import page
    from fourfold.cli.printing import output

    def paint(text: str, colour: str) -> str:
        return output.paint(text, colour, session.options, sys.stdout)

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return page(comparison, paint, session.options.verbose, width)
