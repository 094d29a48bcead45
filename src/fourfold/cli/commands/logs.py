"""`fourfold logs`: what services wrote."""

from __future__ import annotations

import json
from typing import Annotated

import click

from fourfold.cli.parameters import Argument, Option
from fourfold.cli.printing import formats, output
from fourfold.cli.session import Session
from fourfold.cli.since import Since

USUAL_TAIL = 100


def command(
    ctx: click.Context,
    services: Annotated[list[str] | None, Argument(metavar="SERVICE")] = None,
    follows: Annotated[bool, Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")] = False,
    since: Since = None,
    tail: Annotated[
        int | None,
        Option(min=0, metavar="N", help=f"Of each instance the newest N; {USUAL_TAIL} without --since."),
    ] = None,
    previous: Annotated[bool, Option("--previous", help="Of the run before the last restart.")] = False,
    times: Annotated[bool, Option("--timestamps", "-t", help="With the time of each line.")] = False,
) -> None:
    """Print what services wrote, the gateway's access log included.

    Without SERVICE all services of the app; `gateway` is the gateway's access log.
    """
    from fourfold.cli.link.following import logs as follow

    session = Session.of(ctx)
    if tail is None and since is None:
        tail = USUAL_TAIL
    which = {
        "service": services or [],
        "since": since,
        "tail": tail,
        "previous": str(previous).lower(),
    }
    ends = previous or not follows  # what ran before has nothing new to tell
    lines = session.client.logs(session.app, **which) if ends else follow(session.client, session.app, **which)
    colours: dict[str, str] = {}
    line = None
    for line in lines:
        if session.options.json:
            print(json.dumps(line, ensure_ascii=False), flush=follows)
            continue
        name = line["instance"].partition(".")[2] or line["instance"]
        colour = colours.setdefault(name, output.INSTANCE_COLOURS[len(colours) % len(output.INSTANCE_COLOURS)])
        stamp = f"{formats.clock(line['at'], formats.utc_now())} " if times else ""
        print(f"{output.paint(name, colour, session.options)} | {stamp}{line['text']}", flush=follows)
    if previous and line is None:
        output.say("there is nothing of a run before the present one", session.options)
