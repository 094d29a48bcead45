"""`python -m fourfold.load`: a plan a line on standard input, a report a line on standard output. See `wire`.

It ends when its input does, whatever is under way: whoever wanted to know is gone.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from fourfold.load.generate import Run
from fourfold.load.wire import read_line, report_line

LONGEST_LINE = 64 * 1024 * 1024


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    run: Run | None = None
    async with asyncio.TaskGroup() as group:
        telling: asyncio.Task[None] | None = None
        while line := await reader.readline():
            plan = read_line(line)
            if plan is not None:
                run = Run(plan)
                telling = group.create_task(_tell(run))
            elif run is not None:
                run.stop()
        if telling is not None:
            telling.cancel()


async def _tell(run: Run) -> None:
    sys.stdout.buffer.write(report_line(await run.report()))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(main())
