"""`fourfold tokens`: who may use the API over the network."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import click

from fourfold.cli.options import duration
from fourfold.cli.parameters import Argument, Commands, Option
from fourfold.cli.printing import formats, output
from fourfold.cli.session import Session

command = Commands("Make, list and remove tokens of the API over the network.")


class Role(StrEnum):
    read = "read"
    deploy = "deploy"
    admin = "admin"


@command.add("create")
def create(
    ctx: click.Context,
    name: Annotated[str, Argument(metavar="NAME", help="Of who uses it: the actor of what it changes.")],
    role: Annotated[Role, Option("--role", help="What it may do.")],
    expires_in: Annotated[
        float | None, Option("--expires", metavar="TIME", parser=duration, help="After that, such as 90d.")
    ] = None,
) -> None:
    """Make one, and print its secret, this once. With --app it is good for that app only."""
    from fourfold.control.access import NewTokenView

    session = Session.of(ctx)
    asked = {"name": name, "role": role, "app": session.options.app, "expires_in": expires_in, "actor": session.actor}
    made: NewTokenView = session.started_client.post("/v1/tokens", asked)
    if session.options.json:
        output.as_json(made)
        return
    output.data(made.secret)
    of = f" for app {made.app} only" if made.app else ""
    how = "FOURFOLD_HOST=https://HOST:PORT FOURFOLD_TOKEN=SECRET"
    output.say(f"{name} may {role}{of}; the secret is shown this once; use it with: {how}", session.options)


@command.add("list")
def list_(ctx: click.Context) -> None:
    """Names, roles, and when each was last used; never secrets."""
    from fourfold.control.access import TokenView

    session = Session.of(ctx)
    tokens: list[TokenView] = session.client.get("/v1/tokens")
    if session.options.json:
        output.as_json(tokens)
    elif not tokens:
        output.say("there are no tokens; make one with: fourfold tokens create NAME --role read", session.options)
    else:
        now = formats.utc_now()
        rows = [
            (
                each.name,
                each.role,
                each.app or "all",
                "expired" if each.expired else each.expires_at or "never",
                formats.ago(each.used_at, now) if each.used_at else "never",
                f"{each.created_by or '-'}, {formats.ago(each.created_at, now)}",
            )
            for each in tokens
        ]
        output.data("\n".join(formats.table(("NAME", "ROLE", "APP", "EXPIRES", "USED", "MADE BY"), rows)))


@command.add("rm")
def rm(ctx: click.Context, names: Annotated[list[str], Argument(metavar="NAME")]) -> None:
    """Remove some: they are good for nothing any more, at once."""
    from urllib.parse import quote

    session = Session.of(ctx)
    names = list(dict.fromkeys(names))
    for name in names:
        session.client.ask("DELETE", f"/v1/tokens/{quote(name, safe='')}", actor=session.actor)
        if not session.options.json:
            output.say(f"{name} is removed", session.options)
    if session.options.json:
        output.as_json({"removed": names})
