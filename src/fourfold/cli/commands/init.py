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
    from fourfold.spec.init import init

    path = init(folder)
    output.data(str(path))
    output.say("look it over, then: fourfold up", Session.of(ctx).options)
