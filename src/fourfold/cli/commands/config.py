"""`fourfold config`: the service file as Fourfold understands it."""

from __future__ import annotations

import os

import click

from fourfold.cli.appname import need_file
from fourfold.cli.printing import output
from fourfold.cli.session import Session


def command(ctx: click.Context) -> None:
    """Print the service file after overlays, defaults and variables.

    As YAML that gives the same app again, or with -o json with every default filled in. Needs no daemon.
    """
    from fourfold.spec.dump import to_yaml
    from fourfold.spec.load import load

    options = Session.of(ctx).options
    app = load(need_file(options), env=options.env, environ=os.environ).app
    if options.json:
        output.as_json(app)
    else:
        output.data(to_yaml(app).rstrip())
