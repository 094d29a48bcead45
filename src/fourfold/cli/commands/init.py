"""`fourfold init`: a service file to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fourfold.cli import output
from fourfold.cli.session import Session


def command(
    ctx: typer.Context, folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where your code is.")] = Path()
) -> None:
    """Write a commented fourfold.yaml from what is in this folder."""
    from fourfold.errors import SpecError
    from fourfold.spec.init import init
    from fourfold.spec.load import load

    path = init(folder)
    output.data(str(path))
    try:
        load(path, env=None, environ={})
        next_step = "look it over, then: fourfold up"
    except SpecError:
        next_step = "nothing was found that can be started as it is: say in it what runs and how, then: fourfold up"
    output.say(next_step, Session.of(ctx).options)
