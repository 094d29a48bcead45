"""`fourfold top`: what every instance takes now."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import click

from fourfold.cli.appname import from_file
from fourfold.cli.parameters import Option
from fourfold.cli.printing import output
from fourfold.cli.printing.top_table import Sort, instances, routes, services
from fourfold.cli.printing.watch import watch
from fourfold.cli.session import Session
from fourfold.control.views import TopRow

EVERY = 2.0
"""Seconds; CPU and requests per second are means over that time."""
KEYS: dict[str, Sort] = {"c": "cpu", "m": "memory", "r": "requests", "e": "errors", "n": "name"}


@dataclass
class Shown:
    """What keys change."""

    sort: Sort
    totals: bool
    """Services, each as a whole, instead of instances."""

    def pressed(self, key: str) -> bool:
        """False: that was the end."""
        self.sort = KEYS.get(key, self.sort)
        self.totals ^= key == "s"
        return key not in ("q", "\x03", "\x04")

    @property
    def help(self) -> str:
        keys = "  ".join(f"[{sort}]" if sort == self.sort else f"{key} {sort}" for key, sort in KEYS.items())
        return f"sort: {keys}    s {'instances' if self.totals else 'services'}    q quit"


def command(
    ctx: click.Context,
    sort: Annotated[Sort, Option(metavar="KEY", help="By cpu, memory, requests, errors or name.")] = "cpu",
    totals: Annotated[bool, Option("--services", help="What services take, each as a whole.")] = False,
    once: Annotated[bool, Option("--once", help="One table, on a terminal too.")] = False,
) -> None:
    """Show what every instance takes now.

    Live on a terminal, until q or Ctrl-C; once elsewhere. Without an app (-a, or a file here) of all apps.
    """
    session = Session.of(ctx)
    app = session.options.app or from_file(session.options)
    shown = Shown(sort, totals)

    def show() -> list[str]:
        rows = session.client.shaped(list[TopRow], session.client.get("/v1/top", app=app))
        lines = (services if shown.totals else instances)(rows, app is None, shown.sort)
        if app is not None:
            lines += ["", *routes(session.client.get(f"/v1/apps/{app}/routes"))]
        return lines

    if session.options.json:
        output.as_json(session.client.get("/v1/top", app=app))
    elif output.is_screen(sys.stdout) and not once:
        watch(lambda: [shown.help, "", *show()], session.options, EVERY, shown.pressed)
    else:
        output.data("\n".join(show()))
