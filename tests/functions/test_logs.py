"""What sandboxes print: whole lines, bounded, and never in anybody's way."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from fourfold.functions import logs
from fourfold.functions.logs import Output, Pipe
from tests.functions.rig import eventually, in_loop, make_config, running


def test_lines_of_several_sandboxes_stay_whole_and_the_tail_is_its_end(tmp_path: Path) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        path = tmp_path / "log"
        output = Output(os.open(path, os.O_CREAT | os.O_WRONLY), loop)
        ends = [os.pipe() for _ in range(2)]
        for read, _ in ends:
            os.set_blocking(read, False)
        first, second = (Pipe(read, output, loop) for read, _ in ends)
        os.write(ends[0][1], b"before\nhalf a ")
        first.begin(tail=True)
        os.write(ends[1][1], b"of the other\n")
        second.drain()
        os.write(ends[0][1], b"line\n" + b"x" * 5000 + b"\nlast, without an end")
        first.drain()
        first.line("END\n")
        assert first.tail() == (b"x" * 5000 + b"\nlast, without an endEND\n")[-4096:]
        for _, write in ends:
            os.close(write)
        first.close()
        second.close()
        output.close()
        lines = path.read_text().splitlines()
        assert lines == ["before", "of the other", "half a line", "x" * 5000, "last, without an end", "END"]

    in_loop(work())


def test_a_blocked_output_blocks_nobody_and_says_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        read, write = os.pipe()
        output = Output(write, asyncio.get_running_loop())
        for _ in range(300):  # nobody has read any of it
            output.write(b"y" * 999 + b"\n")
            output.flush()
        seen = b""
        os.set_blocking(read, False)

        def drained() -> bool:
            nonlocal seen
            try:
                seen += os.read(read, 1 << 20)
            except BlockingIOError:
                return output._waiting == 0
            return False

        await eventually(drained)
        output.write(b"after\n")
        output.flush()
        await eventually(lambda: drained() and b"after" in seen)
        assert b" bytes of output were left out" in seen and len(seen) < 120_000
        output.close()

    monkeypatch.setattr(logs, "MAX_WAITING", 100_000)
    in_loop(work())


def test_a_closed_output_does_no_harm() -> None:
    async def work() -> None:
        read, write = os.pipe()
        os.close(read)
        output = Output(write, asyncio.get_running_loop())
        output.write(b"to nobody\n")
        output.close()
        os.close(write)

    in_loop(work())


def test_a_flood_is_answered_in_time_and_others_are_served_meanwhile(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, make_config(tmp_path)) as rig:
            flood = asyncio.ensure_future(rig.invoke({"do": "flood", "lines": 20_000}, tail=True))
            answers = [await rig.invoke({"do": "echo"}) for _ in range(20)]
            assert all(answer.payload == b'{"do": "echo"}' for answer in answers)
            answer = await flood
            assert answer.error == "" and len(answer.log) < 4 * 4096
            assert (await rig.log("END RequestId")).count("y" * 1000) <= 20_000

    in_loop(work())
