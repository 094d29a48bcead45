"""What a runtime leaves behind, and how what it left ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from fourfold.spawner.handover import Reported, ending, left_behind, remove, reported
from fourfold.spawner.request import HOW_IT_ENDED, PID_FILE, REPORT, Failed


@pytest.mark.parametrize(
    ("status", "by_init", "expected"),
    [
        (None, True, (None, None)),
        (0, True, (0, None)),
        (7 << 8, True, (7, None)),
        (9, True, (None, 9)),
        (9, False, (None, 9)),
        (143 << 8, True, (None, 15)),
        (143 << 8, False, (143, None)),
        (128 << 8, True, (128, None)),
        (255 << 8, True, (255, None)),
    ],
)
def test_ending(status: int | None, by_init: bool, expected: tuple[int | None, int | None]) -> None:
    assert ending(status, by_init) == expected


def test_a_pid_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / PID_FILE).write_text("4711\n")
    (tmp_path / REPORT).write_text("a warning")
    assert left_behind(str(tmp_path), 0) == 4711
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("pid", "report", "status", "said"),
    [
        ("4711", "no such root", 256, "no such root"),
        ("", "", 0, "its runtime ended with status 0"),
        ("x", "", 0, "its runtime ended with status 0"),
        (None, "", 9, "its runtime ended with status 9"),
    ],
)
def test_nothing_is_left_behind(pid: str | None, report: str, status: int, said: str, tmp_path: Path) -> None:
    if pid is not None:
        (tmp_path / PID_FILE).write_text(pid)
    (tmp_path / REPORT).write_text(report)
    with pytest.raises(Failed) as failed:
        left_behind(str(tmp_path), status)
    assert (failed.value.stage, failed.value.detail) == ("runtime", said)


def test_remove_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("")
    folder = tmp_path / "folder"
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/file").write_text("")
    (folder / "link").symlink_to(tmp_path / "kept")
    remove(str(folder))
    remove(str(folder))
    assert not folder.exists() and (tmp_path / "kept/file").exists()
    folder.symlink_to(tmp_path / "kept")
    remove(str(folder))
    assert (tmp_path / "kept/file").exists()


@pytest.mark.parametrize(
    ("lines", "status", "told"),
    [
        ("booted\nstarted\nended exit 7\n", 0, Reported(7, None, False, "")),
        ("booted\nstarted\nended signal 9 oom\n", 0, Reported(None, 9, True, "")),
        ("booted\nstarted\nended signal 11\n", None, Reported(None, 11, False, "")),
        ("ended exit 0\n", 9, Reported(0, None, False, "")),
        ("booted\nstarted\n", 9, Reported(None, 9, False, "")),
        ("booted\nstarted\n", None, Reported(None, None, False, "started; unknown")),
        ("failed cannot mount /dev/vda: no such device\n", 0,
         Reported(None, None, False, "failed cannot mount /dev/vda: no such device; 0")),
        ("booted\nended exit 0 and more\n", 256, Reported(None, None, False, "ended exit 0 and more; 1")),
        (None, 256, Reported(None, None, False, "nothing; 1")),
    ],
)  # fmt: skip
def test_what_a_guest_reported(lines: str | None, status: int | None, told: Reported, tmp_path: Path) -> None:
    if lines is not None:
        (tmp_path / HOW_IT_ENDED).write_text(lines)
    assert reported(str(tmp_path), status) == told


def test_of_a_guest_that_floods_its_report_only_the_end_is_read(tmp_path: Path) -> None:
    with (tmp_path / HOW_IT_ENDED).open("wb") as file:
        file.truncate(1 << 40)  # what was in front has been given back
        file.seek(0, 2)
        file.write(b"\nended exit 7\n")
    assert reported(str(tmp_path), 0) == Reported(7, None, False, "")
