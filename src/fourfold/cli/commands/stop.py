"""`fourfold stop`: drain and stop."""

from __future__ import annotations

from typing import Annotated

import click

from fourfold.cli.parameters import Argument
from fourfold.cli.session import Session


def command(
    ctx: click.Context,
    services: Annotated[list[str] | None, Argument(metavar="SERVICE")] = None,
) -> int:
    """Drain and stop services; `up` or `restart` starts them again.

    Without SERVICE all services of the app.
    """
    from fourfold.cli.operation import change

    session = Session.of(ctx)
    return change(session, f"/v1/apps/{session.app}/stop", {"services": services or []}, services or [])
