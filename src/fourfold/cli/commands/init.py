"""`fourfold init`: a service file to begin with."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fourfold.cli.parameters import Argument, Option
from fourfold.cli.printing import output
from fourfold.cli.session import Session

if TYPE_CHECKING:
    from fourfold.spec.starting.init import Written


def command(
    ctx: click.Context,
    folder: Annotated[Path, Argument(metavar="FOLDER", help="Where your code is.")] = Path(),
    source: Annotated[
        str | None, Option("--from", metavar="FILE", help="A file of another tool in it: compose.yaml, …")
    ] = None,
) -> None:
    """Write a commented fourfold.yaml from what is in this folder."""
    from fourfold.cli.ecosystem import exported
    from fourfold.errors import SpecError
    from fourfold.spec.load import load
    from fourfold.spec.starting.init import init

    session = Session.of(ctx)
    options = session.options

    def evaluate(name: str) -> str | None:
        """JavaScript is run only where somebody has said so: by `--from`, `-y`, or when asked."""
        may = source is not None or options.yes
        if not may and not (sys.stdin.isatty() and output.agreed(f"Run {name} with node, to read it?")):
            return None
        output.say(f"running {name} with node, to read it", options)
        return exported(folder, name)

    made = init(folder, source, evaluate)
    if options.json:
        output.as_json({"file": str(made.path), "made_of": made.source})
    else:
        output.data(str(made.path))
    if made.source:
        output.say(_told(made), options)
    if made.skipped:
        output.say(
            f"{made.skipped} was not read: it is a program; to run it with node: {_again(made, folder)}", options
        )
    try:
        load(made.path, env=None, environ=os.environ)
        next_step = "look it over, then: " + " && ".join([*made.hints, "fourfold up"])
    except SpecError as error:
        next_step = "nothing was found that can be started as it is: say in it what runs and how, then: fourfold up"
        if made.services:
            next_step = f"before it can be used: {error.problems[0].message} ({error.problems[0].path})"
    output.say(next_step, options)


def _again(made: Written, folder: Path) -> str:
    """The commands that have read what was skipped."""
    where = [] if folder == Path() else [str(folder)]
    return (
        f"rm {shlex.quote(str(made.path))} && {shlex.join(['fourfold', 'init', *where, '--from', made.skipped or ''])}"
    )


def _told(made: Written) -> str:
    services = f"{made.services} service{'' if made.services == 1 else 's'}"
    text = f"made of {made.source}: {services}"
    if made.left_out:
        text += f"; {made.left_out} thing{'' if made.left_out == 1 else 's'} not carried over, each with a comment"
    return text
