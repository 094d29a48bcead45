"""`fourfold deploy`: like `up`, for some services."""

from __future__ import annotations

from typing import Annotated

import click

from fourfold.cli.moving import As, Save, check_save
from fourfold.cli.parameters import Argument, Option
from fourfold.cli.session import Session


def command(
    ctx: click.Context,
    services: Annotated[list[str], Argument(metavar="SERVICE")],
    pattern: As = None,
    save: Save = False,
    message: Annotated[
        str | None, Option("--message", "-m", metavar="TEXT", help="Why, for `fourfold history`.")
    ] = None,
    reset: Annotated[bool, Option("--reset", help="Forget what commands changed, such as `scale`.")] = False,
    rebuild: Annotated[bool, Option("--rebuild", help="Build again, with the newest dependencies allowed.")] = False,
    promote: Annotated[
        bool, Option("--promote", help="Let the deployment that is under way go on to its next step.")
    ] = False,
    full: Annotated[bool, Option("--full", help="With --promote: past all steps.")] = False,
    abort: Annotated[bool, Option("--abort", help="Take the deployment that is under way back.")] = False,
) -> int:
    """Like `up`, for some services only.

    With --as they move to another pattern, by a rolling deployment like any other. It is kept over `fourfold up` until
    `fourfold up --reset`; `status` shows that it is not what the file says. With --save the file says it from then on.

    With --promote or --abort nothing new is deployed: a deployment that is under way, such as a canary, goes on to its
    next step at once, or back to what was before.
    """
    if promote or abort or full:
        others = bool(pattern or save or message or reset or rebuild)
        return _decide(ctx, services, promote, full, abort, others)
    check_save(save, pattern)
    from fourfold.cli.bringing import How, bring

    return bring(Session.of(ctx), services, How(message, False, reset, rebuild, pattern, save))


def _decide(ctx: click.Context, services: list[str], promote: bool, full: bool, abort: bool, others: bool) -> int:
    if not promote and not abort:
        raise click.BadParameter("it is for --promote: give that too", param_hint="--full")
    option = "--promote" if promote else "--abort"
    if (promote and abort) or (full and abort) or others:
        raise click.BadParameter("it cannot be combined with other options", param_hint=option)
    if len(services) != 1:
        raise click.BadParameter("it is for one service at a time", param_hint=option)
    from fourfold.cli import promoting

    session = Session.of(ctx)
    return promoting.abort(session, services[0]) if abort else promoting.promote(session, services[0], full)
