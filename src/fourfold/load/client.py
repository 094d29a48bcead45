"""Connections to one address, opened as they are needed: at most so many at once, requests beyond that wait."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from fourfold.load.connection import Connection, Job

REFUSED = "connection refused"
UNREACHABLE = "no connection"
TIMEOUT = "timeout"
IDLE_SECONDS = 4.0
"""After which a connection is not used again: servers close idle ones, perhaps in that very moment."""
LOOK_EVERY = 0.05
"""Seconds between two looks for requests whose time is over."""


class Client:
    def __init__(self, host: str, port: int, connections: int, timeout: float) -> None:
        self._host, self._port, self._most, self._timeout = host, port, connections, timeout
        self._free: list[Connection] = []
        self._waiting: deque[Job] = deque()
        self._under_way: dict[Job, Connection | None] = {}
        """In the order in which they were sent."""
        self._open: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._closed = False
        self._sweeping = asyncio.create_task(self._sweep())

    @property
    def has_room(self) -> bool:
        return bool(self._free) or self._count < self._most

    @property
    def _count(self) -> int:
        return len(self._open) + len(self._opening)

    def ask(self, job: Job) -> None:
        now = time.monotonic()
        while self._free:
            connection = self._free.pop()
            if now - connection.since > IDLE_SECONDS:
                connection.close()
                self._forget(connection)
                continue
            self._send(connection, job)
            return
        if self._count < self._most:
            self._under_way[job] = None
            task = asyncio.create_task(self._connect(job))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        else:
            self._waiting.append(job)

    async def close(self) -> None:
        self._closed = True
        tasks = (self._sweeping, *self._opening)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in (*self._open,):
            connection.close()

    async def _connect(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._is_free, self._is_lost), self._host, self._port
                )
        except TimeoutError:
            self._failed(job, TIMEOUT)
        except OSError as error:
            self._failed(job, REFUSED if isinstance(error, ConnectionRefusedError) else UNREACHABLE)
        else:
            self._open.add(connection)
            if job.ended:  # its time was over meanwhile
                self._is_free(connection)
            else:
                self._send(connection, job)

    def _failed(self, job: Job, wrong: str) -> None:
        """Nobody takes connections. Those that wait for a free one get their own try."""
        self._under_way.pop(job, None)
        job.end(0, wrong)
        asyncio.get_running_loop().call_soon(self._next)

    def _send(self, connection: Connection, job: Job) -> None:
        self._under_way.pop(job, None)
        self._under_way[job] = connection
        connection.send(job)

    def _is_free(self, connection: Connection) -> None:
        connection.since = time.monotonic()
        if connection in self._open:
            self._free.append(connection)
        self._next()

    def _is_lost(self, connection: Connection) -> None:
        self._forget(connection)
        asyncio.get_running_loop().call_soon(self._next)

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._free:
            self._free.remove(connection)

    def _next(self) -> None:
        while self._waiting and self.has_room and not self._closed:
            self.ask(self._waiting.popleft())

    def ended(self, job: Job) -> None:
        """To be told of each job that has ended."""
        self._under_way.pop(job, None)

    async def _sweep(self) -> None:
        """End what has waited for too long."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            limit = time.monotonic() - self._timeout
            while self._waiting and self._waiting[0].due < limit:
                self._waiting.popleft().end(0, TIMEOUT)
            for job, connection in [each for each in self._under_way.items() if each[0].due < limit]:
                self._under_way.pop(job, None)
                job.end(0, TIMEOUT)
                if connection is not None:
                    connection.close()
