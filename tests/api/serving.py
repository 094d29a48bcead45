"""The API on a real Unix socket, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fourfold.api.app import create_app
from fourfold.api.server import serve
from tests.api.fake import FakeFacade


class Serving:
    """`facade` answers on `socket`; `call` runs something on the server's loop; `stop` ends it as a daemon would."""

    def __init__(self, path: Path, facade: FakeFacade | None = None) -> None:
        self.socket = path
        self.facade = facade or FakeFacade()
        self._loop: asyncio.AbstractEventLoop
        self._task: asyncio.Task[None]
        self._made = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        assert self._made.wait(60)
        eventually(self.answers)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(serve(create_app(self.facade), self.socket))
        self._made.set()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def call(self, do: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(do)

    def happen(self, *items: object) -> None:
        """Let events happen while they are followed."""

        def do() -> None:
            self.facade.happened.extend(items)  # type: ignore[arg-type]
            self.facade.news.set()

        self.call(do)

    def stop(self, timeout: float = 60) -> None:
        if self._thread.is_alive():
            self.call(self._task.cancel)
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "the server did not end"


@contextlib.contextmanager
def serving(path: Path, facade: FakeFacade | None = None) -> Iterator[Serving]:
    """With `facade` when somebody is waiting for the server: it answers as soon as it is there."""
    server = Serving(path, facade)
    try:
        yield server
    finally:
        server.stop()


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until it holds; fail when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
