"""Whose lines `fourfold logs --previous` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fourfold.control.reporting.logs import REMOVED, Logs
from fourfold.supervise import logs
from tests.control.rig import Rig, rigged
from tests.store.samples import deployment


def ended(at: float) -> dict[str, Any]:
    return {"code": 3, "signal": None, "oom": False, "at": at, "reason": "exit code 3", "asked": False}


async def previous(rig: Rig) -> set[str]:
    for row in rig.store.instances.of("shop", "web"):
        for run in range(1, row.run + 1):
            path = logs.path_of(rig.paths, row.id, run)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{row.id} {run}\n")
    read = Logs(rig.paths, rig.registry).read(["shop.web"], since=None, tail=None, previous=True, follow=False)
    return {line.text async for _, line in read}


@pytest.mark.parametrize(("crashed_at", "shown"), [(None, "new-2-x 1"), (5.0, "new-2-x 1"), (20.0, "old-1-x 1")])
def test_what_a_failed_deployment_started_comes_before_what_it_was_to_replace(
    crashed_at: float | None, shown: str, tmp_path: Path
) -> None:
    """Unless that has ended since."""

    @rigged
    async def test(rig: Rig) -> None:
        rig.add("shop.new-2-x", release=2, state="gone", changed_at=10.0, exit=ended(10.0))
        rig.add("shop.surplus-1-x", state="gone", changed_at=11.0, exit=ended(11.0))
        again = {"run": 2, "exit": ended(crashed_at)} if crashed_at is not None else {}
        rig.add("shop.old-1-x", state="ready", **again)
        with rig.registry.transaction():
            rig.registry.put_deployment(deployment(release=2, state="rolled-back"))
        assert await previous(rig) == {f"shop.{shown}"}

    test(tmp_path)


@rigged
async def test_what_was_replaced_last_is_shown_where_nothing_failed(rig: Rig) -> None:
    rig.add("shop.web-1-x", state="gone", changed_at=10.0, exit=ended(10.0))
    rig.add("shop.web-2-x", release=2, state="ready")
    with rig.registry.transaction():
        rig.registry.put_deployment(deployment(release=2))
    assert await previous(rig) == {"shop.web-1-x 1"}


@rigged
async def test_a_log_that_was_removed_under_its_program_is_said_to_be(rig: Rig) -> None:
    rig.add("shop.web-1-x", state="ready")
    rig.add("shop.web-1-y", state="starting")  # has none yet
    rig.add("shop.web-1-z", state="ready")
    path = logs.path_of(rig.paths, "shop.web-1-z", 1)
    path.parent.mkdir(parents=True)
    path.touch()
    read = Logs(rig.paths, rig.registry).read(["shop.web"], since=None, tail=None, previous=False, follow=False)
    assert [(name, line.text) async for name, line in read] == [("shop.web-1-x", REMOVED)]
