"""The programs: forked, watched, ended with everything they started, and their exits written down.

An instance is *starting* (forked; not yet exec'ed), *running*, or *ending* (its main process is gone, the rest of its
tree is being killed). One with a bundle is starting until its runtime has ended and left it behind; then that process
takes the runtime's place in the journal. An exit is journaled and published when the tree is empty, or after ten
seconds when the kernel holds on to a process (uninterruptible sleep).
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from fourfold.spawner import child, handover, kernel, process
from fourfold.spawner.journal import Journal
from fourfold.spawner.logs import Logs
from fourfold.spawner.loop import Loop
from fourfold.spawner.process import Stat
from fourfold.spawner.processes import MARKER, Processes
from fourfold.spawner.request import HOW_IT_ENDED, Failed, Spawn, Started
from fourfold.spawner.tree import Tree

Answer = Callable[[dict[str, Any]], None]
Publish = Callable[[dict[str, Any]], None]

_DELAYS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, *(0.03,) * 30, *(0.1,) * 90)
"""Between looks at whether a killed tree is empty: ten seconds in all."""

_LOOK_AT_MEMORY = 10.0
"""Seconds."""
_RECENTLY = 0.25
"""Seconds. When it is killed, a look of then is good enough: another follows when its main process has ended."""


@dataclass
class Instance:
    started: Started
    tree: Tree
    owner: object | None = None
    """Connection that holds its streams."""
    pidfd: int = -1
    """Only for adopted ones: a child of ours keeps its pid until we have waited for it."""
    answer: Answer | None = None
    """Set while starting: who asked."""
    status: int = -1
    """Read end of the pipe that the exec closes, while starting."""
    failure: dict[str, Any] | None = None
    ending: bool = False
    kills: tuple[int, int] = (0, 0)
    """Processes of it that the kernel had killed for want of memory, at the last look but one and at the last."""
    taken: resource.struct_rusage | None = None
    """By its main process and those that it waited for; known when it has ended."""
    guests: list[Instance] = field(default_factory=list)
    logs: set[str] = field(default_factory=set)
    """Others than its own that are kept bounded while it runs."""


class Instances:
    def __init__(self, loop: Loop, journal: Journal, logs: Logs, publish: Publish) -> None:
        self._loop = loop
        self._journal = journal
        self._logs = logs
        self._publish = publish
        self._boot_id = process.boot_id()
        self._processes = Processes()
        self._by_id: dict[str, Instance] = {}
        self._by_pid: dict[int, Instance] = {}
        self._unclaimed: dict[int, int] = {}
        """Wait statuses of orphans that ended while a runtime may still name one of them as what it left behind."""
        self._inherited = child.Inherited.now()
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors[1], self.descriptors[1]))

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def settled(self) -> bool:
        """Nothing is starting or ending."""
        return not any(instance.ending or instance.answer for instance in self._by_id.values())

    @property
    def descriptors(self) -> tuple[int, int]:
        """RLIMIT_NOFILE as it was when the spawner was started."""
        return self._inherited.descriptors

    def use_descriptors(self, limit: tuple[int, int]) -> None:
        self._inherited = replace(self._inherited, descriptors=limit)

    def look_at_memory(self) -> None:
        """Note by and by who was killed for want of memory: one that a program survived long ago did not end it."""
        for instance in self._by_id.values():
            instance.kills = instance.kills[1], instance.tree.oom_kills()
        self._loop.after(_LOOK_AT_MEMORY, self.look_at_memory)

    def running(self) -> list[dict[str, Any]]:
        """`starting`: it may yet fail, or get another pid."""
        return [
            {**instance.started.as_json(), "starting": instance.answer is not None}
            for instance in self._by_id.values()
            if not instance.ending
        ]

    # starting

    def spawn(self, spawn: Spawn, streams: list[int], owner: object, answer: Answer) -> None:
        """Fork, write down, let go. `answer` gets {"pid", "start_time", "boot_id"} or a failure, once it is known."""
        if spawn.instance in self._by_id:
            return answer({"error": Failed("exists", 0, spawn.instance).as_json()})
        host = self._by_id.get(spawn.inside) if spawn.inside else None
        if spawn.inside and (host is None or host.ending):
            return answer({"error": Failed("inside", 0, spawn.inside).as_json()})
        pipes: list[int] = []
        try:
            pipes += os.pipe2(os.O_CLOEXEC)
            pipes += os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            pid, group = child.fork(child.first_groups(spawn))
        except OSError as error:
            for fd in pipes:
                os.close(fd)
            return answer({"error": Failed("fork", error.errno or 0).as_json()})
        go_read, go, status, status_write = pipes
        if pid == 0:
            inherited = replace(self._inherited, group=group)
            child.become(spawn, host.started if host else None, go_read, status_write, streams, inherited)
        os.close(go_read)
        os.close(status_write)
        stat = Stat.of(pid)
        instance = self._instance(Started.of(spawn, pid, stat.start_time if stat else 0, self._boot_id))
        try:
            self._journal.start(instance.started)
            os.write(go, b"g")
        except OSError as error:
            os.close(status)
            self._journal.drop(instance.started)
            return answer({"error": Failed("journal", error.errno or 0).as_json()})
        finally:
            os.close(go)  # without the byte the child ends by itself
        instance.owner = owner if spawn.held else None
        instance.answer, instance.status = answer, status
        self._by_id[spawn.instance] = self._by_pid[pid] = instance
        if host is not None:
            host.guests.append(instance)
        self._loop.watch(status, lambda: self._read_status(instance))

    def _read_status(self, instance: Instance) -> None:
        """The child tells what went wrong (one write, whole), or its exec closes the pipe."""
        try:
            report = os.read(instance.status, 65536)
        except BlockingIOError:
            return
        if report:
            instance.failure = json.loads(report)
            return
        self._close_status(instance)
        if instance.failure is None and not instance.started.pending:
            self._is_running(instance)

    def _close_status(self, instance: Instance) -> None:
        self._loop.unwatch(instance.status)
        os.close(instance.status)
        instance.status = -1

    def _is_running(self, instance: Instance) -> None:
        self._keep_log(instance)
        answer, instance.answer = instance.answer, None
        if answer is not None:
            started = instance.started
            answer({"ok": {"pid": started.pid, "start_time": started.start_time, "boot_id": started.boot_id}})

    def _keep_log(self, instance: Instance) -> None:
        if instance.started.log:
            with suppress(OSError):  # its folder was removed: the program runs on without
                self._logs.add(instance.started.log, instance.started.log_bytes)
        if instance.started.reports:
            with suppress(OSError):  # nothing is kept of one that floods it
                self._logs.add(_report_of(instance.started), handover.REPORT_BYTES)

    def _instance(self, started: Started) -> Instance:
        owned = tuple(started.owned_cgroups)
        mark = f"{MARKER}={child.marker(started.instance, started.pid, started.start_time)}"
        mark = "" if owned or started.inside else mark
        runtime = tuple(started.runtime_cgroups)
        return Instance(started, Tree(started.pid, started.start_time, owned, mark, self._processes, runtime))

    # ending

    def reap(self) -> None:
        """Collect every child that has ended: instances, and orphans of instances, which are ours as a subreaper."""
        if not self._hand_over_to_come():
            self._unclaimed.clear()
        while True:
            try:
                pid, status, taken = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if instance := self._by_pid.get(pid):
                instance.taken = taken
                self._main_ended(instance, status)
            elif self._hand_over_to_come():
                self._unclaimed[pid] = status

    def _hand_over_to_come(self) -> bool:
        return any(instance.started.pending for instance in self._by_pid.values())

    def _main_ended(self, instance: Instance, status: int | None) -> None:
        if self._by_pid.get(instance.started.pid) is instance:  # an adopted one's pid may be another's by now
            del self._by_pid[instance.started.pid]
        if instance.status >= 0:
            self._read_status(instance)  # it may have ended before its report was read
        if instance.status >= 0:
            self._close_status(instance)
            if instance.failure is None and not instance.started.pending:
                self._is_running(instance)
        if instance.started.pending and instance.failure is None and self._hand_over(instance, status):
            return
        instance.ending = True
        self._clear_after(instance, status, 0)

    def _hand_over(self, instance: Instance, status: int | None) -> bool:
        """The runtime has ended: go on with what it left behind. -> whether there is such a process, or was."""
        runtime = instance.started
        try:
            pid = handover.left_behind(runtime.folder, status)
            stat = Stat.of(pid) if pid not in self._unclaimed else None
            started = replace(runtime, pid=pid, start_time=stat.start_time if stat else 0, pending=False)
            self._journal.start(started)
        except Failed as failed:
            instance.failure = failed.as_json()
            return False
        except OSError as error:
            instance.failure = Failed("journal", error.errno or 0).as_json()
            return False
        instance.started, instance.tree = started, self._instance(started).tree
        self._by_pid[pid] = instance
        self._is_running(instance)
        if stat is None:
            self._main_ended(instance, self._unclaimed.pop(pid, None))
        return True

    def _clear_after(self, instance: Instance, status: int | None, attempt: int) -> None:
        """Where looking is costly, a little later: those that end meanwhile share a look."""
        since, cost = time.monotonic(), instance.tree.cost
        wait = max(_DELAYS[attempt - 1] if attempt else 0.0, cost)
        if wait < _DELAYS[0]:
            self._clear(instance, status, attempt, since)
        else:
            self._loop.after(wait, lambda: self._clear(instance, status, attempt, since))

    def _clear(self, instance: Instance, status: int | None, attempt: int, since: float) -> None:
        """Kill what is left of the tree until nothing is, then tell."""
        for guest in instance.guests:
            guest.tree.kill(since)
        # What a guest left behind belongs to the instance that it entered, unless nobody holds the guest any more.
        leave = instance.started.inside is not None and instance.owner is not None
        if not leave and attempt < len(_DELAYS) and instance.tree.pids(since):
            instance.tree.kill(since)
            self._clear_after(instance, status, attempt + 1)
            return
        self._ended(instance, status)

    def _ended(self, instance: Instance, status: int | None) -> None:
        started = instance.started
        kills = instance.tree.oom_kills()
        code, number = handover.ending(status, started.bundled)
        oom, said = kills > instance.kills[0] and code != 0, ""
        if started.reports:
            told = handover.reported(started.folder, status)
            code, number, oom, said = told.code, told.signal, told.oom or (oom and told.code is None), told.said
        cpu_seconds = instance.tree.cpu_seconds()
        taken = instance.taken
        if cpu_seconds is None and taken is not None:
            cpu_seconds = taken.ru_utime + taken.ru_stime
        memory = taken.ru_maxrss * 1024 if taken is not None else None
        self._remove_groups(instance.tree, 0)
        if started.reports:
            self._logs.drop(_report_of(started))
        if started.folder:
            handover.remove(started.folder)
        for log in (*instance.logs, *([started.log] if started.log else [])):
            self._logs.drop(log)
        if self._by_id.get(started.instance) is instance:
            del self._by_id[started.instance]
        host = self._by_id.get(started.inside) if started.inside else None
        if host is not None and instance in host.guests:
            host.guests.remove(instance)
        if instance.failure is not None:
            self._journal.drop(started)
            if instance.answer:
                instance.answer({"error": instance.failure})
        elif started.held:
            self._journal.drop(started)
            ended = {"instance": started.instance, "code": code, "signal": number, "oom": oom, "said": said}
            self._publish({"event": "ended", **ended})
        else:
            exit = self._journal.end(started, code, number, oom, said, cpu_seconds, memory)
            self._publish({"event": "exit", **exit.as_json()})

    def _remove_groups(self, tree: Tree, attempt: int) -> None:
        """v1 lets go of a group a little after its last process; what stays longer the daemon clears when it opens."""
        if not tree.remove_groups() and attempt < len(_DELAYS):
            self._loop.after(_DELAYS[attempt], lambda: self._remove_groups(tree, attempt + 1))

    # asked for

    def signal(self, name: str, number: int) -> bool:
        """To the main process only, if it is still there. -> whether an exit of it is to come."""
        instance = self._by_id.get(name)
        if instance is None:
            return False
        if not instance.ending:
            self._signal_main(instance, number)
        return True

    def _signal_main(self, instance: Instance, number: int) -> None:
        if instance.pidfd < 0:
            os.kill(instance.started.pid, number)  # our child, not yet waited for: the pid is still its own
        else:
            with suppress(OSError):
                signal.pidfd_send_signal(instance.pidfd, number)

    def kill(self, name: str) -> bool:
        """The whole tree. -> as `signal`."""
        instance = self._by_id.get(name)
        if instance is not None and not instance.ending:
            # Children of what a runtime runs in an instance are found by way of it: it goes last.
            instance.tree.kill(time.monotonic() - (0.0 if instance.started.inside else _RECENTLY))
        return self.signal(name, signal.SIGKILL)

    def keep(self, name: str, log: str, limit: int) -> bool:
        """-> whether that instance runs and the log is there."""
        instance = self._by_id.get(name)
        if instance is None or instance.ending:
            return False
        try:
            self._logs.drop(log, ended=False)
            self._logs.add(log, limit)
        except OSError:
            return False
        instance.logs.add(log)
        return True

    def drop(self, name: str, log: str) -> bool:
        """Nobody writes to it any more. -> whether it was kept."""
        instance = self._by_id.get(name)
        if instance is None or log not in instance.logs:
            return False
        instance.logs.discard(log)
        self._logs.drop(log)
        return True

    def kill_all(self) -> None:
        for name in list(self._by_id):
            self.kill(name)

    def release(self, owner: object) -> None:
        """A connection is gone: what it held ends."""
        for name, instance in list(self._by_id.items()):
            if instance.owner is owner:
                instance.owner = None
                self.kill(name)

    # after a dead spawner, or a re-executed one

    def adopt(self) -> None:
        """Take over what the journal says was started: children of ours (re-exec), others by pidfd, or gone."""
        since = time.monotonic()
        for started in list(self._journal.started.values()):
            instance = self._instance(started)
            self._by_id[started.instance] = instance
            if self._find(instance):
                self._by_pid[started.pid] = instance
                instance.kills = (instance.tree.oom_kills(),) * 2
                self._keep_log(instance)
            else:
                instance.ending = True
                self._clear(instance, None, 0 if started.boot_id == self._boot_id else len(_DELAYS), since)
        for instance in self._by_id.values():
            if instance.started.inside in self._by_id:
                self._by_id[instance.started.inside].guests.append(instance)
        for name, instance in list(self._by_id.items()):
            if instance.started.held:
                self.kill(name)

    def _find(self, instance: Instance) -> bool:
        """-> whether the very process that was started still runs (or is a zombie of ours)."""
        started = instance.started
        stat = Stat.of(started.pid)
        if started.pending:
            return False  # nobody has noted what its runtime left behind, if anything: it all ends
        if started.boot_id != self._boot_id or stat is None or stat.start_time != started.start_time:
            return False
        if stat.parent == os.getpid():
            return True
        pidfd = process.open_exactly(started.pid, started.start_time)
        if pidfd is None:
            return False
        if started.owned_cgroups and started.pid not in instance.tree.pids(0.0):
            os.close(pidfd)
            return False
        instance.pidfd = pidfd
        self._loop.watch(pidfd, lambda: self._adopted_ended(instance, 0))
        return True

    def _adopted_ended(self, instance: Instance, attempt: int) -> None:
        """Readable: it is a zombie, and /proc has its status; once its new parent has waited for it, the pidfd has."""
        if attempt == 0:
            self._loop.unwatch(instance.pidfd)
        status = process.status_of_zombie(instance.started.pid, instance.started.start_time)
        status = kernel.exit_status(instance.pidfd) if status is None else status
        poll = select.poll()
        poll.register(instance.pidfd, 0)
        reaped = any(events & select.POLLHUP for _, events in poll.poll(0))
        if status is None and not reaped and attempt < 8:
            self._loop.after(_DELAYS[attempt], lambda: self._adopted_ended(instance, attempt + 1))
            return
        os.close(instance.pidfd)
        instance.pidfd = -1
        self._main_ended(instance, status)


def _report_of(started: Started) -> str:
    return f"{started.folder}/{HOW_IT_ENDED}"
