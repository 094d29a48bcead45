"""A child that is born in its cgroup, and one that has to join it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourfold.spawner import child, kernel
from tests.support.wait import until


@pytest.fixture
def group() -> Iterator[Path]:
    """A v2 group of this test's own."""
    mounts = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    point = next((Path(fields[4]) for fields in mounts if "cgroup2" in fields), None)
    made = (point or Path("/")) / f"ff-test-{os.getpid()}"
    try:
        if point is None:
            raise FileNotFoundError("cgroup2 is not mounted")
        made.mkdir()
    except OSError as error:
        pytest.skip(f"no v2 group can be made here: {error}")
    yield made
    until(lambda: removed(made), 10, "the group to be empty")


def removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


def told_by_child(groups: list[str]) -> tuple[str, str | None]:
    """-> its v2 group as the kernel has it, and what `child.fork` said."""
    reader, writer = os.pipe()
    pid, group = child.fork(groups)
    if pid == 0:
        try:
            assert threading.current_thread() is threading.main_thread()
            os.write(writer, Path("/proc/self/cgroup").read_bytes())
        finally:
            os._exit(7)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        lines = file.read().decode().splitlines()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    return next(line[3:] for line in lines if line.startswith("0::")), group


def test_it_is_born_there(group: Path) -> None:
    inside, born = told_by_child(["/no/such/group", str(group)])
    assert inside.endswith(f"/{group.name}") and born == str(group)


def test_where_that_is_forbidden_it_joins_by_itself(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(number: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(kernel, "fork_into", forbidden)
    inside, born = told_by_child([str(group)])
    assert not inside.endswith(f"/{group.name}") and born is None


def test_what_is_not_a_group_is_refused(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_PATH)
    with pytest.raises(OSError, match=r"\[Errno \d+\]"):
        kernel.fork_into(folder)
    os.close(folder)


def test_its_end_is_told_as_of_any_child(group: Path) -> None:
    folder = os.open(group, os.O_PATH)
    seen: list[int] = []
    before = signal.signal(signal.SIGCHLD, lambda number, frame: seen.append(number))
    try:
        if (pid := kernel.fork_into(folder)) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        assert seen
    finally:
        signal.signal(signal.SIGCHLD, before)
        os.close(folder)
