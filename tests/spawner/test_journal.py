"""The journal as a file: replayed, torn, compacted, and on a full disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.spawner import journal
from fourfold.spawner.journal import Journal
from fourfold.spawner.request import Started


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path / "journal")


def started(pid: int, run: int = 2) -> Started:
    return Started(
        instance=f"a.b-1-{pid}",
        run=run,
        pid=pid,
        start_time=pid * 10,
        boot_id="boot",
        cgroups=["/sys/fs/cgroup/x"],
        log="/logs/x",
        log_bytes=1,
        held=False,
        inside=None,
        private=True,
        user_namespace=False,
        network="host",
    )


def pids(journal: Journal) -> list[int]:
    return [each.pid for each in journal.started.values()]


def test_what_was_written_is_known_again(path: str) -> None:
    first = Journal(path)
    for pid in (1, 2, 3, 4):
        first.start(started(pid))
    one = first.end(started(1), 7, None, False)
    two = first.end(started(2), None, 9, True)
    first.drop(started(3))
    second = Journal(path)
    assert second.started == {started(4).key: started(4)}
    assert second.ended == {one.seq: one, two.seq: two} and two.seq == one.seq + 1
    second.acknowledge(one.seq)
    third = Journal(path)
    assert list(third.ended) == [two.seq]
    third.acknowledge(two.seq)
    fourth = Journal(path)
    assert fourth.end(started(4), 0, None, False).seq == two.seq + 1


def test_sequence_numbers_grow_over_a_lost_journal(path: str) -> None:
    first = Journal(path)
    first.start(started(1))
    before = first.end(started(1), 0, None, False).seq
    Path(path).unlink()
    second = Journal(path)
    second.start(started(1))
    assert second.end(started(1), 0, None, False).seq >= before


def test_lines_that_cannot_be_read_hide_no_others(path: str) -> None:
    first = Journal(path)
    first.start(started(1))
    with Path(path).open("ab") as file:
        file.write(b'\xff\xfe\n[1]\n{"started": {"pid": 5}}\n{"ended": {}}\nnull\n7\n')
    first.start(started(2))
    with Path(path).open("ab") as file:
        file.write(b'{"started": {"instance": "torn')
    assert pids(Journal(path)) == [1, 2]


def test_a_pid_is_free_before_the_end_of_its_program_is_told(path: str) -> None:
    """Its tree may outlive it, and meanwhile another program may have got the pid."""
    first = Journal(path)
    old, new = started(500, run=1), replace(started(500), instance="a.c-1-x")
    first.start(old)
    first.start(new)
    told = first.end(old, 7, None, False)
    assert (told.instance, told.run) == (old.instance, 1)
    again = Journal(path)
    assert list(again.started.values()) == [new] and again.ended == {told.seq: told}
    again.drop(new)
    assert not Journal(path).started


def test_a_journal_of_another_version_is_read_and_handed_on(path: str) -> None:
    newer = {**started(1).as_json(), "colour": "red"}
    older = {key: newer[key] for key in ("instance", "run", "pid", "start_time", "boot_id")} | {"instance": "a.o-1-x"}
    ended = {"seq": 9, "instance": "a.e-1-x", "run": 1, "code": 3, "signal": None, "oom": False, "at": 1.0, "why": "?"}
    foreign = [{"began": {"instance": "a.z-1-x"}}, {"started": {"name": "a.y-1-x"}}]
    lines = [{"seq": 8}, {"started": newer}, {"started": older}, {"ended": ended}, *foreign]
    Path(path).write_text("".join(json.dumps(line) + "\n" for line in lines))
    for _ in range(2):
        journal = Journal(path)
        assert [each.instance for each in journal.started.values()] == ["a.b-1-1", "a.o-1-x"]
        assert {seq: each.code for seq, each in journal.ended.items()} == {9: 3}
    kept = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert all(line in kept for line in foreign)


def test_it_stays_small_and_whole(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_COMPACT_AT", 4096)
    kept = Journal(path)
    kept.start(started(1))
    for _ in range(200):
        kept.start(started(2))
        kept.acknowledge(kept.end(started(2), 0, None, False).seq)
    assert Path(path).stat().st_size < 8192
    assert pids(Journal(path)) == [1]


def test_a_full_disk_starts_nothing_and_forgets_nothing(path: str) -> None:
    full = Journal(path)
    full.start(started(1))
    real, full._fd = full._fd, os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space"):
        full.start(started(2))
    ended = full.end(started(1), 7, None, False)
    assert full.ended == {ended.seq: ended} and not full.started
    os.close(real)
    full.start(started(3))  # there is room again: what was missing is written too
    again = Journal(path)
    assert again.ended == {ended.seq: ended} and pids(again) == [3]
