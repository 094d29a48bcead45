"""Hours of services as text: what `cost --usage FILE` reads, and `cost --export FILE` writes.

CSV with a header line, or JSON: a list of objects with the same keys. One line is an hour of a service.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from fourfold.cost.comparison import Pattern
from fourfold.cost.model import LATEST, MOST, Hour, Traffic
from fourfold.errors import Problem, SpecError
from fourfold.spec.places import similar
from fourfold.spec.units import shown

HOUR = 3600
UNNAMED = "service"
"""Of lines that do not say which service they are of."""
MOST_HOURS = 3 * 366 * 24
"""From the first to the last of a service."""
_NUMBERS = ("requests", "cpu_seconds", "memory_bytes", "response_seconds", "instances")
COLUMNS = ("hour", "service", "pattern", *_NUMBERS)
_MOST_PROBLEMS = 20
_DIGITS = 6
"""Of requests: what is less than a millionth of one is none."""


@dataclass(frozen=True)
class ServiceUsage:
    service: str
    pattern: Pattern | None
    """What it ran under at last; None: elsewhere, or nobody said."""
    traffic: Traffic
    under_it: Traffic
    """What came while it ran under that one: this tells what an instance of it takes."""


@dataclass(frozen=True)
class _Line:
    service: str
    pattern: Pattern | None
    hour: Hour


class _Wrong(Exception):
    pass


def parse_usage(text: str, name: str) -> list[ServiceUsage]:
    """In order of the services' names; hours without a line are ones without requests. SpecError with what is wrong."""
    rows = _json_rows(text, name) if text.lstrip()[:1] in ("[", "{") else _csv_rows(text, name)
    lines: list[_Line] = []
    problems: list[Problem] = []
    for line, path, row in rows:
        try:
            lines.append(_line(row))
        except _Wrong as wrong:
            problems.append(Problem(path, str(wrong), name, line))
    problems += [Problem("", wrong, name) for wrong in _apart(lines)]
    if not lines and not problems:
        problems.append(Problem("", "has no hours", name, hint=f"a line holds {', '.join(COLUMNS)}"))
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        raise SpecError([*problems[:_MOST_PROBLEMS], *([Problem("", f"and {more} more", name)] if more > 0 else [])])
    return [_service(service, each) for service, each in sorted(_by_service(lines).items())]


def to_csv(rows: Iterable[Mapping[str, object]]) -> str:
    """That `parse_usage` reads again. Of `COLUMNS`; a row has what it has."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_written(row.get(column)) for column in COLUMNS] for row in rows)
    return out.getvalue()


def _written(value: object) -> object:
    return f"{value:.10g}" if isinstance(value, float) else value


def _csv_rows(text: str, name: str) -> Iterable[tuple[int | None, str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), restkey="")
    try:
        header = [column.strip() for column in reader.fieldnames or ()]
        reader.fieldnames = header
        _check_keys(header, name, 1)
        for row in reader:
            if "" in row:
                raise SpecError([Problem("", "has more values than the first line", name, reader.line_num)])
            yield reader.line_num, "", {key: value.strip() for key, value in row.items() if value and value.strip()}
    except csv.Error as error:
        raise SpecError([Problem("", f"is not CSV: {error}", name, reader.line_num + 1)]) from None


def _json_rows(text: str, name: str) -> Iterable[tuple[int | None, str, Mapping[str, Any]]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError([Problem("", f"is not JSON: {error}", name)]) from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SpecError([Problem("", "expected a list of objects, each an hour of a service", name)])
    _check_keys(list(dict.fromkeys(key for row in rows for key in row)), name, None)
    for index, row in enumerate(rows):
        yield None, f"[{index}]", {key: value for key, value in row.items() if value not in (None, "")}


def _check_keys(found: list[str], name: str, line: int | None) -> None:
    problems = [
        Problem(
            "", f"unknown column {shown(key)}: known are {', '.join(COLUMNS)}", name, line, hint=similar(key, COLUMNS)
        )
        for key in found
        if key not in COLUMNS
    ]
    missing = [key for key in ("hour", "requests") if key not in found] if found else []
    problems += [Problem("", f"the column `{key}` is missing", name, line) for key in missing]
    if problems:
        raise SpecError(problems)


def _line(row: Mapping[str, Any]) -> _Line:
    numbers = {column: _number(column, row.get(column)) for column in _NUMBERS}
    if (requests := numbers.pop("requests")) is None:
        raise _Wrong("`requests` is missing")
    pattern = row.get("pattern")
    if pattern is not None and pattern not in get_args(Pattern):
        raise _Wrong(f"pattern: expected one of {', '.join(get_args(Pattern))}, got {shown(pattern)}")
    service = row.get("service", UNNAMED)
    if not isinstance(service, str) or not service.isprintable():
        raise _Wrong(f"service: expected a name, got {shown(service)}")
    return _Line(service, pattern, Hour(_start(row.get("hour")), round(requests, _DIGITS), **numbers))


def _number(column: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value) if not isinstance(value, bool) else -1.0
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if not 0 <= number < MOST:
        raise _Wrong(f"{column}: expected a number, 0 or more, got {shown(value)}")
    return number


def _start(value: Any) -> float:
    """Epoch seconds of the hour in which it is."""
    if value is None:
        raise _Wrong("`hour` is missing")
    try:
        at = float(value) if not isinstance(value, bool) else -1.0
    except (TypeError, ValueError, OverflowError):
        try:
            given = datetime.fromisoformat(value)
            at = (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()
        except (TypeError, ValueError, OverflowError):
            at = -1.0
    if not 0 <= at < LATEST:
        raise _Wrong(f"hour: expected a time such as 2026-11-22T08:00:00Z or epoch seconds, got {shown(value)}")
    return at // HOUR * HOUR


def _by_service(lines: Iterable[_Line]) -> dict[str, list[_Line]]:
    found: dict[str, list[_Line]] = {}
    for line in lines:
        found.setdefault(line.service, []).append(line)
    return found


def _apart(lines: Iterable[_Line]) -> list[str]:
    """Services whose hours are so far apart that one of them must be wrong."""
    spans = {
        service: max(line.hour.start for line in each) - min(line.hour.start for line in each)
        for service, each in _by_service(lines).items()
    }
    far = [service for service, span in spans.items() if span >= MOST_HOURS * HOUR]
    return [f"the hours of {service} are more than three years apart" for service in far]


def _service(service: str, lines: list[_Line]) -> ServiceUsage:
    under = [line.pattern for line in sorted(lines, key=lambda line: line.hour.start) if line.pattern]
    pattern = under[-1] if under else None
    mine = [line for line in lines if line.pattern in (None, pattern)]
    return ServiceUsage(service, pattern, _filled(lines), _filled(mine))


def _filled(lines: list[_Line]) -> Traffic:
    hours: dict[float, list[Hour]] = {}
    for line in lines:
        hours.setdefault(line.hour.start, []).append(line.hour)
    first, last = int(min(hours)), int(max(hours))
    return Traffic(tuple(_added(float(at), hours.get(float(at), [])) for at in range(first, last + 1, HOUR)))


def _added(start: float, parts: list[Hour]) -> Hour:
    """An hour from its lines: one, or one for each pattern that it ran under."""
    if not parts:
        return Hour(start, 0.0)
    if len(parts) == 1:
        return parts[0]
    requests = sum(part.requests for part in parts)
    answered = [part for part in parts if part.response_seconds is not None and part.requests]
    waited = sum((part.response_seconds or 0) * part.requests for part in answered)
    return Hour(
        start,
        requests,
        cpu_seconds=_sum([part.cpu_seconds for part in parts]),
        memory_bytes=_sum([part.memory_bytes for part in parts]),
        response_seconds=waited / sum(part.requests for part in answered) if answered else None,
        instances=_sum([part.instances for part in parts]),
    )


def _sum(numbers: list[float | None]) -> float | None:
    told = [number for number in numbers if number is not None]
    return sum(told) if len(told) == len(numbers) else None
