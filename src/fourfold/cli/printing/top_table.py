"""What `top` shows, as lines: instances, what services take in all, and the routes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from fourfold.cli.printing import formats

if TYPE_CHECKING:
    from fourfold.control.views import How, RouteView, TopRow

TAKEN = ("CPU %", "CPU", "MEMORY", "LIMIT", "PROCS", "THREADS", "FILES", "READ", "WRITTEN")
ANSWERED = ("REQ/S", "5XX", "MEAN")
COUNTS = frozenset({"INSTANCES", "REQUESTS", "5XX", "4XX", "REFUSED", "IN FLIGHT", "MEAN"})

Sort = Literal["cpu", "memory", "requests", "errors", "name"]
_Key: TypeAlias = "Callable[[TopRow], tuple[Any, ...]]"
SORTS: dict[Sort, _Key] = {
    "cpu": lambda row: (-(row.cpu_percent or 0), -(row.memory_bytes or 0), row.instance),
    "memory": lambda row: (-(row.memory_bytes or 0), row.instance),
    "requests": lambda row: (-(row.requests_per_second or 0), row.instance),
    "errors": lambda row: (-(row.traffic.errors_5xx if row.traffic else 0), row.instance),
    "name": lambda row: (row.instance,),
}


def instances(rows: Iterable[TopRow], with_app: bool, sort: Sort = "cpu") -> list[str]:
    """The hungriest first."""
    header = ("INSTANCE", "PATTERN", "STATE", *TAKEN, *ANSWERED)
    shown = [
        (
            row.instance if with_app else row.instance.partition(".")[2] or row.instance,
            row.pattern,
            row.state,
            *_taken(row),
        )
        for row in sorted(rows, key=SORTS[sort])
    ]
    return formats.table(header, shown, frozenset({*TAKEN, *ANSWERED}))


def services(rows: Iterable[TopRow], with_app: bool, sort: Sort = "cpu") -> list[str]:
    """What all instances of each take together."""
    header = ("SERVICE", "PATTERN", "INSTANCES", *TAKEN, *ANSWERED)
    found: dict[tuple[str, str], list[TopRow]] = {}
    for row in rows:
        found.setdefault((row.app, row.service), []).append(row)
    totals = sorted(((total(each), len(each)) for each in found.values()), key=lambda pair: SORTS[sort](pair[0]))
    shown = [
        (f"{row.app}.{row.service}" if with_app else row.service, row.pattern, str(count), *_taken(row))
        for row, count in totals
    ]
    return formats.table(header, shown, frozenset({"INSTANCES", *TAKEN, *ANSWERED}))


def total(rows: Sequence[TopRow]) -> TopRow:
    """Of one service, as if it were one instance; what is not known of any is not known of all."""
    first = rows[0]
    traffic = [row.traffic for row in rows if row.traffic is not None]
    asked = sum(each.requests for each in traffic)
    seconds = sum(each.response_seconds * each.requests for each in traffic)
    patterns = sorted({row.pattern for row in rows})
    together = {
        name: sum(values) if (values := [v for row in rows if (v := getattr(row, name)) is not None]) else None
        for name in (
            "cpu_percent", "cpu_seconds", "memory_bytes", "memory_limit", "processes", "threads", "descriptors",
            "read_bytes", "written_bytes", "requests_per_second",
        )
    }  # fmt: skip
    if any(row.memory_limit is None for row in rows):
        together["memory_limit"] = None
    whole = None
    if traffic:
        whole = traffic[0].model_copy(
            update={
                "requests": asked,
                "errors_5xx": sum(each.errors_5xx for each in traffic),
                "errors_4xx": sum(each.errors_4xx for each in traffic),
                "in_flight": sum(each.in_flight for each in traffic),
                "response_seconds": seconds / asked if asked else 0.0,
            }
        )
    estimated = {how: "estimated" for how in ("cpu", "memory") if any(getattr(row, how) == "estimated" for row in rows)}
    update = {
        "instance": f"{first.app}.{first.service}",
        "pattern": ", ".join(patterns),
        "traffic": whole,
        "guest": None,
    }
    return first.model_copy(update=together | estimated | update)


def _taken(row: TopRow) -> tuple[str, ...]:
    return (
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
        formats.duration(row.traffic.response_seconds if row.traffic else None),
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
                formats.duration(row.response_seconds),
            )
            for row in rows
        ],
        COUNTS,
    )
