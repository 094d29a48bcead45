"""The daemon's side of the spawner: start, signal, kill, meter, attach to and hear of instances.

When the spawner dies it is started again and adopts what runs; calls that were under way then fail with WorldError, and
whether they were done is to be seen from `running`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets as random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from fourfold.errors import ConflictError, WorldError
from fourfold.launch.model import Bridge, Launch, Powers
from fourfold.paths import Paths
from fourfold.spawner.process import boot_id
from fourfold.spawner.processes import Processes
from fourfold.supervise import logs
from fourfold.supervise.attach import Attached
from fourfold.supervise.cgroups.cgroups import Groups
from fourfold.supervise.cgroups.counters import Counters
from fourfold.supervise.cgroups.find import find
from fourfold.supervise.cgroups.pens import Pens
from fourfold.supervise.cgroups.usage import measure
from fourfold.supervise.holding import Holding
from fourfold.supervise.hosts.folders import HostFolders
from fourfold.supervise.hosts.guests import Guests
from fourfold.supervise.hosts.workers import Workers
from fourfold.supervise.machines.guest import GuestUsage
from fourfold.supervise.machines.machines import Machines, words_of
from fourfold.supervise.model import Exit, Identity, Note, Usage
from fourfold.supervise.naming import group_of, signal_number
from fourfold.supervise.network.network import Network
from fourfold.supervise.spawner.bundles import Bundles, runtime_group
from fourfold.supervise.spawner.connection import Connection, Lost
from fourfold.supervise.spawner.exits import Exits
from fourfold.supervise.spawner.request import environment_of, explain, spawn_request
from fourfold.supervise.spawner.wire import Refused

log = logging.getLogger(__name__)

_GOOD_ENOUGH = 1.0
"""Seconds that a look at all processes serves for measuring."""


class Supervisor(Connection):
    """One per daemon. `on_exit` is called for each exit, also for those that happened while no daemon was there.

    An exit is acknowledged once `on_exit` has returned; while that raises, it is called again. It is called after the
    `start` of that instance has returned, unless the start is awaited by way of another task.
    """

    def __init__(
        self,
        paths: Paths,
        powers: Powers,
        on_exit: Callable[[Exit], None],
        on_lost: Callable[[str], None] = lambda why: None,
        network: Network | None = None,
    ) -> None:
        """`on_lost` hears, as a sentence, when the spawner died and another one took over.

        `network` is for launches on its bridge; None: there are none.
        """
        super().__init__(paths)
        self.powers = powers
        self._on_lost = on_lost
        self._network = network
        self._groups = Groups((), None, {})
        self._bundles = Bundles(paths.containers, self._groups)
        self._machines = Machines(paths.machines, (paths.state, paths.run))
        self._processes = Processes()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: dict[str, Identity] = {}
        self._runs: dict[str, int] = {}
        """Of those that run or are being started."""
        self._vanished: set[str] = set()
        """Ran, and the spawner that took over knows nothing of them."""
        self._starting: set[str] = set()
        self._holding = Holding(
            self._machines,
            lambda: self._groups,
            self._spawn,
            self.kill,
            self.signal,
            lambda name: name in self.running(),
        )
        self.boot = self._holding.boot
        self._on_exit = on_exit
        self._exits = Exits(self._note_exit, lambda seq: self._soon(self._acknowledge(seq)))
        self.on_note: Callable[[Note], None] = lambda note: log.warning("%s: %s: %s", note.guest, note.kind, note.said)
        """Hears what hosts tell of guests beside their ends."""
        self._workers = Workers(lambda: self._groups, boot_id())
        folders = HostFolders(paths.hosts)
        self._guests = Guests(folders, self._workers, self._exits.hear, lambda note: self.on_note(note), self._call)
        self.ask = self._guests.ask
        self.usage_of = self._guests.usage_of
        self._pens = Pens(lambda: self._groups)
        self.pen = self._pens.pen

    async def open(self) -> None:
        """Connect, starting the spawner if none runs; deliver waiting exits; clear what dead instances left."""
        self._groups = await asyncio.to_thread(find, self._paths.run, self._paths.state)
        self._bundles = Bundles(self._paths.containers, self._groups)
        await self._connect()
        await self._guests.adopt({name: (self._runs[name], identity) for name, identity in self._running.items()})
        if self._network is not None:
            await self._network.adopt()

    async def close(self) -> None:
        """Let go of the spawner: it and the instances go on; one that has none ends. What is attached ends."""
        if await self._disconnect(shutdown=not self._running and not self._exits) and self._network is not None:
            await self._network.remove()
        self._holding.drop()
        await self._guests.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._groups.close()
        self._bundles.close()
        await self._machines.close()

    async def start(self, launch: Launch, secrets: Mapping[str, str], run: int) -> Identity:
        """Start one instance; returns when its program has been exec'ed.

        UserError: no such command, not executable, a secret is missing; ConflictError: it runs; else WorldError.
        """
        name = launch.instance
        if name in self.running() or name in self._starting:
            raise ConflictError(f"cannot start {name}: it already runs", "stop it first")
        self._starting.add(name)
        self._exits.hold(name)
        try:
            path = logs.make_room(self._paths, name, run, {**self._runs, **self._guests.runs(), name: run})
            if launch.host is not None:
                return await self._guests.start(launch, environment_of(launch, secrets), run, path)
            self._runs[name] = run
            if launch.guests is not None:
                await self._guests.make(launch, run, launch.user if self.powers.users else None)
            answer = await self._spawn(launch, secrets, run, str(path), (), tty=False)
            if launch.guests is not None and name in self._running:
                self._guests.add(name, run, _identity(answer))
            return _identity(answer)
        finally:
            if name not in self._running:
                self._runs.pop(name, None)
            self._starting.discard(name)
            self._exits.let_go(name)

    async def signal(self, instance: str, name: str) -> bool:
        """Signal its main process, if that has not ended. UserError: no such signal.

        -> whether an exit of it is still to be told; False: nobody knows anything of it. A guest is told to stop,
        whatever the signal.
        """
        number = signal_number(name)
        if self._guests.host_of(instance) is not None:
            self._soon(self._in_host(instance, self._guests.stop(instance)))
            return True
        if instance in self._running and self._machines.has(group := group_of(instance, self._runs[instance])):
            if self._machines.has_started(group):
                self._soon(self._signal_guest(instance, group, name))
                return True
            return await self.kill(instance)  # there is nothing in it yet
        known = await self._call("signal", instance=instance, number=number)
        return bool(known) or instance in self._starting or self._exits.are_open(instance)

    async def kill(self, instance: str) -> bool:
        """SIGKILL to its whole process tree; the exit is told as any other. -> as `signal`."""
        if self._guests.host_of(instance) is not None:
            self._soon(self._in_host(instance, self._guests.kill(instance)))
            return True
        known = await self._call("kill", instance=instance)
        return bool(known) or instance in self._starting or self._exits.are_open(instance)

    def has_started(self, instance: str) -> bool:
        """Whether the program of one that runs does: not while its virtual machine boots."""
        run = self._runs.get(instance)
        group = group_of(instance, run) if run is not None else ""
        return run is None or not self._machines.has(group) or self._machines.has_started(group)

    def running(self) -> Mapping[str, Identity]:
        """Instances whose main process runs, without those that are attached."""
        return self._running | self._guests.running()

    def attached(self) -> frozenset[str]:
        """What is held: one-offs by their names, and what entered instances."""
        return self._holding.names()

    def run_of(self, instance: str) -> int | None:
        """The `run` that a running instance was started with."""
        return self._runs.get(instance) or self._guests.runs().get(instance)

    def usage(self, instance: str) -> Usage | None:
        """None when it does not run, or in the process of its host: see `usage_of`.

        Reads a dozen small files; without groups, now and then those of all processes.
        """
        if instance not in self._running:
            return self._guests.usage(instance)
        group = group_of(instance, self._runs[instance])
        counters = self._groups.counters(group) if self._groups.hierarchies else Counters()
        return measure(self.pids(instance), counters)

    def pids(self, instance: str) -> set[int]:
        """Of all its processes: the machine's around a guest, sandboxes of a function, guests of a host. Empty: it
        does not run, or in a host."""
        identity = self._running.get(instance)
        if identity is None:
            return set()
        if self._groups.hierarchies:
            return self._groups.pids(group_of(instance, self._runs[instance]))
        self._processes.look(time.monotonic() - _GOOD_ENOUGH)
        return self._processes.with_descendants([identity.pid, *self._processes.of_session(identity.pid)])

    def counters(self, instance: str) -> Counters | None:
        """CPU and memory of `usage`, which cost a few small files where there are groups."""
        if instance in self._running:
            counted = self._groups.counters(group_of(instance, self._runs[instance]))
            if counted.cpu_seconds is not None and counted.memory_bytes is not None:
                return counted
        usage = self.usage(instance)
        return Counters(usage.cpu_seconds, usage.memory_bytes) if usage is not None else None

    async def guest_usage(self, instance: str) -> GuestUsage | None:
        """Of a virtual machine, from inside: None when it cannot tell."""
        run = self._runs.get(instance)
        return await self._machines.usage(group_of(instance, run)) if run is not None else None

    async def guest_reads(self, instance: str) -> list[str]:
        """Of a virtual machine, for the template of others: see `Machines.reads`. WorldError: it cannot tell."""
        if (run := self._runs.get(instance)) is None:
            raise WorldError(f"{instance} does not run")
        return await self._machines.reads(group_of(instance, run))

    async def attach(self, launch: Launch, secrets: Mapping[str, str], tty: bool) -> Attached:
        """Run a one-off with held streams. It ends when closed, or with the daemon, and is told to no `on_exit`."""

        if launch.machine is not None:
            return await self._holding.lodge(launch, launch.machine, secrets, tty)

        async def spawn(streams: Sequence[int]) -> None:
            await self._spawn(launch, secrets, 0, None, streams, tty)

        return await self._holding.hold(launch.instance, spawn, tty)

    async def enter(self, launch: Launch, secrets: Mapping[str, str], tty: bool) -> Attached:
        """Run `launch.argv` inside the running instance `launch.instance`: its namespaces, groups and user.

        Everything else of `launch` is as for a start. ConflictError when that instance does not run.
        """
        host = self._guests.host_of(launch.instance) or launch.instance
        if launch.instance not in self.running():
            raise ConflictError(f"cannot enter {launch.instance}: it does not run", "`fourfold status` shows what runs")
        name = f"{launch.instance}+{random.token_hex(4)}"
        group = group_of(host, self._runs[host])
        folders = self._groups.folders(group)
        if host != launch.instance:
            folders = self._guests.groups(launch.instance)
            launch = replace(launch, mounts=(), user=self._guests.user(launch.instance))  # they are its host's
        request = spawn_request(
            launch, secrets, self.powers, run=0, hidden=(), cgroups=folders, log=None, held=True, tty=tty
        )
        if launch.machine is not None:
            return await self._machines.execute(launch, launch.machine, request["env"], group, tty)
        request |= {"instance": name, "inside": host, "mounts": [], "files": []}
        if launch.bundle is not None:
            self._soon(asyncio.to_thread(self._groups.hasten_moves))
            request |= self._bundles.entering(launch, launch.bundle, request["env"], group, tty)

        async def spawn(streams: Sequence[int]) -> None:
            await self._request(host, launch.cwd, request, streams)

        try:
            return await self._holding.hold(name, spawn, tty)
        except BaseException:
            if launch.bundle is not None and host not in self._running:  # it has ended meanwhile, and cleared up
                self._groups.remove(runtime_group(group))
            raise

    # starting

    async def _spawn(
        self, launch: Launch, secrets: Mapping[str, str], run: int, log: str | None, streams: Sequence[int], tty: bool
    ) -> dict[str, Any]:
        """Check, make the groups, ask the spawner; without groups again when it refused."""
        # What is in there is not for it, and of others: their artifacts and logs, sockets.
        hidden = (self._paths.state, self._paths.run)
        arguments: dict[str, Any] = {"run": run, "hidden": hidden, "log": log, "held": bool(streams), "tty": tty}
        request = spawn_request(launch, secrets, self.powers, cgroups=(), **arguments)
        if (isinstance(launch.network, Bridge) or launch.needs_bridge) and self._network is not None:
            await self._network.make()
        group = group_of(launch.instance, run)
        request["cgroups"] = self._groups.create(group, launch.limits)
        if launch.guests is not None:
            with suppress(OSError):  # then its workers have no limits of their own
                self._groups.divide(group)
        try:
            if launch.bundle is not None:
                self._soon(asyncio.to_thread(self._groups.hasten_moves))
                self._bundles.make(group, launch.bundle)
                request |= self._bundles.starting(
                    launch, launch.bundle, request["env"], group, held=bool(streams), tty=tty
                )
            if launch.machine is not None:
                self._machines.make(group)
                request |= self._machines.starting(launch, launch.machine, request["env"], request["files"], group)
                request["bundle"]["cgroups"] = request["cgroups"]
            answer = await self._request(launch.instance, launch.cwd, request, streams)
            if launch.machine is not None and launch.machine.kept is None:  # nobody is to be heard in a template
                self._machines.watch(group)
            return answer
        except BaseException:
            self._groups.remove(group)
            if launch.bundle is not None:
                self._groups.remove(runtime_group(group))
                self._bundles.remove(group)
            if launch.machine is not None:
                self._machines.remove(group)
            raise

    async def _request(
        self, instance: str, cwd: str, request: dict[str, Any], streams: Sequence[int]
    ) -> dict[str, Any]:
        def started(answer: dict[str, Any]) -> None:
            if not streams:
                self._running[instance] = _identity(answer)
                self._runs[instance] = request["run"]

        try:
            answer: dict[str, Any] = await self._call("spawn", streams, started, spawn=request, passed=len(streams))
        except Refused as refused:
            raise explain(instance, cwd, refused) from refused
        except Lost:
            await self.reached()
            if streams or instance not in self._running:
                raise
            return asdict(self._running[instance])  # another spawner has found it
        return answer

    # what the spawner says

    def _adopt(self, listed: Sequence[Mapping[str, Any]]) -> None:
        instances = [each for each in listed if not each["held"] and not each.get("starting")]
        before = set(self._running)
        self._running = {each["instance"]: _identity(each) for each in instances}
        self._runs |= {each["instance"]: each["run"] for each in instances}
        self._vanished |= before - set(self._running)

    def _on_connected(self) -> None:
        for name in sorted((self._vanished - set(self._running)) & set(self._runs)):
            self._guests.lose(name, self._runs[name])
            self._exits.hear(Exit(0, name, None, None, False, at=0.0, run=self._runs.pop(name)))
        self._vanished.clear()
        self._clear_leftovers()
        self._guests.keep_logs()

    def _on_gone(self) -> None:
        self._holding.drop()

    def _on_recovered(self) -> None:
        self._on_lost("the spawner died; another one took over what runs")

    def _clear_leftovers(self) -> None:
        """Groups that no instance has: kill what is in them (ours, by membership) and remove them."""
        instances = {group_of(*each) for each in self._runs.items()} | {
            group_of(name, 0) for name in self._holding.names()
        }
        for name in self._groups.names() - instances - {*map(runtime_group, instances)} - self._pens.names:
            if not self._groups.remove(name):
                self._groups.kill(name)
                self._soon(self._groups.remove_when_empty(name))
        self._bundles.clear(instances)
        self._machines.clear(instances)
        self._guests.clear(instances)
        for name in instances:
            if self._machines.has(name):
                self._machines.watch(name)

    def _on_event(self, event: Mapping[str, Any]) -> None:
        fields = {key: event.get(key) for key in ("instance", "code", "signal", "oom")}
        fields["said"] = event.get("said") or ""
        if event.get("event") == "ended":
            self._holding.ended(Exit(seq=0, at=0.0, **fields))  # type: ignore[arg-type]
        elif "seq" in event:
            fields["said"] = self._words(event) if fields["said"] else ""
            fields |= {key: event.get(key) for key in ("cpu_seconds", "memory_bytes")}
            exit = Exit(seq=event["seq"], at=event["at"], run=event["run"], **fields)  # type: ignore[arg-type]
            if self._runs.get(exit.instance) == exit.run:
                self._running.pop(exit.instance, None)
                self._runs.pop(exit.instance, None)
            self._machines.forget(group_of(exit.instance, exit.run))
            why = self._guests.lose(exit.instance, exit.run)
            self._groups.remove(
                runtime_group(group_of(exit.instance, exit.run))
            )  # made again by one that came too late
            self._exits.hear(replace(exit, said=why) if why else exit)
        else:
            log.error("the spawner reports: %s", dict(event))

    def _words(self, event: Mapping[str, Any]) -> str:
        path = logs.path_of(self._paths, event["instance"], event.get("run", 0))
        return words_of(event["said"], logs.end_of(path))

    def _note_exit(self, exit: Exit) -> None:
        self._on_exit(exit)
        self._guests.noted(exit)

    async def _acknowledge(self, seq: int) -> None:
        """When it does not get through, the exits come again with the next connection, and so does this."""
        if not self._closing:
            with suppress(WorldError):
                await self._call("ack", seq=seq)
                self._exits.forgotten(seq)

    async def _signal_guest(self, instance: str, group: str, name: str) -> None:
        try:
            await self._machines.signal(group, name)
        except WorldError as error:
            if instance in self._running:
                log.error("cannot signal %s: %s", instance, error)

    async def _in_host(self, instance: str, asked: Awaitable[bool]) -> None:
        """Behind the caller's back: a host that hangs is not to keep others waiting."""
        try:
            await asked
        except WorldError as error:
            log.error("cannot end %s: %s", instance, error)

    def _soon(self, action: Any) -> None:
        task = asyncio.get_running_loop().create_task(action)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _identity(fields: Mapping[str, Any]) -> Identity:
    return Identity(fields["pid"], fields["start_time"], fields["boot_id"])
