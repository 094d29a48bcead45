"""`fourfold history`: releases and how their deployments ended."""

from __future__ import annotations

from typing import Annotated

import typer

from fourfold.cli import formats, output
from fourfold.cli.session import Session
from fourfold.control.views import ReleaseView


def command(
    ctx: typer.Context, service: Annotated[str | None, typer.Argument(metavar="SERVICE", show_default=False)] = None
) -> None:
    """List releases: who, when, which commit, how it went."""
    session = Session.of(ctx)
    releases = session.client.get(list[ReleaseView], f"/v1/apps/{session.app}/history", service=service)
    if session.options.json:
        output.as_json(releases)
        return
    now = formats.utc_now()
    header = ("SERVICE", "RELEASE", "WHEN", "WHO", "COMMIT", "BUILT FOR", "RESULT", "MESSAGE")
    rows = [
        (
            release.service,
            f"{release.number}{'*' if release.current else ''}",
            formats.ago(release.created_at, now),
            release.actor or "-",
            release.commit or "-",
            ",".join(release.patterns) or "-",
            release.deployments[-1] if release.deployments else "-",
            release.message or "",
        )
        for release in releases
    ]
    output.data("\n".join(formats.table(header, rows)))
    if rows:
        output.say("* is what runs now; go back with: fourfold rollback SERVICE --to RELEASE", session.options)
