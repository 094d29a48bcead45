"""`fourfold validate`: what is wrong with the service file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from fourfold.cli import output
from fourfold.cli.appname import need_file
from fourfold.cli.formats import count
from fourfold.cli.session import Session
from fourfold.errors import Problem, SpecError

if TYPE_CHECKING:
    from fourfold.spec.load import Loaded


def command(ctx: click.Context) -> int:
    """Check the service file; list everything that is wrong with it.

    Needs no daemon. With -o json a list of problems, empty when there are none.
    """
    from fourfold.spec.load import load

    options = Session.of(ctx).options
    path = need_file(options)
    try:
        loaded = load(path, env=options.env, environ=os.environ)
        if problems := list(_missing(loaded)):
            raise SpecError(problems)
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


def _missing(loaded: Loaded) -> Iterator[Problem]:
    """What the file names and the disk does not have."""
    folder = loaded.file.absolute().parent
    tls = loaded.app.gateway.tls
    built = {name: service for name, service in loaded.app.services.items() if service.image is None}
    named = {f"services.{name}.source": service.source for name, service in built.items()}
    named |= {"gateway.tls.cert": tls.cert, "gateway.tls.key": tls.key} if tls else {}
    for key, path in named.items():
        if not (folder / path).exists():
            yield Problem(key, f"{folder / path} is not there", str(loaded.file))
