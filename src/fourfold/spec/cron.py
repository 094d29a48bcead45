"""When a schedule is due: five-field cron, AWS's `cron(…)` and `rate(…)`, and plain rates. Pure.

Daylight saving, as Debian's cron has it: a fixed time that does not exist is due when the gap ends, one that comes
twice is due the first time; with `*` as minute or hour, every minute or hour that really passes counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from fourfold.spec.awscron import AwsCron
from fourfold.spec.units import parse_duration, shown

UNITS = {"minute": 60, "hour": 3600, "day": 86_400}
EXPECTED = 'expected five fields such as "*/5 * * * *", cron(0 18 * * ? *) or rate(5 minutes)'


@dataclass(frozen=True)
class Rate:
    """Every `seconds`, counted from when it was first seen."""

    seconds: float


@dataclass(frozen=True)
class FiveFields:
    """As crontab(5) has it; also `L` as day of the month, `5L` and `5#3` as day of the week."""

    text: str


When = Rate | FiveFields | AwsCron


def parse_when(cron: str | None, rate: float | None) -> When:
    """Raises ValueError in plain words."""
    if cron is None:
        assert rate is not None
        return Rate(rate)
    text = cron.strip()
    if match := re.fullmatch(r"(cron|rate)\s*\((.*)\)", text):
        return AwsCron.parse(match[2]) if match[1] == "cron" else _aws_rate(match[2], cron)
    if len(text.split()) != 5:
        raise ValueError(f"{EXPECTED}, got {shown(cron)}")
    from cronsim import CronSim, CronSimError  # few files have schedules

    try:
        next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        raise ValueError(f"{EXPECTED}; the {field} of {shown(cron)} is none") from None
    except StopIteration:
        raise ValueError(f"{shown(cron)} is never due: there is no such day") from None
    return FiveFields(text)


def _aws_rate(inner: str, whole: str) -> Rate:
    match = re.fullmatch(r"\s*([1-9][0-9]{0,8})\s+(minute|hour|day)(s?)\s*", inner)
    if match is None:
        raise ValueError(f"expected a rate such as rate(1 minute), rate(5 minutes) or rate(1 day), got {shown(whole)}")
    count = int(match[1])
    if (count == 1) == bool(match[3]):  # AWS refuses it too
        unit = match[2] if count == 1 else f"{match[2]}s"
        raise ValueError(f"expected rate({count} {unit}), got {shown(whole)}")
    return Rate(parse_duration(float(count * UNITS[match[2]])))


@lru_cache(maxsize=512)
def zone_of(name: str) -> ZoneInfo:
    """Raises ValueError for a name that this host's time zone database does not have."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a folder of it, `../x`, a name that is not there
        raise ValueError(f"expected a time zone such as Asia/Seoul or UTC, got {shown(name)}") from None


def next_time(when: When, zone: ZoneInfo, after: float, anchor: float) -> float | None:
    """The first time later than `after`; None: never again. `anchor` is when a rate began. All epoch seconds."""
    if isinstance(when, Rate):
        passed = max(0, int((after - anchor) // when.seconds))
        due = anchor + (passed + 1) * when.seconds
        return due if due > after else due + when.seconds
    if isinstance(when, AwsCron):
        return when.after(after, zone)
    from cronsim import CronSim

    start = datetime.fromtimestamp(after, UTC if zone.key == "UTC" else zone)
    try:
        for moment in CronSim(when.text, start):
            if (found := moment.timestamp()) > after:  # in an hour that comes twice, the first one may be past
                return found
    except (StopIteration, OverflowError, ValueError):
        pass
    return None
