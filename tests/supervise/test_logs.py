"""Logs: bounded on disk, no line lost in what is kept, readable while they are written and trimmed."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import stat
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from fourfold.paths import Paths
from fourfold.spawner import kernel, logindex
from fourfold.spawner.logindex import Index, read
from fourfold.spawner.logs import TRUNCATED, Log
from fourfold.supervise import logs
from fourfold.supervise.model import LogLine
from tests.store.namespace import run_with_mounts
from tests.supervise.rig import Rig, home, scenario, script, until

MIB = 1 << 20


def on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_400_000_lines_and_none_lost_in_the_kept_part() -> None:
    async def test(rig: Rig) -> None:
        count = 400_000
        text = f"""
import os
for first in range(0, {count}, 100):
    os.write(1, b"".join(b"line %09d of a program that likes to talk\\n" % n for n in range(first, first + 100)))
"""
        launch = rig.launch("a.b-1-x", *script(text), log_bytes=MIB)
        await rig.start(launch, {}, 1)
        seen = [line.text async for line in follow(rig, "a.b-1-x")]
        assert (await rig.exit_of("a.b-1-x")).code == 0
        path = logs.path_of(rig.paths, "a.b-1-x", 1)
        assert path.stat().st_size > 16 * MIB and on_disk(path) <= MIB
        kept = rig.lines("a.b-1-x")
        numbers = [int(line.split()[1]) for line in kept]
        assert all(line.endswith("likes to talk") and len(line) == 46 for line in kept)
        assert numbers == list(range(numbers[0], count))
        assert len(kept) * 47 >= MIB // 2 - 47
        # A reader that could not keep up jumps, from line to line, and sees nothing torn and nothing twice.
        followed = [int(line.split()[1]) for line in seen]
        assert followed[-1] == count - 1 and all(a < b for a, b in pairwise(followed))
        assert logs.last_lines(rig.paths, "a.b-1-x", 1, 3) == kept[-3:]
        assert path.with_name(f"{path.name}.idx").stat().st_size < 300_000

    scenario(test)


def follow(rig: Rig, instance: str) -> AsyncIterator[LogLine]:
    return logs.read(rig.paths, instance, 1, follow=True, alive=lambda: instance in rig.running())


def test_a_flood_is_bounded_and_touches_no_neighbour() -> None:
    async def test(rig: Rig) -> None:
        await rig.start(rig.launch("a.n-1-x", "sh", "-c", "echo quiet; exec sleep 1000"), {}, 1)
        await rig.start(rig.launch("a.b-1-x", "yes", log_bytes=MIB), {}, 1)
        path = logs.path_of(rig.paths, "a.b-1-x", 1)
        await until(lambda: path.stat().st_size > 64 * MIB, "it does not flood")
        await rig.kill("a.b-1-x")
        await rig.exit_of("a.b-1-x")
        assert on_disk(path) <= MIB
        assert set(rig.lines("a.b-1-x")[1:-1]) == {"y"}
        assert rig.lines("a.n-1-x") == ["quiet"]

    scenario(test)


def noted(rig: Rig, instance: str, count: int) -> Callable[[], bool]:
    """Whether so many lines are in the log, and the spawner has noted when the last one was written."""
    path = logs.path_of(rig.paths, instance, 1)

    def answer() -> bool:
        entries = logindex.read(f"{path}.idx")[1]
        written = path.read_bytes()
        return written.count(b"\n") == count and bool(entries) and entries[-1][0] == len(written)

    return answer


IN_STEPS = """
import os, signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
def step(text):
    print(text, flush=True)
    signal.sigwait({signal.SIGUSR1})
"""
"""A program that waits for SIGUSR1 after each `step`."""


def test_lines_have_the_time_at_which_they_were_written() -> None:
    async def test(rig: Rig) -> None:
        # Apart by more than the clock of files is coarse.
        text = IN_STEPS + "for n in range(3): time.sleep(0.05), step(time.time())"
        await rig.start(rig.launch("a.b-1-x", *script(text)), {}, 1)
        for number in (1, 2, 3):
            await until(noted(rig, "a.b-1-x", number), f"line {number} was not noted")
            await rig.signal("a.b-1-x", "USR1")
        await rig.exit_of("a.b-1-x")
        lines = [line async for line in logs.read(rig.paths, "a.b-1-x", 1)]
        # Never before it was written, and never as late as the next one. (A file's time is some milliseconds coarse.)
        assert all(line.at > float(line.text) - 0.05 for line in lines)
        assert all(line.at < float(later.text) for line, later in pairwise(lines))
        between = (lines[0].at + float(lines[1].text)) / 2
        since = [line.text async for line in logs.read(rig.paths, "a.b-1-x", 1, since=between)]
        assert since == [line.text for line in lines[1:]]
        assert [line async for line in logs.read(rig.paths, "a.b-1-x", 1, since=time.time() + 9)] == []

    scenario(test)


def test_following_sees_lines_as_they_come_and_ends_with_the_program() -> None:
    async def test(rig: Rig) -> None:
        command = "echo one; printf ha; sleep 0.3; echo lf; read x < /dev/zero & sleep 0.3; printf 'no newline'"
        await rig.start(rig.launch("a.b-1-x", "sh", "-c", command), {}, 1)
        assert [line.text async for line in follow(rig, "a.b-1-x")] == ["one", "half", "no newline"]

    scenario(test)


def write(paths: Paths, data: bytes) -> Path:
    path = logs.path_of(paths, "a.b-1-x", 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def texts(paths: Paths, tail: int | None = None) -> list[str]:
    async def collect() -> list[str]:
        return [line.text async for line in logs.read(paths, "a.b-1-x", 1, tail=tail)]

    return asyncio.run(collect())


def test_garbage_long_lines_and_nothing_at_all() -> None:
    with home() as paths:
        assert texts(paths) == [] and logs.last_lines(paths, "a.b-1-x", 1, 5) == []
        write(paths, b"")
        assert texts(paths) == [] and logs.last_lines(paths, "a.b-1-x", 1, 5) == []
        write(paths, b"\xff\x00\xfe\nCRLF\r\n\n" + b"x" * 200_000 + b"\nlast")
        lines = texts(paths)
        assert lines[:3] == ["\ufffd\x00\ufffd", "CRLF", ""] and lines[-1] == "last"
        assert "".join(lines[3:-1]) == "x" * 200_000 and max(map(len, lines)) <= 128 * 1024
        write(paths, os.urandom(300_000))
        assert sum(map(len, texts(paths))) > 100_000


def test_holes_that_the_index_does_not_know_are_passed_over() -> None:
    """As after a loss of power: what was punched is gone, what the index said about it is not there yet."""
    with home() as paths:
        lines = [f"line {number:06d} of a log" for number in range(20_000)]
        path = write(paths, ("\n".join(lines) + "\n").encode())
        with path.open("r+b") as file:
            kernel.punch_hole(file.fileno(), 0, 131072)
        first = 131072 // len(f"{lines[0]}\n") + 1
        assert texts(paths) == lines[first:]
        with path.open("r+b") as file:
            kernel.punch_hole(file.fileno(), 0, 2 * path.stat().st_size)
        assert texts(paths) == []


def test_a_full_disk_bounds_a_log_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with home() as paths:
        path = write(paths, b"a line like any other\n")
        log, full = Log(str(path), MIB), [True]
        log.look(last=True)
        real = Index._write

        def scarce(index: Index, data: bytes, offset: int) -> None:
            if full and full.pop():
                raise OSError(28, "No space left on device")
            real(index, data, offset)

        monkeypatch.setattr(Index, "_write", scarce)
        with path.open("ab") as file:
            file.write(b"a line like any other\n" * 200_000)
        log.look()
        assert on_disk(path) <= MIB and not full
        assert read(f"{path}.idx")[0] == log.index.start > 0
        assert set(texts(paths)) == {"a line like any other"}


FULL = """
    import errno, os, subprocess, sys
    from pathlib import Path
    from fourfold.spawner.logs import Log, _look
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", "/mnt"], check=True)
    path = Path("/mnt/log")
    path.touch()
    log = Log(str(path), 1 << 20)
    _look(log)
    with open("/mnt/filler", "wb", buffering=0) as filler:
        try:
            while filler.write(b"x" * 4096):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
    file = os.open(path, os.O_WRONLY | os.O_APPEND)
    for number in range(30_000):
        os.write(file, b"line %06d\\n" % number)
        if number % 500 == 0:
            _look(log)
    kept = path.read_bytes()[log.index.start:].split(b"\\n")[:-1]
    first = int(kept[0].split()[1])
    assert kept == [b"line %06d" % number for number in range(first, 30_000)]
    assert len(kept) > 1000
    before = path.stat().st_blocks
    log.give_back()
    print(path.read_bytes()[-12:].decode().strip(), before > path.stat().st_blocks)
"""


def test_a_program_writes_on_though_the_disk_is_full() -> None:
    assert run_with_mounts(FULL) == "line 029999 True\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_or_a_quota_that_is_full_has_a_log_make_room_in_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(fd: int, start: int, length: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(kernel, "reserve", refuse)
    (tmp_path / "log").write_text(f"{'x' * 63}\n" * 1000)
    log = Log(str(tmp_path / "log"), MIB)
    log.look()
    assert log.index.start > 0


def test_what_was_reserved_and_not_needed_is_given_back() -> None:
    async def test(rig: Rig) -> None:
        text = "import time; print('line', flush=True); time.sleep(1000)"
        identity = await rig.start(rig.launch("a.b-1-x", *script(text)), {}, 1)
        path = logs.path_of(rig.paths, "a.b-1-x", 1)
        await until(lambda: on_disk(path) > 32768 and path.read_text() == "line\n", "blocks were not reserved")
        os.kill(identity.pid, signal.SIGKILL)
        await rig.exit_of("a.b-1-x")
        assert on_disk(path) <= 8192 and path.read_text() == "line\n"

    scenario(test)


def test_tails_of_every_length() -> None:
    for end in ("", "\n"):
        with home() as paths:
            lines = [f"{number} " + "x" * (number % 200) for number in range(3000)]
            write(paths, ("\n".join(lines) + end).encode())
            for count in (0, 1, 2, 999, 2999, 3000, 5000):
                assert logs.last_lines(paths, "a.b-1-x", 1, count) == (lines[-count:] if count else []), count
            assert texts(paths, tail=7) == lines[-7:]


def test_old_logs_go_and_those_of_the_living_stay() -> None:
    with home() as paths:
        folder = paths.logs / "a" / "b"
        folder.mkdir(parents=True)
        for number in range(30):
            path = logs.path_of(paths, "a.b-1-x", number)
            path.write_text("x")
            path.with_name(f"{path.name}.idx").write_text("x")
            os.utime(path, (number, number))
        logs.prune(folder, {"a.b-1-x.0.log"}, keep=3)
        left = {file.name for file in folder.iterdir() if file.suffix == ".log"}
        assert left == {f"a.b-1-x.{number}.log" for number in (0, 27, 28, 29)}
        assert len(list(folder.iterdir())) == 8


def test_a_program_that_truncates_its_log_is_followed() -> None:
    async def test(rig: Rig) -> None:
        text = IN_STEPS + "step('x\\n' * 1000)\nos.ftruncate(1, 0)\nstep('anew')\nprint('more')"
        await rig.start(rig.launch("a.b-1-x", *script(text)), {}, 1)
        for count in (1001, 2):
            await until(noted(rig, "a.b-1-x", count), f"{count} lines were not noted")
            await rig.signal("a.b-1-x", "USR1")
        await rig.exit_of("a.b-1-x")
        lines = rig.lines("a.b-1-x")
        assert sorted(lines) == sorted(["anew", "more", TRUNCATED.decode().strip()]) and lines[-1] == "more"

    scenario(test)


def test_trimming_goes_on_where_a_dead_spawner_left_off() -> None:
    async def test(rig: Rig) -> None:
        await rig.start(rig.launch("a.b-1-x", "yes", "a longer line", log_bytes=MIB), {}, 1)
        path = logs.path_of(rig.paths, "a.b-1-x", 1)
        await until(lambda: path.exists() and path.stat().st_size > 8 * MIB, "it does not flood")
        await rig.kill_spawner()
        size = path.stat().st_size
        await until(lambda: path.stat().st_size > size + 32 * MIB, "it does not flood any more")
        await rig.kill("a.b-1-x")
        await rig.exit_of("a.b-1-x")
        assert on_disk(path) <= MIB
        assert set(rig.lines("a.b-1-x")[:-1]) == {"a longer line"}

    scenario(test)


def test_a_folder_of_logs_that_was_removed_is_ours_alone_again(tmp_path: Path) -> None:
    paths = Paths.find({"FOURFOLD_HOME": str(tmp_path)}, 0)
    paths.state.mkdir()
    logs.make_room(paths, "shop.web-1-x", 1, {})
    assert stat.S_IMODE(paths.logs.stat().st_mode) == 0o700
