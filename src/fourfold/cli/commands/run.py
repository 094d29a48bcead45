"""`fourfold run`: a one-off program beside a service."""

from __future__ import annotations

from typing import Annotated

import typer

from fourfold.cli.program import ProgramCommand
from fourfold.cli.session import Session

kind = ProgramCommand


def command(
    ctx: typer.Context,
    service: Annotated[str, typer.Argument(metavar="SERVICE")],
    argv: Annotated[list[str], typer.Argument(metavar="CMD", help="With its own options, as it is.")],
) -> int:
    """Run a one-off program beside a service, with its files and environment.

    An instance of its own that gets no traffic, such as for a migration. The exit code is the program's.
    """
    from fourfold.cli.terminal import attach

    session = Session.of(ctx)
    return attach(session.client, session.app, service, "run", argv, None)
