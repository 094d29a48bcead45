"""`fourfold exec`: inside a running instance."""

from __future__ import annotations

from typing import Annotated

import click

from fourfold.cli.parameters import Argument, Option
from fourfold.cli.program import ProgramCommand
from fourfold.cli.session import Session

kind = ProgramCommand


def command(
    ctx: click.Context,
    service: Annotated[str, Argument(metavar="SERVICE", help="In an instance of it.")],
    argv: Annotated[list[str], Argument(metavar="CMD", help="With its own options, as it is.")],
    instance: Annotated[
        str | None, Option("--instance", metavar="ID", help="Which one (`status -v`); else any that is ready.")
    ] = None,
    _usual: Annotated[bool, Option("-i", "-t", hidden=True, help="As Docker's: fingers know them.")] = False,
) -> int:
    """Run a program inside a running instance.

    As the service's user, in its folder, with its environment and limits. The exit code is the program's.
    """
    from fourfold.cli.terminal import attach

    session = Session.of(ctx)
    return attach(session, service, "exec", argv, instance)
