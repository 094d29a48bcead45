"""`fourfold version`."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import click

from fourfold import __version__
from fourfold.cli.printing import output
from fourfold.cli.session import Session

if TYPE_CHECKING:
    from fourfold.control.views import InfoView


def command(ctx: click.Context) -> None:
    """Print the versions of this command, of the daemon and of the spawner."""
    from fourfold.cli.link.client import NoDaemonError
    from fourfold.errors import FourfoldError

    session = Session.of(ctx)
    info: InfoView | None = None
    none = "none runs here"
    try:
        info = session.client.get("/v1/info")
    except NoDaemonError:
        pass
    except FourfoldError as error:
        none = str(error)
    spawner = info.spawner if info else None
    if session.options.json:
        daemon = {"version": info.version, "pid": info.pid} if info else None
        parent = {"version": spawner.version, "pid": spawner.pid} if spawner else None
        told = {"version": __version__, "python": platform.python_version(), "daemon": daemon, "spawner": parent}
        output.as_json(told)
    else:
        output.data(f"fourfold {__version__} (Python {platform.python_version()})")
        output.data(f"daemon {info.version} (pid {info.pid})" if info else f"daemon: {none}")
        if spawner:
            output.data(f"spawner {spawner.version} (pid {spawner.pid})")
    if info and (warning := _differ(info)):
        output.say(f"warning: {warning}", session.options)


def _differ(info: InfoView) -> str:
    if info.version != __version__:
        from fourfold.supervise.spawner.versions import is_newer

        if is_newer(info.version, __version__):
            newer = f"the daemon is version {info.version}, newer than this command, {__version__}"
            return f"{newer}: install that here too"
        return (
            f"the daemon is version {info.version}, this command is {__version__}: `fourfold daemon restart` starts "
            "the daemon of this version; services keep running"
        )
    if info.spawner and info.spawner.version != info.version:
        return (
            f"the spawner is version {info.spawner.version} still: the daemon's log says why; "
            "`fourfold daemon restart` tries once more"
        )
    return ""
