"""The load generator as the daemon runs it: a process of its own, which takes one plan after the other."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from types import TracebackType

import psutil

from fourfold.errors import WorldError
from fourfold.load.__main__ import LONGEST_LINE
from fourfold.load.model import Plan, Report
from fourfold.load.wire import STOP, plan_line, read_report

PATIENCE = 30.0
"""Seconds that a report may take beyond the plan's own time and its last timeouts."""


class Generator:
    """`async with Generator() as generator: report = await generator.run(plan)`."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Generator:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fourfold.load",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Whatever is under way ends."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def run(self, plan: Plan) -> Report:
        """Raises WorldError when the generator fails."""
        await self.begin(plan)
        return await self.end(plan)

    async def begin(self, plan: Plan) -> None:
        await self._tell(plan_line(plan))

    async def stop(self) -> None:
        """No more requests of the plan under way; `end` has the report."""
        await self._tell(STOP)

    async def end(self, plan: Plan) -> Report:
        assert self._process is not None and self._process.stdout is not None
        try:
            async with asyncio.timeout(plan.seconds + 2 * plan.timeout + PATIENCE):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise WorldError("cannot measure: the load generator does not end") from None
        if not line:
            raise WorldError(f"cannot measure: the load generator has ended: {await self._last_words()}")
        return read_report(line)

    def cpu_seconds(self) -> float:
        """That it has taken since it was started."""
        assert self._process is not None
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return times.user + times.system

    async def _tell(self, line: bytes) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            await self._process.stdin.drain()
        except ConnectionError:
            raise WorldError(f"cannot measure: the load generator has ended: {await self._last_words()}") from None

    async def _last_words(self) -> str:
        assert self._process is not None and self._process.stderr is not None
        said = (await self._process.stderr.read()).decode(errors="replace").strip()
        return said.rpartition("\n")[2] or "it said nothing"
