"""One mounted guest: an app with a thread and an event loop of its own, from its first import to its last."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import surroundings
from .owners import Owner
from .packages import ConflictError, Dist
from .serving import App, Server, listener, load, run, said_of, server, traceback_of

BEAT = 0.5
"""Seconds between two signs that its loop runs."""
PATIENCE = 2.0
"""Seconds between what a guest must do by itself and what is done to it."""


@dataclass
class Mounted:
    """One guest."""

    name: str
    run: str
    service: str
    target: str
    tree: str
    folders: list[str]
    place: tuple[str, int]
    owner: Owner
    thread: threading.Thread = field(init=False)
    app: App | None = None
    server: Server | None = None
    loop: asyncio.AbstractEventLoop | None = None
    bound: socket.socket | None = None
    seen: weakref.ref[Any] | None = None
    """The app itself, to see whether it is gone afterwards."""
    beat: float | None = None
    is_stuck: bool = False
    grace: float | None = None
    """Seconds for what is still going on, once it is to end."""
    deadline: float | None = None
    killed: bool = False
    said: str = ""

    def live(self, prepare: Callable[[Mounted], None]) -> None:
        """In its own thread, from its first import to its last."""
        try:
            surroundings.enter(self.tree)
            prepare(self)
            self.bound = listener(*self.place)
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            app = load(self.target, self.owner.world.module)
            with contextlib.suppress(TypeError):
                self.seen = weakref.ref(app)
            self.app = App(app, self.target)
            del app
            self.server = server(self.app)
            if self.grace is None:
                self.loop = loop
                loop.call_soon(self._beat)
                run(loop, self.server, self.bound)
        except SystemExit as error:
            if not self.killed:
                failure = self.app.failure if self.app is not None else ""
                self.said = failure or f"its startup ended with exit code {error.code}"
        except ConflictError as error:
            self.said = f"cannot mount {self.service}: {error}"
            print(self.said, file=self.owner.out)
        except BaseException as error:
            self.owner.out.write(self.owner.world.natural(traceback_of(error)))
            self.said = self.owner.world.natural(said_of(error))
        finally:
            if self.bound is not None:
                self.bound.close()
            if self.app is not None:
                self.app.close()
            self.owner.run_exits()
            with contextlib.suppress(OSError, ValueError):
                self.owner.out.flush()

    def is_app(self, dist: Dist) -> bool:
        """Whether its app comes with that: what makes an app is nothing to share with another one's settings."""
        return self.target.partition(":")[0].partition(".")[0] in dist.modules

    def _beat(self) -> None:
        self.beat = time.monotonic()
        assert self.loop is not None
        self.loop.call_later(BEAT, self._beat)

    def stop(self, grace: float) -> None:
        """No new connections; then it ends, at the latest when `grace` is over."""
        self.grace = grace
        self.deadline = time.monotonic() + grace + PATIENCE
        if self.server is not None:
            self.server.config.timeout_graceful_shutdown = max(1, int(grace))
            self.server.should_exit = True

    def kill(self) -> None:
        """Whatever it is doing: only what waits in C for something goes on until it has it."""
        self.killed = True
        self.grace = 0.0
        self.deadline = time.monotonic() + PATIENCE
        if self.bound is not None:
            with contextlib.suppress(OSError):
                self.bound.shutdown(socket.SHUT_RDWR)  # at once, whether or not its loop runs
        if self.server is not None:
            self.server.should_exit = self.server.force_exit = True
        if self.loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed
                self.loop.call_soon_threadsafe(self._drop)
        self.owner.raise_in_threads()

    def _drop(self) -> None:
        assert self.server is not None and self.loop is not None
        for connection in list(self.server.server_state.connections):
            if (transport := getattr(connection, "transport", None)) is not None:
                transport.abort()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()

    def forked(self) -> None:
        """In a child process: its connections are not to stay open for as long as that runs, nor its port taken."""
        self.owner.forked()
        sockets: list[Any] = [self.bound] if self.bound is not None else []
        for connection in self.server.server_state.connections if self.server is not None else ():
            if (transport := getattr(connection, "transport", None)) is not None:
                sockets.append(transport.get_extra_info("socket"))
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for number in [each.fileno() for each in sockets if each is not None]:
            if number >= 0:
                os.dup2(null, number, inheritable=False)  # whoever closes it later closes nothing else
        os.close(null)

    def where(self) -> str:
        """What its loop is at: the innermost line of its own code."""
        frame = sys._current_frames().get(self.thread.ident or 0)
        inner = frame
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(self.tree):
                return f"{os.path.relpath(name, self.tree)}:{frame.f_lineno} in {frame.f_code.co_name}"
            frame = frame.f_back
        if inner is None:
            return "nowhere"
        return f"{inner.f_code.co_filename}:{inner.f_lineno} in {inner.f_code.co_name}"

    def usage(self, memory: int) -> dict[str, Any]:
        app = self.app
        return {
            "cpu_seconds": self.owner.cpu(),
            "cpu": "measured",
            "memory_bytes": memory,
            "memory": "estimated",
            "allocated_bytes": None,
            "threads": len(self.owner.threads),
            "requests": app.requests if app else 0,
            "errors": app.errors if app else 0,
            "busy": app.busy if app else 0,
            "longest": app.longest if app else 0.0,
        }
