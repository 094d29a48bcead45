"""`fourfold top`: what every instance takes now."""

from __future__ import annotations

import sys

import typer

from fourfold.cli import formats, output
from fourfold.cli.appname import from_file
from fourfold.cli.session import Session
from fourfold.cli.watch import watch
from fourfold.control.views import RouteView, TopRow

NUMBERS = frozenset({"CPU %", "CPU", "MEMORY", "LIMIT", "PROCS", "THREADS", "FILES", "READ", "WRITTEN"})
COUNTS = frozenset({"REQUESTS", "5XX", "4XX", "IN FLIGHT", "MEAN"})


def command(ctx: typer.Context) -> None:
    """Show what every instance takes now.

    Live on a terminal, until Ctrl-C; once elsewhere. Without an app (-a, or a file here) of all apps.
    """
    session = Session.of(ctx)
    app = session.options.app or from_file(session.options)

    def show() -> list[str]:
        rows = session.client.get(list[TopRow], "/v1/top", app=app)
        lines = instances(rows, with_app=app is None)
        if app is not None:
            lines += ["", *routes(session.client.get(list[RouteView], f"/v1/apps/{app}/routes"))]
        return lines

    if session.options.json:
        output.as_json(session.client.get(list[TopRow], "/v1/top", app=app))
    elif sys.stdout.isatty():
        watch(show, session.options)
    else:
        output.data("\n".join(show()))


def instances(rows: list[TopRow], with_app: bool) -> list[str]:
    """The hungriest first."""
    what = ("INSTANCE", "PATTERN", "STATE")
    header = (*what, "CPU %", "MEMORY", "LIMIT", "PROCS", "THREADS", "FILES", "READ", "WRITTEN", "CPU")
    ordered = sorted(rows, key=lambda row: (-row.cpu_percent, -row.memory_bytes, row.instance))
    return formats.table(
        header,
        [
            (
                row.instance if with_app else row.instance.partition(".")[2] or row.instance,
                row.pattern,
                row.state,
                f"{row.cpu_percent:.1f}",
                _with_inner(row.memory_bytes, row.guest.memory_bytes if row.guest else None),
                _with_inner(row.memory_limit, row.guest.memory_total if row.guest else None),
                str(row.processes),
                str(row.threads),
                str(row.descriptors),
                formats.size(row.read_bytes),
                formats.size(row.written_bytes),
                formats.seconds(row.cpu_seconds),
            )
            for row in ordered
        ],
        NUMBERS,
    )


def _with_inner(size: int | None, inside: int | None) -> str:
    """`177 MiB (55 MiB)`: of this host, and inside of a virtual machine."""
    return formats.size(size) + (f" ({formats.size(inside)})" if inside is not None else "")


def routes(rows: list[RouteView]) -> list[str]:
    header = ("SERVICE", "ROUTE", "REQUESTS", "5XX", "4XX", "IN FLIGHT", "MEAN")
    return formats.table(
        header,
        [
            (
                row.service,
                row.route or "(internal)",
                str(row.requests),
                str(row.errors_5xx),
                str(row.errors_4xx),
                str(row.in_flight),
                formats.seconds(row.response_seconds),
            )
            for row in rows
        ],
        COUNTS,
    )
