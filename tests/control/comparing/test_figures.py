"""Memory, noise and saturation: from what is read to figures."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from fourfold.control.comparing.measure import Deployed
from fourfold.control.comparing.memory import pss, settled
from fourfold.control.comparing.noise import Busy, busy, look, other_cores
from fourfold.control.comparing.run import lost
from fourfold.control.comparing.saturation import Step, best, goes_on, steps, still_grows
from fourfold.control.comparing.takings import between
from fourfold.cost.rounds import Round
from fourfold.load.model import Report

STAT = "cpu  1000 100 500 90000 400 10 20 70 300 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"


def test_what_is_idle_or_waits_is_not_busy_and_guests_count_once() -> None:
    assert busy(STAT, 5.0, 100) == Busy(5.0, 17.0)


def test_noise_is_what_neither_we_nor_the_measured_took() -> None:
    assert other_cores(Busy(10.0, 100.0), Busy(20.0, 115.0), 12.0) == 0.3
    assert other_cores(Busy(10.0, 100.0), Busy(20.0, 101.0), 12.0) == 0.0


def test_this_machine_has_been_busy() -> None:
    assert look().seconds > 0


def test_memory_of_processes_is_summed_and_who_has_ended_counts_nothing(tmp_path: Path) -> None:
    for pid, size in ((1, 100), (2, 50)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "smaps_rollup").write_text(f"0-1 ---p [rollup]\nRss:  999 kB\nPss:  {size} kB\n")
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "smaps_rollup").write_text("")
    assert pss([1, 2, 3, 4], tmp_path) == 150 * 1024


def test_what_may_not_be_looked_into_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "1" / "smaps_rollup").mkdir(parents=True)
    assert pss([1], tmp_path) is None


def test_memory_of_this_process() -> None:
    before = pss([os.getpid()])
    held = b"x" * 50_000_000
    after = pss([os.getpid()])
    assert before is not None and after is not None
    assert after - before >= 0.9 * len(held)


def test_settled_memory_is_some_memory() -> None:
    found = asyncio.run(settled(lambda: {os.getpid()}))
    assert found is not None and found > 0


def test_who_came_or_went_meanwhile_is_not_counted() -> None:
    assert between({("a", 1): 1.0, ("b", 1): 5.0}, {("a", 1): 3.5, ("b", 2): 9.0}) == 2.5


def steps_of(*rates: float) -> list[Step]:
    plan = steps(3.0)
    return [Step(plan[at][0], Report(1.0, requests=round(rate)), 0.0) for at, rate in enumerate(rates)]


@pytest.mark.parametrize(
    ("rates", "most", "on", "grows"),
    [
        ((100,), 100, True, False),
        ((100, 90), 100, False, False),
        ((100, 100), 100, True, False),
        ((100, 105, 80), 105, False, False),
        ((100, 400, 550), 550, True, False),
        ((100, 400, 1600), 1600, True, True),
        ((0, 0, 0), 0, True, False),
    ],
)
def test_the_most_is_what_it_answered_with_however_many_clients(
    rates: tuple[float, ...], most: float, on: bool, grows: bool
) -> None:
    tried = steps_of(*rates)
    assert best(tried).report.good_per_second == most
    assert (goes_on(tried), still_grows(tried)) == (on, grows)


@pytest.mark.parametrize(
    ("failed", "errors", "found"),
    [(3, 0, 3), (100, 40, 0), (55, 20, 5), (0, 40, 0)],
    ids=["none", "all", "half", "well"],
)
def test_what_fails_without_a_deploy_too_is_not_lost_by_it(failed: int, errors: int, found: int) -> None:
    assert lost(Deployed(0.2, 100, failed, {}), [Round(requests=20, errors=errors // 2)] * 2) == found
    assert lost(Deployed(0.2, 100, failed, {}), []) == failed
