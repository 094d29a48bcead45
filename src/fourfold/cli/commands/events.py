"""`fourfold events`: what happened and what happens."""

from __future__ import annotations

from typing import Annotated

import click

from fourfold.cli.appname import from_file
from fourfold.cli.happened import USUAL_TAIL, Asked, happened, kind_of
from fourfold.cli.parameters import Argument, Option
from fourfold.cli.session import Session
from fourfold.cli.since import Since
from fourfold.errors import UserError


def command(
    ctx: click.Context,
    words: Annotated[list[str] | None, Argument(metavar="[replay ID… | SERVICE]")] = None,
    failed: Annotated[bool, Option("--failed", help="Events that were given up, of all services or SERVICE.")] = False,
    following: Annotated[bool, Option("--follow", "-f", help="Go on with new ones until Ctrl-C.")] = False,
    operation: Annotated[
        str | None, Option(metavar="ID", help="Only of this operation; with -f until it ends, 1 if it failed.")
    ] = None,
    tail: Annotated[
        int | None, Option(min=0, metavar="N", help=f"Begin with the newest N; {USUAL_TAIL} without --since.")
    ] = None,
    since: Since = None,
    kind: Annotated[
        list[str] | None,
        Option(metavar="KIND", parser=kind_of, help="Only these: deploy.failed, 'instance.*'. Repeatable."),
    ] = None,
    everything: Annotated[bool, Option("--all", help="Of all apps, not only of the one here.")] = False,
) -> int:
    """Print what happened; list and replay events that failed.

    With --failed those for services (of triggers, or invoked asynchronously) that were given up: too old, or failed
    too often. `events replay ID…` delivers them once more, `events replay --all SERVICE` all of a service.
    """
    session = Session.of(ctx)
    if failed or words:
        from fourfold.cli.failed import listed, replayed

        if failed:
            return listed(session, words or [])
        if words and words[0] == "replay":
            return replayed(session, words[1:], everything)
        raise UserError(f"cannot do {' '.join(words or [])}: expected replay or --failed", "fourfold events --help")
    app = None if everything or operation else session.options.app or from_file(session.options)
    asked = Asked(app, operation, since, tuple(kind or ()), tail)
    return happened(session, asked, following)
