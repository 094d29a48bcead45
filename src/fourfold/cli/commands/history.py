"""`fourfold history`: releases and how their deployments ended; runs of jobs and how they ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import click

from fourfold.cli.parameters import Argument, Option
from fourfold.cli.printing import formats, output
from fourfold.cli.session import Session

if TYPE_CHECKING:
    from fourfold.control.views import ReleaseView, RunView


def command(
    ctx: click.Context,
    service: Annotated[str | None, Argument(metavar="SERVICE")] = None,
    runs: Annotated[bool, Option("--runs", help="Runs of jobs only.")] = False,
) -> None:
    """List releases, and runs of a job: who, when, how it went."""
    session = Session.of(ctx)
    if runs:
        there: list[RunView] = session.client.get(f"/v1/apps/{session.app}/runs", service=service)
        if session.options.json:
            output.as_json(there)
        else:
            output.data("\n".join(_runs(there)))
        return
    releases: list[ReleaseView] = session.client.get(f"/v1/apps/{session.app}/history", service=service)
    if session.options.json:
        output.as_json(releases)
        return
    lines = _releases(releases)
    if service is not None:
        there = session.client.get(f"/v1/apps/{session.app}/runs", service=service)
        lines += ["", *_runs(there)] if there else []
    output.data("\n".join(lines))
    if releases:
        output.say("* is what runs now; go back with: fourfold rollback SERVICE --to RELEASE", session.options)


def _releases(releases: list[ReleaseView]) -> list[str]:
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
    return formats.table(header, rows)


def _runs(runs: list[RunView]) -> list[str]:
    """Newest first."""
    now = formats.utc_now()
    header = ("RUN", "RELEASE", "WHEN", "BY", "RESULT", "EXIT", "TOOK", "TRIES", "REASON")
    rows = [
        (
            run.id.partition(".")[2],
            str(run.release),
            formats.ago(run.created_at, now),
            run.actor or run.source,
            run.state,
            "-" if run.code is None else str(run.code),
            formats.seconds(run.seconds),
            str(run.attempts),
            run.reason or "",
        )
        for run in runs
    ]
    return formats.table(header, rows, frozenset({"RELEASE", "EXIT", "TOOK", "TRIES"}))
