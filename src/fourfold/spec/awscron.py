"""AWS's cron expressions: minutes, hours, day of month, month, day of week, year. Pure.

Source: EventBridge user guide, "Cron expressions": `?` in one of the days, `L`, `W` (`15W`, `LW`), `6L`, `2#1`; days
of the week are 1 (Sunday) to 7.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from fourfold.spec.units import shown

MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), start=1)}
YEARS = (1970, 2199)
FIELDS = ("minutes", "hours", "day of month", "month", "day of week", "year")


@dataclass(frozen=True)
class AwsCron:
    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: str
    """`?`, or what `_in_month` reads."""
    months: frozenset[int]
    weekdays: str
    years: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> AwsCron:
        """Of what stands between the parentheses. Raises ValueError in plain words."""
        parts = text.upper().split()
        if len(parts) != 6:
            raise ValueError(f"expected six fields ({', '.join(FIELDS)}) in cron(…), got {shown(text)}")
        minutes, hours, days, months, weekdays, years = parts
        if (days == "?") == (weekdays == "?"):
            raise ValueError(f"exactly one of day of month and day of week is ? in cron(…), got {shown(text)}")
        made = cls(
            text=" ".join(parts),
            minutes=tuple(sorted(_numbers(minutes, 0, 59, "minutes"))),
            hours=tuple(sorted(_numbers(hours, 0, 23, "hours"))),
            days=days,
            months=frozenset(_numbers(months, 1, 12, "month", MONTHS)),
            weekdays=weekdays,
            years=frozenset(_numbers(years, *YEARS, "year")),
        )
        leap, first = 2024, 1
        if days != "?":
            list(_days_of_month(days, leap, first))
        else:
            list(_days_of_week(weekdays, leap, first))
        if not any(made._in_month(year, month) for year in (2023, 2024) for month in made.months):
            raise ValueError(f"cron({text}) is never due: there is no such day")
        return made

    def after(self, moment: float, zone: ZoneInfo) -> float | None:
        """The first time later than `moment`; None: never again."""
        local = datetime.fromtimestamp(moment, zone)
        day: date | None = (local - timedelta(days=1)).date()  # what does not exist may be due on the day after
        while day is not None and (day := self._day_from(day)) is not None:
            for found in self._times(day, zone):
                if found > moment:
                    return found
            day += timedelta(days=1)
        return None

    def _day_from(self, day: date) -> date | None:
        """The first day that matches, this one or a later one."""
        year, month, first = day.year, day.month, day.day
        while year <= YEARS[1]:
            if year in self.years and month in self.months:
                left = [number for number in self._in_month(year, month) if number >= first]
                if left:
                    return date(year, month, left[0])
            elif year not in self.years and not any(later > year for later in self.years):
                return None
            year, month, first = (year + 1, 1, 1) if month == 12 else (year, month + 1, 1)
        return None

    def _in_month(self, year: int, month: int) -> list[int]:
        found = (
            _days_of_month(self.days, year, month) if self.days != "?" else _days_of_week(self.weekdays, year, month)
        )
        return sorted(set(found))

    def _times(self, day: date, zone: ZoneInfo) -> Iterator[float]:
        """Epoch seconds of one day, in order."""
        if zone.key == "UTC" or _offset(day, zone) == _offset(day + timedelta(days=1), zone):
            for hour in self.hours:
                for minute in self.minutes:
                    yield datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).timestamp()
            return
        every = len(self.hours) == 24 or len(self.minutes) == 60
        yield from sorted({found for hour in self.hours for found in self._of_hour(day, hour, zone, every)})

    def _of_hour(self, day: date, hour: int, zone: ZoneInfo, every: bool) -> Iterator[float]:
        """On a day whose clocks are changed. `every`: all that really pass count, and none is made up for."""
        for minute in self.minutes:
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
            first, second = local.timestamp(), local.replace(fold=1).timestamp()
            exists = datetime.fromtimestamp(first, zone).replace(tzinfo=None) == local.replace(tzinfo=None)
            if exists:
                yield first
                if every and second != first:
                    yield second
            elif not every:
                yield _end_of_gap(local, zone)


def _offset(day: date, zone: ZoneInfo) -> timedelta | None:
    return datetime(day.year, day.month, day.day, tzinfo=zone).utcoffset()


def _end_of_gap(local: datetime, zone: ZoneInfo) -> float:
    """Of a time that clocks leave out: when they go on."""
    while True:
        local += timedelta(minutes=1)
        moment = local.timestamp()
        if datetime.fromtimestamp(moment, zone).replace(tzinfo=None) == local.replace(tzinfo=None):
            return moment


def _numbers(field: str, low: int, high: int, what: str, names: dict[str, int] | None = None) -> Iterator[int]:
    """`*`, `5`, `1-5`, `0/15`, `1-30/5`, `MON-FRI`, and lists of these."""
    for part in field.split(","):
        span, slash, step = part.partition("/")
        if span == "*":
            first, last = low, high
        else:
            begin, dash, end = span.partition("-")
            first = _number(begin, low, high, what, names)
            last = _number(end, low, high, what, names) if dash else high if slash else first
        if slash and not (step.isascii() and step.isdigit() and 0 < int(step) <= high):
            raise ValueError(f"expected {what} such as 0/5 in cron(…), got {shown(part)}")
        if last < first:
            raise ValueError(f"expected {what} in order, the smaller first, got {shown(part)}")
        yield from range(first, last + 1, int(step) if slash else 1)


def _number(text: str, low: int, high: int, what: str, names: dict[str, int] | None) -> int:
    number = (names or {}).get(text)
    if number is None and text.isascii() and text.isdigit() and len(text) <= 4:
        number = int(text)
    if number is None or not low <= number <= high:
        raise ValueError(f"expected {what} between {low} and {high} in cron(…), got {shown(text)}")
    return number


def _days_of_month(field: str, year: int, month: int) -> Iterator[int]:
    last = calendar.monthrange(year, month)[1]
    for part in field.split(","):
        if part == "L":
            yield last
        elif part in ("LW", "WL"):
            yield _weekday_near(last, year, month, last)
        elif part.endswith("W"):
            day = _number(part[:-1], 1, 31, "day of month", None)
            if day <= last:
                yield _weekday_near(day, year, month, last)
        else:
            yield from (day for day in _numbers(part, 1, 31, "day of month") if day <= last)


def _weekday_near(day: int, year: int, month: int, last: int) -> int:
    """Monday to Friday nearest to a day, without leaving the month."""
    weekday = date(year, month, day).weekday()
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < last else day - 2
    return day


def _days_of_week(field: str, year: int, month: int) -> Iterator[int]:
    last = calendar.monthrange(year, month)[1]
    for part in field.split(","):
        day, hash_, count = part.partition("#")
        if hash_:
            number = _number(count, 1, 5, "week of the month", None)
            found = list(_of_weekday(_number(day, 1, 7, "day of week", DAYS), year, month, last))
            yield from found[number - 1 : number]
        elif part == "L":  # the last of the week
            yield from _of_weekday(7, year, month, last)
        elif part.endswith("L"):
            yield list(_of_weekday(_number(part[:-1], 1, 7, "day of week", DAYS), year, month, last))[-1]
        else:
            for weekday in _numbers(part, 1, 7, "day of week", DAYS):
                yield from _of_weekday(weekday, year, month, last)


def _of_weekday(weekday: int, year: int, month: int, last: int) -> Iterator[int]:
    """Days of a month that are this day of the week (1 is Sunday)."""
    first = (weekday - 2 - date(year, month, 1).weekday()) % 7 + 1
    return iter(range(first, last + 1, 7))
