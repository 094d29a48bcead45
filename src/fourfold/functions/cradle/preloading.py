"""The fork server of a Python function: started, asked to fork, started again when it has ended."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fourfold.functions import forkserver
from fourfold.functions.cradle import child, groups
from fourfold.functions.cradle.protocol import Group, pair
from fourfold.functions.model import Config
from fourfold.spawner.loop import Loop

_STARTS = 8
"""At most, in a row without a sandbox that was asked for and had: its death alone must not start it for ever."""
_PATIENCE = 15.0
"""Seconds for what it imports."""
_LONGEST = 2000
FOLDER = "forkserver"


def script() -> int:
    """-> its source in memory: where it lies may be out of sight and reach of the function's user."""
    fd = os.memfd_create("forkserver.py")
    os.write(fd, Path(forkserver.__file__).read_bytes())
    return fd


class ForkServer:
    def __init__(
        self,
        loop: Loop,
        config: Config,
        program: child.Program,
        source: int,
        own: groups.Groups,
        on_ready: Callable[[], None],
        on_failed: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        """`on_failed`: with what it said when it cannot be had. OSError: no user namespaces."""
        self._loop, self._config, self._program, self._source, self._own = loop, config, program, source, own
        self._on_ready, self._on_failed, self._note = on_ready, on_failed, note
        self._users = child.own_users(config.user)
        self._how = config.preload
        self._skip: list[str] = []
        self._starts = 0
        self._group = Group()
        self._control: socket.socket | None = None
        self.pid = 0
        self.ready = False

    def start(self) -> None:
        """OSError."""
        self._starts += 1
        self.ready = False
        self._group = self._own.make(FOLDER, self._config.memory, self._config.memory)
        ours, theirs = pair()
        joins = self._own.open_joins(self._group)
        try:
            self.pid = child.fork(
                self._own.v2_folder(self._group),
                lambda: child.be_fork_server(self._program, theirs.fileno(), self._source, joins),
            )
        finally:
            theirs.close()
            for fd in joins:
                os.close(fd)
        options = {
            "handler": self._config.handler,
            "preload": self._how,
            "skip": self._skip,
            "scratch": self._program.scratch,
        }
        self._control = ours
        ours.setblocking(False)  # whoever does not read must not keep the cradle waiting
        self._loop.watch(ours.fileno(), self._hear)
        with suppress(OSError):  # then it has ended, and that is heard
            socket.send_fds(ours, [json.dumps(options).encode()], [self._users])
        starts = self._starts
        self._loop.after(_PATIENCE, lambda: self._give_up_waiting(starts))

    def fork(self, channel: socket.socket, output: int, joins: Sequence[int]) -> None:
        """OSError: it has ended."""
        if self._control is None:
            raise BrokenPipeError("the fork server has ended")
        groups.freeze(self._group, False)
        socket.send_fds(self._control, [b"fork"], [channel.fileno(), output, *joins])

    def worked(self) -> None:
        self._starts = 0

    def rest(self) -> None:
        """It is asked for nothing now: what it has imported may have left timers, and has no business to run."""
        if self.ready and self.pid:  # v1's frozen processes do not die
            groups.kill(self._group, but=self.pid)  # they should have joined a sandbox's
            groups.freeze(self._group, True)

    def kill(self) -> None:
        """With all sandboxes that it made."""
        if self.pid:
            with suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
            groups.let_die(self._group)
            self.pid = 0

    def abandon(self) -> None:
        """It is not wanted any more, and nothing is told of it."""
        if self._control is not None:
            self._loop.unwatch(self._control.fileno())
            self._control.close()
            self._control = None
        self._starts = -1
        self.kill()

    def remove(self) -> None:
        groups.remove(self._group)

    def _hear(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(65536)
        except OSError:
            data = b""
        message = _parsed(data) if not self.ready else {}
        if "ready" in message:
            for line in message["ready"]:
                self._note(line)
            self.ready = True
            return self._on_ready()
        self._loop.unwatch(self._control.fileno())
        self._control.close()
        self._control = None
        self.kill()
        if "shares" in message:
            module, why = [*message["shares"], "", ""][:2]
            self._skip.append(module)
            self._how = "modules" if self._how == "handler" else self._how
            self._note(f"{module} is not preloaded: it {why} when it is imported")
        elif "error" in message:
            return self._on_failed("".join(message["error"]))
        elif not self.ready and self._how == "none":
            return self._on_failed("the fork server ends before it is ready")
        elif not self.ready:
            self._note("nothing is preloaded: the fork server ended while it imported")
            self._how = "none"
        else:
            self._note("the fork server has ended, and its sandboxes with it")
        if self._starts >= _STARTS:
            return self._on_failed("the fork server ends again and again")
        try:
            self.start()
        except OSError as error:
            self._on_failed(str(error))

    def _give_up_waiting(self, starts: int) -> None:
        if self._starts == starts and not self.ready:
            self.kill()


def _parsed(data: bytes) -> dict[str, Any]:
    """What it says is not to be trusted: it has imported what its user wrote."""
    try:
        message = json.loads(data)
        return {key: [str(each)[:_LONGEST] for each in value] for key, value in message.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
