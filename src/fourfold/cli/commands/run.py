"""`fourfold run`: a run of a job, or a one-off program beside a service."""

from __future__ import annotations

from typing import Annotated

import click

from fourfold.cli.parameters import Argument
from fourfold.cli.program import ProgramCommand
from fourfold.cli.session import Session

kind = ProgramCommand


def command(
    ctx: click.Context,
    service: Annotated[str, Argument(metavar="SERVICE", help="A job, or what it runs beside.")],
    argv: Annotated[
        list[str] | None,
        Argument(metavar="CMD", help="With its own options, as it is; none: run a job."),
    ] = None,
) -> int:
    """Run a job, or a one-off program beside a service.

    Without CMD a run of the job SERVICE, to its end; its lines are printed. With CMD that program, with the files and
    the environment of any service: an instance of its own that gets no traffic, such as for a migration. The exit code
    is the program's.
    """
    session = Session.of(ctx)
    if not argv:
        from fourfold.cli.running import start

        return start(session, service)
    from fourfold.cli.terminal import attach

    return attach(session, service, "run", argv, None)
