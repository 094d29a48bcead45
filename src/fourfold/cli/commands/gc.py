"""`fourfold gc`: free the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fourfold.cli.printing import formats, output
from fourfold.cli.session import Session

if TYPE_CHECKING:
    from fourfold.control.views import GcView


def command(ctx: click.Context) -> None:
    """Remove builds, sources and logs that nothing needs any more.

    The last five releases of every service, all that is in use, and images used this month are kept.
    """
    session = Session.of(ctx)
    view: GcView = session.client.post("/v1/gc", actor=session.actor)
    if session.options.json:
        output.as_json(view)
        return
    removed = ", ".join(f"{count} {kind}" for kind, count in view.removed.items() if count)
    output.data(f"removed {removed}; freed {formats.size(view.freed_bytes)}" if removed else "nothing to remove")
    if view.kept:
        output.data("kept: " + ", ".join(f"{kind} {formats.size(size)}" for kind, size in view.kept.items()))
