"""`fourfold apps`: what this daemon runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fourfold.cli.printing import formats, output
from fourfold.cli.session import Session

if TYPE_CHECKING:
    from fourfold.control.views import AppView


def command(ctx: click.Context) -> None:
    """List the apps that this daemon runs."""
    session = Session.of(ctx)
    apps: list[AppView] = session.client.get("/v1/apps")
    if session.options.json:
        output.as_json(apps)
        return
    if not apps:
        from fourfold.cli.link.elsewhere import hint_for

        more = "" if session.remote else f": {hint_for(session.paths, None)}"
        output.say(f"no apps yet{more}", session.options)
        return
    now = formats.utc_now()
    header = ("APP", "SERVICES", "READY", "GATEWAY", "UPDATED", "FILE")
    rows = [
        (
            app.name,
            str(app.services),
            f"{app.ready}/{app.desired}",
            app.gateway or "-",
            formats.ago(app.updated_at, now),
            app.file,
        )
        for app in apps
    ]
    output.data("\n".join(formats.table(header, rows, frozenset({"SERVICES", "READY"}))))
