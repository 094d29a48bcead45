"""Recorded hours become traffic without gaps, of whole hours."""

from __future__ import annotations

import pytest

from fourfold.control.costing.hourly import runs, traffic
from fourfold.cost.functions import Taken
from fourfold.cost.model import Hour
from fourfold.store.model import UsageHour

NOON = 12 * 3600


def row(hour: int, requests: int = 10, pattern: str = "process") -> UsageHour:
    return UsageHour("shop", "web", hour * 3600, pattern, requests, 1, requests * 0.5, 36.0, 3600 * 1000.0, 3600.0)


def hour(number: int, requests: float = 10.0, times: float = 1.0) -> Hour:
    return Hour(number * 3600.0, requests, 36.0 * times, 1000.0 * times, 0.5, times)


def test_hours_without_requests_are_hours_too() -> None:
    found = traffic([row(9), row(11)], {}, begun=0.0, now=NOON + 1800)
    assert found.hours == (hour(9), Hour(10 * 3600.0, 0, 0.0, 0.0, None, 0.0), hour(11))
    assert found.requests_per_month == pytest.approx(20 / 3 * 730)


def test_the_present_hour_counts_only_where_there_is_no_other() -> None:
    assert traffic([row(11), row(12)], {}, 0.0, NOON + 1800).hours == (hour(11),)
    assert traffic([row(12)], {}, 0.0, NOON + 1800).hours == (hour(12, 20.0, 2.0),)
    assert traffic([row(12)], {}, NOON + 1200.0, NOON + 1800).hours == (hour(12, 60.0, 6.0),)
    (wild,) = traffic([row(12)], {}, NOON + 1799.0, NOON + 1800).hours
    assert (wild.requests, wild.cpu_seconds) == (600.0, 36.0 * 60), "as if it were all of a minute"
    assert (wild.memory_bytes, wild.instances) == (3600 * 1000.0, 3600.0), "means need no guess"
    assert traffic([row(11)], {}, 11.5 * 3600, NOON + 1800).hours == (hour(11, 20.0, 2.0),), "it began in that hour"
    both = [row(10), row(11)]
    assert traffic(both, {}, 10.5 * 3600, NOON + 1800).hours == (hour(11),), "whole hours tell more"
    assert traffic(both, {}, 11.5 * 3600, NOON + 1800).hours[0] == hour(10), "an older one of that name was there"
    assert traffic([row(9)], {}, 11.5 * 3600, NOON + 1800).hours == (hour(9),)
    assert traffic([], {}, 0.0, NOON).hours == ()


def test_patterns_of_an_hour_are_added_and_functions_are_counted_by_their_journals() -> None:
    rows = [row(11), UsageHour("shop", "web", 11 * 3600, "function", 0, 0, 0.0, 4.0, 3600 * 500.0, 1800.0)]
    invocations = {11 * 3600: Taken(10, 1, 15_000, 1)}
    assert traffic(rows, invocations, 0.0, NOON).hours == (Hour(11 * 3600.0, 20.0, 40.0, 1500.0, 1.0, 1.5),)
    only = traffic(rows, invocations, 0.0, NOON, pattern="function").hours
    assert only == (Hour(11 * 3600.0, 10.0, 4.0, 500.0, 1.5, 0.5),)
    assert traffic(rows, invocations, 0.0, NOON, pattern="process").hours == (hour(11),)
    assert traffic([], {NOON - 7200: Taken(3, 0, 300, 1)}, 0.0, NOON).hours[0].requests == 3


def test_hours_that_are_still_to_come_since_the_clock_was_set_back_do_not_count() -> None:
    assert traffic([row(12), row(20)], {}, 0.0, NOON + 1800).hours == (hour(12, 20.0, 2.0),)
    assert traffic([row(11), row(20)], {20 * 3600: Taken(5, 0, 5, 5)}, 20.5 * 3600, NOON + 1800).hours == (hour(11),)
    assert traffic([row(20)], {}, 20.5 * 3600, NOON).hours == ()


def test_a_job_ran_as_often_as_it_ran() -> None:
    """It came to be at 9:59, ran at 10 and at 12, and now it is 12:30: no part of an hour is taken for a whole one."""
    found = runs([row(10, 1), row(12, 1)], begun=9.98 * 3600, now=NOON + 1800)
    assert [each.requests for each in found.hours] == [0, 1, 0, 1]
    assert found.hours[1].cpu_seconds == 36.0 and found.hours[3].start == NOON
    assert runs([row(10, 1)], 10.5 * 3600, NOON + 1800, pattern="vm").hours == ()
