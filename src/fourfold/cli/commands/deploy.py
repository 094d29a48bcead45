"""`fourfold deploy`: like `up`, for some services."""

from __future__ import annotations

from typing import Annotated

import typer

from fourfold.cli.moving import As, Save, check_save
from fourfold.cli.session import Session


def command(
    ctx: typer.Context,
    services: Annotated[list[str], typer.Argument(metavar="SERVICE")],
    pattern: As = None,
    save: Save = False,
    message: Annotated[
        str | None, typer.Option("--message", "-m", metavar="TEXT", help="Why, for `fourfold history`.")
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Forget what commands changed, such as `scale`.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build again, with the newest dependencies allowed.")
    ] = False,
) -> int:
    """Like `up`, for some services only.

    With --as they move to another pattern, by a rolling deployment like any other. It is kept over `fourfold up` until
    `fourfold up --reset`; `status` shows that it is not what the file says. With --save the file says it from then on.
    """
    check_save(save, pattern)
    from fourfold.cli.bringing import How, bring

    return bring(Session.of(ctx), services, How(message, False, reset, rebuild, pattern, save))
