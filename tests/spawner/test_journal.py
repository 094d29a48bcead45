"""The journal as a file: replayed, torn, compacted, and on a full disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourfold.spawner import journal
from fourfold.spawner.journal import Journal
from fourfold.spawner.request import Started


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path / "journal")


def started(pid: int) -> Started:
    return Started(
        instance=f"a.b-1-{pid}",
        run=2,
        pid=pid,
        start_time=pid * 10,
        boot_id="boot",
        cgroups=["/sys/fs/cgroup/x"],
        log="/logs/x",
        log_bytes=1,
        held=False,
        inside=None,
        user=None,
        cwd="/app",
        private=True,
        user_namespace=False,
        network="host",
    )


def test_what_was_written_is_known_again(path: str) -> None:
    first = Journal(path)
    for pid in (1, 2, 3, 4):
        first.start(started(pid))
    one = first.end(1, 7, None, False)
    two = first.end(2, None, 9, True)
    first.drop(3)
    second = Journal(path)
    assert second.started == {4: started(4)}
    assert second.ended == {one.seq: one, two.seq: two} and two.seq == one.seq + 1
    second.acknowledge(one.seq)
    third = Journal(path)
    assert list(third.ended) == [two.seq]
    third.acknowledge(two.seq)
    fourth = Journal(path)
    assert fourth.end(4, 0, None, False).seq == two.seq + 1


def test_sequence_numbers_grow_over_a_lost_journal(path: str) -> None:
    first = Journal(path)
    first.start(started(1))
    before = first.end(1, 0, None, False).seq
    Path(path).unlink()
    second = Journal(path)
    second.start(started(1))
    assert second.end(1, 0, None, False).seq >= before


def test_lines_that_cannot_be_read_hide_no_others(path: str) -> None:
    first = Journal(path)
    first.start(started(1))
    with Path(path).open("ab") as file:
        file.write(b'\xff\xfe\n[1]\n{"started": {"pid": 5}}\n{"ended": {}}\nnull\n7\n')
    first.start(started(2))
    with Path(path).open("ab") as file:
        file.write(b'{"started": {"instance": "torn')
    assert list(Journal(path).started) == [1, 2]


def test_it_stays_small_and_whole(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_COMPACT_AT", 4096)
    kept = Journal(path)
    kept.start(started(1))
    for _ in range(200):
        kept.start(started(2))
        kept.acknowledge(kept.end(2, 0, None, False).seq)
    assert Path(path).stat().st_size < 8192
    assert list(Journal(path).started) == [1]


def test_a_full_disk_starts_nothing_and_forgets_nothing(path: str) -> None:
    full = Journal(path)
    full.start(started(1))
    real, full._fd = full._fd, os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space"):
        full.start(started(2))
    ended = full.end(1, 7, None, False)
    assert full.ended == {ended.seq: ended} and not full.started
    os.close(real)
    full.start(started(3))  # there is room again: what was missing is written too
    again = Journal(path)
    assert again.ended == {ended.seq: ended} and list(again.started) == [3]
