"""`fourfold up`: bring an app to what its file says."""

from __future__ import annotations

from typing import Annotated

import click

from fourfold.cli.moving import As, Save, check_save
from fourfold.cli.parameters import Option
from fourfold.cli.session import Session


def command(
    ctx: click.Context,
    pattern: As = None,
    save: Save = False,
    message: Annotated[
        str | None, Option("--message", "-m", metavar="TEXT", help="Why, for `fourfold history`.")
    ] = None,
    prune: Annotated[bool, Option("--prune", help="Remove services that left the file.")] = False,
    reset: Annotated[bool, Option("--reset", help="Forget what commands changed, such as `scale`.")] = False,
    rebuild: Annotated[bool, Option("--rebuild", help="Build again, with the newest dependencies allowed.")] = False,
) -> int:
    """Bring the app to what its file says.

    Starts the daemon if none runs, packs and sends the sources, and shows what each service is doing until all are
    ready. A deployment that fails is rolled back and changes nothing for users; the exit code is then 1.
    """
    check_save(save, pattern)
    from fourfold.cli.appname import need_file

    session = Session.of(ctx)
    if need_file(session.options).is_file():
        session.begin_daemon()
    from fourfold.cli.bringing import How, bring

    return bring(session, None, How(message, prune, reset, rebuild, pattern, save))
