"""`fourfold advise`: which pattern fits each service, why, and what would change it."""

from __future__ import annotations

from typing import Annotated

import click

from fourfold.cli.parameters import Argument, Option
from fourfold.cli.printing import output
from fourfold.cli.session import Session


def command(
    ctx: click.Context,
    services: Annotated[list[str] | None, Argument(metavar="SERVICE")] = None,
    assume: Annotated[
        list[str] | None,
        Option("--assume", metavar="FACT=VALUE", help="Suppose so: untrusted=yes, quiet_hours=80%. Repeatable."),
    ] = None,
    usage: Annotated[
        str | None,
        Option("--usage", metavar="FILE", help="Its traffic: hours in CSV or JSON."),
    ] = None,
) -> None:
    """Say which pattern fits each service, why, and what would change that.

    From the service file, its sources and, where a daemon runs, what it has measured. With -a: what runs. Changes
    nothing.
    """
    from fourfold.cli.advising import advices
    from fourfold.cli.printing.advice_page import overview, page

    session = Session.of(ctx)
    found = advices(session, services or None, assume or [], usage)
    if session.options.json:
        output.as_json(found)
        return
    if services or len(found) == 1:
        output.data("\n\n".join("\n".join(page(each, session.options)) for each in found))
        return
    output.data("\n".join(overview(found, session.options)))
    output.say("why, and what would change it: fourfold advise SERVICE", session.options)
