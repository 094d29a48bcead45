"""Limits hold, and hold for the one instance alone. For real, on whatever cgroups this host has."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from fourfold.launch.model import Limits, Mount
from tests.supervise.rig import Rig, alive, limited, needs, scenario, script, until

MIB = 1 << 20


@needs("memory")
def test_a_memory_hog_is_killed_alone_and_reported_as_such() -> None:
    async def test(rig: Rig) -> None:
        neighbour = await rig.sleeper("a.n-1-x", **limited(memory=32 * MIB))
        hog = "x = []\nwhile True: x.append(bytearray(1 << 20))"
        exit, _ = await rig.run("a.b-1-x", *script(hog), **limited(memory=32 * MIB))
        assert exit.oom and exit.signal == 9 and str(exit) == "killed: out of memory"
        assert alive(neighbour) and [each.instance for each in rig.exits] == ["a.b-1-x"]
        exit, _ = await rig.run("a.b-2-x", "sh", "-c", "kill -KILL $$", **limited(memory=32 * MIB))
        assert not exit.oom

    scenario(test)


@needs("memory")
def test_a_hog_below_the_main_process_counts_too() -> None:
    async def test(rig: Rig) -> None:
        hog = "x = []\nwhile True: x.append(bytearray(1 << 20))"
        exit, _ = await rig.run("a.b-1-x", "sh", "-c", '"$@" || exit 3', "sh", *script(hog), **limited(memory=32 * MIB))
        assert exit.oom

    scenario(test)


@needs("memory")
def test_whoever_is_left_in_a_pen_is_killed_with_it() -> None:
    async def test(rig: Rig) -> None:
        async with rig.pen(Limits(memory=32 * MIB, cpu_weight=20)) as folders:
            left = await asyncio.create_subprocess_exec("sleep", "600")
            for folder in map(Path, folders):
                (folder / "cgroup.procs").write_text(str(left.pid))
            await until(lambda: not rig._tasks, "something goes on")
            rig._clear_leftovers()
            assert not rig._tasks, "after a new spawner, groups of builds are no leftovers"
            shares = [read(f"{folder}/{name}") for folder in folders for name in ("cpu.weight", "cpu.shares")]
            assert [share for share in shares if share] in (["20"], ["204"])
            killed = asyncio.create_task(left.wait())
        assert await killed == -9
        assert not any(map(os.path.exists, folders))

    scenario(test)


def read(file: str) -> str:
    return Path(file).read_text().strip() if Path(file).exists() else ""


@needs("memory")
def test_a_small_limit_is_enough_for_a_small_program() -> None:
    async def test(rig: Rig) -> None:
        exit, lines = await rig.run("a.b-1-x", "echo", "hi", **limited(memory=4 * MIB))
        assert exit.code == 0 and lines == ["hi"]

    scenario(test)


@needs("pids")
def test_a_fork_bomb_stops_at_its_limit() -> None:
    async def test(rig: Rig) -> None:
        bomb = "import os\nwhile True:\n  try: os.fork()\n  except OSError: print('stopped', flush=True)"
        await rig.start(rig.launch("a.b-1-x", *script(bomb), **limited(pids=20, cpu=0.5)), {}, 1)
        await until(lambda: "stopped" in rig.lines("a.b-1-x")[:1], "it was not stopped")
        usage = rig.usage("a.b-1-x")
        assert usage is not None and usage.processes <= 20
        exit, _ = await rig.run("a.n-1-x", "sh", "-c", "true & wait")
        assert exit.code == 0
        await rig.kill("a.b-1-x")
        await rig.exit_of("a.b-1-x")
        await until(lambda: not rig.groups(), "something survived")

    scenario(test)


@needs("cpu")
def test_a_cpu_hog_gets_its_share_and_no_more() -> None:
    async def test(rig: Rig) -> None:
        await rig.start(rig.launch("a.b-1-x", *script("while True: pass"), **limited(cpu=0.2)), {}, 1)
        await asyncio.sleep(0.3)
        begun, first = time.monotonic(), rig.usage("a.b-1-x")
        await asyncio.sleep(1.5)
        last, ended = rig.usage("a.b-1-x"), time.monotonic()
        assert first is not None and last is not None
        assert last.cpu_seconds - first.cpu_seconds < 0.2 * (ended - begun) + 0.1

    scenario(test)


@needs("io")
@pytest.mark.parametrize("way", ["write", "read"])
def test_io_is_throttled(way: str) -> None:
    """With direct I/O: v1 does not attribute buffered writes."""

    async def test(rig: Rig) -> None:
        volume = rig.paths.state / "volume"
        volume.mkdir()
        volume.chmod(0o777)
        (volume / "file").write_bytes(bytes(6 * MIB))
        (volume / "file").chmod(0o666)
        direction = {
            "write": "if=/dev/zero of=/data/file oflag=direct conv=notrunc",
            "read": "if=/data/file of=/dev/null iflag=direct",
        }
        command = f"dd bs=256k count=24 {direction[way]} 2>&1"
        begun = time.monotonic()
        mounts = (Mount(str(volume), "/data"),)
        limits = limited(write_bps=3 * MIB) if way == "write" else limited(read_bps=3 * MIB)
        exit, lines = await rig.run("a.b-1-x", "sh", "-c", command, mounts=mounts, **limits)
        assert exit.code == 0, lines
        assert time.monotonic() - begun > 1.2, lines  # 6 MiB at 3 MiB/s, less a burst

    scenario(test)
