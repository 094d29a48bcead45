"""The cradle: makes sandboxes ahead of need, hands them over, and sees them end."""

from __future__ import annotations

import heapq
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from fourfold.functions.cradle import child, groups, machine, preloading, protocol, view
from fourfold.functions.cradle.box import Box, listen_with_credentials
from fourfold.functions.cradle.networks import Networks
from fourfold.functions.model import Config
from fourfold.spawner.loop import Loop
from fourfold.spawner.request import Failed

SPARE = 2
"""Sandboxes kept ready to be started."""
_LULL = 0.05
"""Seconds after a start until the next is made ahead: it is not to compete with the one that starts."""
_PATIENCE = 30.0
"""Seconds for a sandbox to be parked."""
_DELAYS = (0.001, 0.005, 0.02, *(0.1,) * 100)
"""Between tries to remove control groups: v1 lets go of them a little after their last process."""


class Cradle:
    def __init__(self, invoker: socket.socket, loop: Loop, config: Config, env: dict[str, str]) -> None:
        """Failed, OSError: what cannot be had at all."""
        self._invoker, self._loop, self._config = invoker, loop, config
        self._own = groups.find()
        source = preloading.script()
        self._become = machine.starting(config) if config.machine else child.be_sandbox
        view.enter(config)
        self._networks = Networks(config.network)
        self._scratch = view.scratch(config)
        argv = config.argv
        if config.kind == "python":
            argv = (*argv, "-m", "awslambdaric", config.handler)
        self._memory = machine.memory(config)
        self._program = child.Program(argv, env, config.user, self._scratch)
        self._missing = self._own.missing | machine.missing(config)
        if self._networks.size is None:
            self._missing["network"] = "there is no bridge: sandboxes have a loopback alone"
        self._most = min(config.concurrency, self._networks.size or config.concurrency)
        self._free = list(range(self._most))
        self._serial = 0
        self._boxes: dict[int, Box] = {}
        self._by_child: dict[int, Box] = {}
        self._parked: deque[Box] = deque()
        self._waiting: deque[int] = deque()
        self._refilling = False
        self._server: preloading.ForkServer | None = None
        self._opened = False
        self._failure = ""
        """Why the last sandbox that was made ahead failed: none is, then, until one is asked for."""
        if config.kind == "python" and config.machine is None and self._most:
            self._start_fork_server(config, env, source)
        os.close(source)
        self.over = False
        """It cannot go on, and has said why."""
        if self._most == 0:
            self._open()
        elif self._server is None:
            self._make()

    # the fork server

    def _start_fork_server(self, config: Config, env: dict[str, str], source: int) -> None:
        program = child.Program(config.argv, env, config.user, self._scratch)
        try:
            self._server = preloading.ForkServer(
                self._loop, config, program, os.dup(source), self._own, self._ready, self._without, self._note
            )
            self._server.start()
        except OSError as error:
            self._server = None
            self._missing["forkserver"] = f"no user namespaces: {error.strerror or error}"

    def _ready(self) -> None:
        self._failure = ""
        if self._opened:
            self._make_for_waiting()
            self._refill_soon()
        else:
            self._make()

    def _without(self, why: str) -> None:
        """Each sandbox is started as of other kinds; what is wrong with its code is told there."""
        self._server = None
        if self._opened:
            self._note(f"each sandbox starts its own interpreter: {why}")
            self._make_for_waiting()
        else:
            self._missing["forkserver"] = why.strip().rpartition("\n")[2]
            self._make()

    # the first one, which shows what can be had here

    def _open(self) -> None:
        self._opened = True
        self._say({"say": "open", "missing": self._missing})
        self._refill_soon()

    def _cannot_open(self, why: str) -> None:
        if self._server is None:
            self._say({"say": "failed", "error": why})
            self.over = True
        else:
            self._server.abandon()
            self._without(f"the host refuses its sandboxes: {why}")

    # what the invoker asks

    def hear(self) -> bool:
        """-> whether it is still there."""
        try:
            received = protocol.receive(self._invoker)
        except OSError:
            received = None
        if received is None or received[0]["do"] == "close":
            return False
        message = received[0]
        if message["do"] == "start":
            self._waiting.append(message["id"])
            self._hand_over()
            self._make_for_waiting()
        elif message["do"] == "kill":
            self._kill(self._boxes[message["number"]])
        return True

    def _hand_over(self) -> None:
        while self._waiting and self._parked:
            box = self._parked.popleft()
            groups.freeze(box.group, False)
            if not box.tell(b"go"):
                continue  # it has ended, and that is about to be seen
            box.asked = self._waiting.popleft()
            if self._server is not None:
                self._server.worked()
            assert box.listener is not None
            started = {"say": "started", "id": box.asked, "number": box.number, "pid": box.pid}
            self._say({**started, "group": asdict(box.group)}, (box.listener.fileno(), box.output))
            box.let_go()
            self._refill_soon()

    def _make_for_waiting(self) -> None:
        """As many as are asked for and not yet being made."""
        making = sum(box.is_spare for box in self._boxes.values())
        for _ in range(len(self._waiting) - making):
            if not self._free:
                return self._refuse(f"all {self._most} sandboxes are in use")
            self._make()

    def _refuse(self, why: str) -> None:
        if self._waiting:
            self._say({"say": "refused", "id": self._waiting.pop(), "error": why})

    def _refill_soon(self) -> None:
        if not self._refilling:
            self._refilling = True
            self._loop.after(_LULL, self._refill)

    def _refill(self) -> None:
        self._refilling = False
        spare = sum(box.is_spare for box in self._boxes.values())
        if self._free and spare < SPARE + len(self._waiting) and not self._failure:
            self._make()
            if spare + 1 < SPARE:
                self._refill_soon()

    # making one

    def _make(self) -> None:
        if self._server is not None and not self._server.ready:
            return  # as soon as it is
        number = heapq.heappop(self._free)
        self._serial += 1
        ours, theirs = protocol.pair()
        ours.setblocking(False)  # who has the other end may be anybody, and say nothing
        listen_with_credentials(ours)
        read, write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read, False)
        os.fchown(write, self._config.user.uid, self._config.user.gid)  # so that /dev/stdout can be opened
        box = Box(number, f"s{number}.{self._serial}", ours, read)
        joins: list[int] = []
        self._boxes[number] = box
        self._loop.watch(ours.fileno(), lambda: self._hear_box(box))
        try:
            box.group = self._own.make(box.name, *self._memory)
            joins += self._own.open_joins(box.group)
            if self._server is not None:
                self._server.fork(theirs, write, joins)
            else:
                self._fork(box, theirs, write, joins)
        except OSError as error:
            box.why = f"{error.strerror} {error.filename or ''}".strip()
        finally:
            theirs.close()
            for fd in (write, *joins):
                os.close(fd)
        self._loop.after(_PATIENCE, lambda: self._give_up(box))

    def _fork(self, box: Box, channel: socket.socket, output: int, joins: Sequence[int]) -> None:
        folder = self._own.v2_folder(box.group)
        others = [fd for fd, path in zip(joins, box.group.folders, strict=True) if path != folder]  # it is born there
        box.child = child.fork(folder, lambda: self._become(self._program, channel, output, others))
        self._by_child[box.child] = box

    def _hear_box(self, box: Box) -> None:
        """Each word once, in its turn: the function's own code may have come to the other end."""
        word, pid = box.hear()
        if word == "here" and box.listener is None and not box.pid:
            try:
                box.listener = self._networks.connect(box.number, pid)
                box.tell(b"on")
            except Failed as failed:
                self._fail(box, f"{failed.stage}: {failed.detail}: {os.strerror(failed.errno)}")
            except OSError as error:
                self._fail(box, f"network: {error.strerror}")
        elif word == "parked" and box.listener is not None and not box.pid:
            box.pidfd = os.pidfd_open(pid)
            if not groups.holds(box.group, pid):
                return self._fail(box, "it has not joined its control groups")
            box.pid = pid
            self._loop.watch(box.pidfd, lambda: self._ended(box))
            self._failure = ""
            groups.freeze(box.group, True)
            self._parked.append(box)
            self._let_server_rest()
            if not self._opened:
                self._open()
            self._hand_over()
        elif not box.note_ending(word):
            self._unwatch(box.channel)
            if box.pidfd < 0:
                self._fail(box)
            elif word:
                box.kill()

    def _let_server_rest(self) -> None:
        if self._server is not None and not any(box.is_made for box in self._boxes.values()):
            self._server.rest()

    def _give_up(self, box: Box) -> None:
        if box.is_made:
            if self._server is not None:
                self._server.kill()  # it does not do what it is there for
            self._fail(box, f"it was not ready within {_PATIENCE:g} s")

    def _fail(self, box: Box, why: str = "") -> None:
        """It never got ready."""
        self._failure = why or box.why or "it ended before it was ready"
        if box.channel.fileno() >= 0:
            self._unwatch(box.channel)
        box.kill()
        box.ended = True
        self._clear(box)
        if not self._opened:
            return self._cannot_open(self._failure)
        if self._server is None or self._server.ready:
            self._refuse(self._failure)
        self._make_for_waiting()
        self._let_server_rest()

    def _unwatch(self, channel: socket.socket) -> None:
        with suppress(KeyError, ValueError):
            self._loop.unwatch(channel.fileno())

    # endings

    def reap(self) -> None:
        with suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                self._by_child.pop(pid, None)

    def _kill(self, box: Box) -> None:
        box.killed = True
        if box.ended:
            self._clear(box)
            self._say({"say": "gone", "number": box.number})
            return
        self._unwatch(box.channel)
        box.kill()

    def _ended(self, box: Box) -> None:
        """Its first process has, and so has everything else in there."""
        self._loop.unwatch(box.pidfd)
        box.ended = True
        while box.status is None and box.channel.fileno() >= 0 and box.note_ending(box.hear()[0]):
            pass
        self._unwatch(box.channel)
        if box.asked is None:
            self._failure = box.why or "it ended before it was started"
            self._parked = deque(each for each in self._parked if each is not box)
            return self._clear(box)
        code = box.status if box.status is not None else -signal.SIGKILL
        oom = code == -signal.SIGKILL and (box.oom or groups.killed_for_memory(box.group))
        ending = {"code": code if code >= 0 else None, "signal": -code if code < 0 else None, "oom": oom}
        self._say({"say": "exited", "number": box.number, **ending})
        if box.killed:
            self._clear(box)
            self._say({"say": "gone", "number": box.number})

    def _clear(self, box: Box, attempt: int = 0) -> None:
        """Give up what it had; its groups when the kernel lets go of them."""
        if attempt == 0:
            box.close()
            if self._boxes.pop(box.number, None) is not None:
                heapq.heappush(self._free, box.number)
            self._make_for_waiting()
        if not groups.remove(box.group) and attempt < len(_DELAYS):
            if attempt > 2:  # it is not only that its last process is not forgotten yet
                groups.let_die(box.group)
                groups.kill(box.group)
            self._loop.after(_DELAYS[attempt], lambda: self._clear(box, attempt + 1))

    def end(self) -> None:
        """Leave nothing."""
        boxes = list(self._boxes.values())
        for box in boxes:
            box.kill()
        if self._server is not None:
            self._server.kill()
        with suppress(ChildProcessError):
            while os.waitpid(-1, 0):
                pass
        for delay in _DELAYS:
            boxes = [box for box in boxes if not groups.remove(box.group)]
            if not boxes:
                break
            time.sleep(delay)
        if self._server is not None:
            self._server.remove()

    # telling

    def _note(self, line: str) -> None:
        self._say({"say": "note", "line": line})

    def _say(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        with suppress(OSError):  # it has ended, and that is heard
            protocol.send(self._invoker, message, descriptors)
