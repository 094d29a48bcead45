"""`fourfold top`: what every instance takes now."""

from __future__ import annotations

import sys

import typer

from fourfold.cli import formats, output
from fourfold.cli.appname import from_file
from fourfold.cli.session import Session
from fourfold.cli.watch import watch
from fourfold.control.views import How, RouteView, TopRow

TAKEN = ("CPU %", "CPU", "MEMORY", "LIMIT", "PROCS", "THREADS", "FILES", "READ", "WRITTEN")
ANSWERED = ("REQ/S", "5XX", "MEAN")
COUNTS = frozenset({"REQUESTS", "5XX", "4XX", "REFUSED", "IN FLIGHT", "MEAN"})


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
    header = ("INSTANCE", "PATTERN", "STATE", *TAKEN, *ANSWERED)
    ordered = sorted(rows, key=lambda row: (-(row.cpu_percent or 0), -(row.memory_bytes or 0), row.instance))
    return formats.table(
        header,
        [
            (
                row.instance if with_app else row.instance.partition(".")[2] or row.instance,
                row.pattern,
                row.state,
                _worth(row.cpu, f"{row.cpu_percent:.1f}" if row.cpu_percent is not None else "-"),
                _worth(row.cpu, formats.seconds(row.cpu_seconds)),
                _worth(row.memory, _with_inner(row.memory_bytes, row.guest.memory_bytes if row.guest else None)),
                _with_inner(row.memory_limit, row.guest.memory_total if row.guest else None),
                _number(row.processes),
                _number(row.threads),
                _number(row.descriptors),
                formats.size(row.read_bytes),
                formats.size(row.written_bytes),
                f"{row.requests_per_second:.1f}" if row.requests_per_second is not None else "-",
                _number(row.traffic.errors_5xx if row.traffic else None),
                formats.seconds(row.traffic.response_seconds if row.traffic else None),
            )
            for row in ordered
        ],
        frozenset({*TAKEN, *ANSWERED}),
    )


def _worth(how: How, text: str) -> str:
    """`~12 MiB`: what is estimated."""
    return f"~{text}" if how == "estimated" else text


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _with_inner(size: int | None, inside: int | None) -> str:
    """`177 MiB (55 MiB)`: of this host, and inside of a virtual machine."""
    return formats.size(size) + (f" ({formats.size(inside)})" if inside is not None else "")


def routes(rows: list[RouteView]) -> list[str]:
    header = ("SERVICE", "ROUTE", "REQUESTS", "5XX", "4XX", "REFUSED", "IN FLIGHT", "MEAN")
    return formats.table(
        header,
        [
            (
                row.service,
                row.route or "(internal)",
                str(row.requests),
                str(row.errors_5xx),
                str(row.errors_4xx),
                str(row.refused),
                str(row.in_flight),
                formats.seconds(row.response_seconds),
            )
            for row in rows
        ],
        COUNTS,
    )
