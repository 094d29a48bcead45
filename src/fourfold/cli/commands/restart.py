"""`fourfold restart`: new instances of the same release."""

from __future__ import annotations

from typing import Annotated

import click

from fourfold.cli.parameters import Argument
from fourfold.cli.session import Session


def command(
    ctx: click.Context,
    services: Annotated[list[str] | None, Argument(metavar="SERVICE")] = None,
) -> int:
    """Replace instances by new ones of the same release.

    Without SERVICE all services of the app.
    """
    from fourfold.cli.operation import change

    session = Session.of(ctx)
    return change(session, f"/v1/apps/{session.app}/restart", {"services": services or []}, services or [])
