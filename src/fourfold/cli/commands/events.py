"""`fourfold events`: what happened and what happens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from fourfold.cli import formats, output
from fourfold.cli.appname import from_file
from fourfold.cli.session import Session
from fourfold.control.views import EventView
from fourfold.errors import UserError

ENDS = {"operation.done": 0, "operation.failed": 1}


def command(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="[replay ID… | SERVICE]", show_default=False)] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Events that were given up, of all services or SERVICE.")
    ] = False,
    following: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until Ctrl-C.")] = False,
    operation: Annotated[
        str | None, typer.Option(metavar="ID", help="Only of this operation; with -f until it ends, 1 if it failed.")
    ] = None,
    tail: Annotated[int, typer.Option(min=0, metavar="N", help="Begin with the newest N.", show_default=True)] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Of all apps, not only of the one here.")] = False,
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
    newest = None if operation else max(tail, 1)  # one at least, to know where new ones begin
    past = session.client.get(list[EventView], "/v1/events", app=app, operation=operation, tail=newest)
    if app and not past and not following:
        session.need_app(app)
    last = past[-1].seq if past else 0
    shown = past if operation else past[len(past) - min(tail, len(past)) :]
    if not following:
        _show_past(shown, session)
        return 0
    _show(shown, session)
    for event in past:
        if operation and event.kind in ENDS:
            return ENDS[event.kind]
    from fourfold.cli.following import events

    for event in events(session.client, last, app=app, operation=operation):
        _show([event], session)
        if operation and event.kind in ENDS:
            return ENDS[event.kind]
    return 1


def _show_past(events: list[EventView], session: Session) -> None:
    if session.options.json:
        output.as_json(events)
    else:
        _show(events, session)


def _show(events: Iterable[EventView], session: Session) -> None:
    """A line each; with -o json one object per line."""
    now = formats.utc_now()
    for event in events:
        if session.options.json:
            print(event.model_dump_json(), flush=True)
        else:
            who = event.service or event.app or "-"
            by = f" (by {event.actor})" if event.actor else ""
            print(f"{formats.clock(event.at, now)}  {who:<12} {event.kind:<18} {event.message}{by}", flush=True)
