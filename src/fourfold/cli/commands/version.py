"""`fourfold version`."""

from __future__ import annotations

import platform

import typer

from fourfold import __version__
from fourfold.cli import output
from fourfold.cli.session import Session


def command(ctx: typer.Context) -> None:
    """Print the version of this command and of the daemon."""
    from fourfold.cli.client import Client
    from fourfold.control.views import InfoView
    from fourfold.errors import FourfoldError

    session = Session.of(ctx)
    try:
        info = Client(session.paths.socket).get(InfoView, "/v1/info")
    except FourfoldError:
        info = None
    if session.options.json:
        daemon = {"version": info.version, "pid": info.pid} if info else None
        output.as_json({"version": __version__, "python": platform.python_version(), "daemon": daemon})
        return
    output.data(f"fourfold {__version__} (Python {platform.python_version()})")
    output.data(f"daemon {info.version} (pid {info.pid})" if info else "daemon: none runs here")
