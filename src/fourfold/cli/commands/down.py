"""`fourfold down`: stop an app and forget it."""

from __future__ import annotations

from typing import Annotated

import typer

from fourfold.cli.session import Session


def command(
    ctx: typer.Context,
    purge: Annotated[bool, typer.Option("--purge", help="Delete volumes, secrets and history too.")] = False,
) -> int:
    """Stop the app and forget it; keeps volumes, secrets and history."""
    from fourfold.cli.operation import change
    from fourfold.control.views import StatusView

    session = Session.of(ctx)
    names = [service.name for service in session.client.get(StatusView, f"/v1/apps/{session.app}").services]
    also = " and delete its volumes, secrets and history" if purge else ""
    session.confirm(f"Stop {', '.join(names) or 'nothing'} of {session.app}{also}?")
    return change(session, f"/v1/apps/{session.app}/down", {"purge": purge}, names)
