"""`fourfold validate`: what is wrong with the service file."""

from __future__ import annotations

import os

import click

from fourfold.cli.appname import need_file
from fourfold.cli.printing import output
from fourfold.cli.printing.formats import count
from fourfold.cli.session import Session
from fourfold.errors import SpecError


def command(ctx: click.Context) -> int:
    """Check the service file; list everything that is wrong with it.

    Needs no daemon. With -o json a list of problems, empty when there are none.
    """
    from fourfold.spec.load import load

    options = Session.of(ctx).options
    path = need_file(options)
    try:
        loaded = load(path, env=options.env, environ=os.environ, needed=None)
    except SpecError as error:
        if not options.json:
            raise
        output.as_json([vars(problem) for problem in error.problems])
        return error.exit_code
    if options.json:
        output.as_json([])
    else:
        output.data(f"{path} is valid: app {loaded.app.app}, {count(len(loaded.app.services), 'service')}")
    return 0
