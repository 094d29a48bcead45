"""What goes first when there is too much; what is needed, or was just written, never does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.errors import WorldError
from fourfold.store.files.blobs import Kept
from fourfold.store.garbage.quotas import LogFile, share_of, surplus_artifacts, surplus_logs
from fourfold.store.room import floor_of, lacking, require_room

MIB = 1024**2


@pytest.mark.parametrize(
    ("excess", "gone"),
    [(-5, ""), (0, ""), (1, "b"), (10, "b"), (11, "bd"), (1000, "bd")],
)
def test_artifacts_not_used_for_longest_go(excess: int, gone: str) -> None:
    kept = [Kept("a", 10, 1.0), Kept("b", 10, 2.0), Kept("d", 10, 4.0), Kept("c", 10, 50.0)]
    assert "".join(each.digest for each in surplus_artifacts(kept, {"a"}, 49.0, excess)) == gone


def log(instance: str, run: int, written_at: float, size: int = 10) -> LogFile:
    return LogFile(Path(f"{instance}.{run}.log"), instance, run, size, written_at)


LOGS = [
    log("web-1", 3, 9.0), log("web-1", 1, 1.0), log("web-1", 2, 5.0), log("gone-1", 1, 8.0), log("gone-2", 1, 7.0),
    log("new-1", 1, 99.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("excess", "gone"),
    [
        (0, []),
        (1, ["gone-2.1"]),
        (20, ["gone-2.1", "gone-1.1"]),
        (21, ["gone-2.1", "gone-1.1", "web-1.1"]),
        (1000, ["gone-2.1", "gone-1.1", "web-1.1", "web-1.2"]),
    ],
)
def test_logs_of_what_is_gone_go_first(excess: int, gone: list[str]) -> None:
    """Those of the present runs stay, and of what was written a moment ago by nobody that is known."""
    assert [each.path.stem for each in surplus_logs(LOGS, {"web-1": 3}, 90.0, excess)] == gone


@given(st.integers(MIB, 10**11), st.integers(64 * 1024, 10**9), st.integers(0, 5000))
def test_a_log_has_its_share(log_total: int, log_bytes: int, instances: int) -> None:
    share = share_of(log_total, log_bytes, instances)
    assert 64 * 1024 <= share <= max(log_bytes, 64 * 1024)
    assert share == 64 * 1024 or share * (instances + 1) <= log_total


def test_what_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert floor_of(100 * 1024**3, 1024**3) == 1024**3
    assert floor_of(20 * MIB, 1024**3) == MIB, "nobody can have a GiB free on a small disk"

    def usage(folder: Path) -> Any:
        return type("Usage", (), {"total": 1000 * MIB, "free": 30 * MIB})

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert lacking(tmp_path, 40 * MIB) == 10 * MIB
    require_room(tmp_path, 20 * MIB, "build web", 10 * MIB)
    with pytest.raises(WorldError, match="its disk has 30 MiB free, and it takes 11 MiB; 20 MiB stay"):
        require_room(tmp_path, 20 * MIB, "build web", 11 * MIB)
