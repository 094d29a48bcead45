"""`fourfold down`: stop an app and forget it."""

from __future__ import annotations

from typing import Annotated

import click

from fourfold.cli.parameters import Option
from fourfold.cli.session import Session
from fourfold.errors import NotFoundError


def command(
    ctx: click.Context,
    purge: Annotated[bool, Option("--purge", help="Delete volumes, secrets and history too.")] = False,
) -> int:
    """Stop the app and forget it; keeps volumes, secrets and history.

    With --purge also for an app that is down already.
    """
    from fourfold.cli.operation import change

    session = Session.of(ctx)
    try:
        names = [service.name for service in session.client.get(f"/v1/apps/{session.app}").services]
    except NotFoundError:
        if not purge:
            raise
        names = []  # it is down; the daemon knows whether anything was kept of it
    kept = "volumes, secrets and history"
    if purge and not names:
        session.confirm(f"Delete the {kept} of {session.app}?")
    else:
        also = f" and delete its {kept}" if purge else ""
        session.confirm(f"Stop {', '.join(names) or 'nothing'} of {session.app}{also}?")
    return change(session, f"/v1/apps/{session.app}/down", {"purge": purge}, names)
