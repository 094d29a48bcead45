"""`fourfold rollback`: an old release again."""

from __future__ import annotations

from typing import Annotated

import click

from fourfold.cli.parameters import Argument, Option
from fourfold.cli.session import Session


def command(
    ctx: click.Context,
    service: Annotated[str, Argument(metavar="SERVICE")],
    to: Annotated[
        int | None, Option("--to", min=1, metavar="RELEASE", help="See `fourfold history`; else the one before.")
    ] = None,
) -> int:
    """Deploy an old release of a service again."""
    from fourfold.cli.operation import change

    session = Session.of(ctx)
    return change(session, f"/v1/apps/{session.app}/services/{service}/rollback", {"to": to}, [service])
