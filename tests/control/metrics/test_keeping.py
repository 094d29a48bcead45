"""Counters over restarts of the daemon and of HAProxy: nothing twice, and nothing lost that is still there."""

from __future__ import annotations

from pathlib import Path

import pytest

from fourfold.control.goals import SYSTEM
from fourfold.control.metrics import accesslog
from fourfold.control.metrics import catalog as c
from fourfold.control.metrics.accesslog import Place
from fourfold.control.metrics.keeping import Keeping
from fourfold.errors import WorldError
from fourfold.spawner.logindex import Index
from fourfold.supervise.logs import path_of
from tests.control.metrics.test_tally import ROUTES, line
from tests.control.rig import Rig, rigged

GATEWAY = "fourfold.gateway-0-aaaa"
LINE = line("shop.web", "shop.web-1-a", 200, 3)


def keeping(rig: Rig) -> Keeping:
    """Of another daemon: it knows what is stored."""
    return Keeping(rig.paths, rig.registry, rig.bus, lambda: ROUTES)


def requests(kept: Keeping) -> float:
    return sum(counts[0] for _, counts in kept.tally.series(c.REQUESTS))


def deploys(kept: Keeping) -> float:
    return sum(counts[0] for _, counts in kept.tally.series(c.DEPLOYMENTS))


def gateway(rig: Rig, name: str = GATEWAY, run: int = 1) -> Path:
    rig.add(name, app=SYSTEM, service="gateway", run=run, release=0)
    log = path_of(rig.paths, name, run)
    log.parent.mkdir(parents=True, exist_ok=True)
    return log


def write(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


@rigged
async def test_each_line_and_event_once_whenever_the_daemon_is_killed(rig: Rig) -> None:
    log = gateway(rig)
    rig.add("shop.web-1-a")
    first = keeping(rig)
    write(log, LINE * 3 + LINE[:20])  # a line that is being written
    rig.bus.emit("deploy.done", "done", app="shop", service="web", seconds=1.0)
    await first.look()
    assert (requests(first), deploys(first)) == (3, 1)
    first.store()
    write(log, LINE[20:] + LINE)
    rig.bus.emit("deploy.failed", "failed", app="shop", service="web")
    await first.look()
    assert (requests(first), deploys(first)) == (5, 2)
    second = keeping(rig)  # the first was killed before it stored that
    assert (requests(second), deploys(second)) == (3, 1)
    await second.close()
    assert (requests(second), deploys(second)) == (5, 2)
    assert second.tally.series(c.ANSWERED) == [(("shop", "web", "shop.web-1-a", "2xx"), [5])]
    third = keeping(rig)
    await third.look()
    assert (requests(third), deploys(third)) == (5, 2)


@rigged
async def test_over_runs_of_haproxy(rig: Rig) -> None:
    write(gateway(rig), LINE * 2)
    kept = keeping(rig)
    await kept.look()
    write(path_of(rig.paths, GATEWAY, 1), LINE + LINE[:-1])  # killed within a line
    write(gateway(rig, run=2), LINE)  # which was killed too, before anybody looked
    write(gateway(rig, run=3), LINE)
    await kept.look()
    assert requests(kept) == 6
    rig.add(GATEWAY, app=SYSTEM, service="gateway", run=3, release=0, state="gone")
    write(path_of(rig.paths, GATEWAY, 3), LINE)
    await kept.look()
    write(gateway(rig, name="fourfold.gateway-0-bbbb"), LINE)
    await kept.look()
    assert requests(kept) == 8


@rigged
async def test_what_was_given_back_is_told(rig: Rig) -> None:
    log = gateway(rig)
    write(log, LINE * 10)
    index = Index(str(log))
    index.move_start(len(LINE) * 4)
    kept = keeping(rig)
    await kept.look()
    assert requests(kept) == 6
    assert kept.tally.series(c.SKIPPED) == [((), [len(LINE) * 4])]


@rigged
async def test_a_long_log_takes_several_looks(rig: Rig) -> None:
    write(gateway(rig), LINE * 2)
    write(gateway(rig, run=2), LINE * 2)
    present, place = Place(GATEWAY, 2), Place(GATEWAY, 1)
    looks = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accesslog, "MOST", 1)
        for _ in range(2):
            read = accesslog.read(rig.paths, place, present)
            assert read.place is not None
            place = read.place
            looks.append(sum(sum(counts[1:]) for counts in read.lines.values()))
    assert looks == [2, 2] and place == Place(GATEWAY, 2, 2 * len(LINE))


@rigged
async def test_a_store_that_refuses_is_asked_again(rig: Rig) -> None:
    kept = keeping(rig)
    rig.bus.emit("deploy.done", "done", app="shop", service="web", seconds=1.0)
    await kept.look()
    allow = rig.refuse_commits()
    with pytest.raises(WorldError):
        kept.store()
    allow()
    kept.store()
    again = keeping(rig)
    assert deploys(again) == 1
    assert again.own.series(c.COMMITS) == []
    again.tally.add(c.UNROUTED, "4xx")
    again.store()
    ((_, counts),) = again.own.series(c.COMMITS)
    assert sum(counts[1:]) == 1


@rigged
async def test_apps_that_are_gone_leave_no_rows(rig: Rig) -> None:
    kept = keeping(rig)
    rig.bus.emit("deploy.done", "done", app="shop", service="web", seconds=1.0)
    await kept.look()
    kept.store()
    rig.bus.emit("app.removed", "shop is gone", app="shop")
    await kept.look()
    kept.store()
    assert rig.store.metrics.all() == []
