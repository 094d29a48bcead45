"""`fourfold cancel`: end a change that has changed nothing yet."""

from __future__ import annotations

from typing import Annotated

import click

from fourfold.cli.parameters import Argument
from fourfold.cli.session import Session


def command(ctx: click.Context, operation: Annotated[str, Argument(metavar="OPERATION")]) -> int:
    """End a change that waits for another one or builds.

    OPERATION is the id that --detach prints, and that whoever waits for it is told. Nothing was changed then. Once it
    deploys it is refused: see it through, then go back with `fourfold rollback`.
    """
    from fourfold.cli.printing import output

    session = Session.of(ctx)
    session.client.ask("POST", f"/v1/operations/{operation}/cancel", {"actor": session.actor})
    output.done(f"cancelled {operation}: nothing was changed", session.options, cancelled=operation)
    return 0
