"""`fourfold deploy`: like `up`, for some services."""

from __future__ import annotations

from typing import Annotated

import typer

from fourfold.cli.session import Session


def command(
    ctx: typer.Context,
    services: Annotated[list[str], typer.Argument(metavar="SERVICE")],
    message: Annotated[
        str | None, typer.Option("--message", "-m", metavar="TEXT", help="Why, for `fourfold history`.")
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Forget what commands changed, such as `scale`.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build again, with the newest dependencies allowed.")
    ] = False,
) -> int:
    """Like `up`, for some services only."""
    from fourfold.cli.bringing import bring

    return bring(Session.of(ctx), services, message=message, prune=False, reset=reset, rebuild=rebuild)
