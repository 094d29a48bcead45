from __future__ import annotations

import os
from pathlib import Path

import pytest

from fourfold.functions import journal
from fourfold.functions.journal import Journal
from fourfold.functions.model import Usage
from tests.functions.rig import read


def usage(number: int) -> Usage:
    return Usage(1764000000.125, f'id-"{number}"', 3, 1.25, 2, 0.0, 134217728, 20_000_000, "ok")


def test_what_is_written_is_read_and_torn_lines_are_left_out(tmp_path: Path) -> None:
    written = Journal(str(tmp_path / "usage"), "one")
    assert all(written.append(usage(number)) for number in range(3))
    Journal(str(tmp_path / "usage"), "two").append(usage(3))
    with (tmp_path / "usage" / "one.0.usage").open("ab") as file:
        file.write(b'{"at":1764000000.1,"request_id":"to')  # killed by a full disk, in the middle of it
    found = read(tmp_path / "usage")
    assert found == [usage(number) for number in range(4)]
    assert (tmp_path / "usage").stat().st_mode & 0o777 == 0o700


def test_a_full_disk_is_told_and_costs_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Journal(str(tmp_path), "one")
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:20]))
    assert not written.append(usage(0))
    monkeypatch.setattr(os, "write", _full)
    assert not written.append(usage(1)) and written.failure is not None
    monkeypatch.setattr(os, "write", real)
    assert written.append(usage(2))
    monkeypatch.setattr(os, "write", _full)
    assert not written.append(usage(3))
    monkeypatch.setattr(journal, "MAX_KEPT", 1)
    assert not written.append(usage(4)), "there is too much"
    assert read(tmp_path) == [usage(number) for number in range(3)]
    monkeypatch.setattr(os, "write", real)
    written.close()
    assert read(tmp_path) == [usage(number) for number in range(4)]


def _full(fd: int, data: bytes) -> int:
    raise OSError(28, "No space left on device")


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_FILE", 500)
    written = Journal(str(tmp_path), "one")
    for number in range(20):
        written.append(usage(number))
    assert len(list(tmp_path.iterdir())) > 4
    assert sorted(found.request_id for found in read(tmp_path)) == sorted(usage(n).request_id for n in range(20))
