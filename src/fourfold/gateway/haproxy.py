"""The gateway as the daemon sees it: `apply` makes a configuration so, with a reload only where nothing less will do.

Nothing is remembered about HAProxy but its counters: what it serves is asked every time, so a death of HAProxy or of
the daemon needs no handling of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from fourfold.errors import FourfoldError, WorldError
from fourfold.gateway import certificates, listening, program, runtime
from fourfold.gateway.counters import stored_counters
from fourfold.gateway.files import Folder, certificate_name, fingerprint
from fourfold.gateway.model import Backend, GatewayConfig, InstanceStats, Machine, RouteStats
from fourfold.gateway.render import (
    CONFIG,
    LAST_REQUEST,
    MASTER_SOCKET,
    Frame,
    Rendered,
    addresses,
    frame,
    render,
    without_servers,
)
from fourfold.gateway.runtime import Live, Processes
from fourfold.gateway.socket import NotRunning, ask, lines
from fourfold.gateway.spread import of_live
from fourfold.launch.model import Launch, Limits, Stop
from fourfold.paths import Paths
from fourfold.store.files.sources import write_atomically

LIVE = ("show info", "show servers state", "show backend")
PATIENCE = 30.0
"""Seconds that HAProxy may take to start a worker."""
STOPS_WITHIN = 5.0
"""Seconds that an old worker may take to see that it is to stop, on a machine without a moment to spare."""
STOP_GRACE = 10.0
CPU_WEIGHT = 1000
"""Ten times a service's: one that takes every cycle it gets must not slow down the requests of all others."""


@dataclass(frozen=True)
class _Ready:
    """A configuration with everything that it refers to."""

    config: GatewayConfig
    rendered: Rendered
    certificates: Mapping[str, bytes]


@dataclass(frozen=True)
class _Seen:
    """HAProxy as it runs."""

    processes: Processes
    live: Live
    """What the current worker serves."""


class Gateway:
    """HAProxy under our supervisor. One object per daemon; all methods may be called at any time, HAProxy up or not."""

    def __init__(self, paths: Paths, binary: str | None = None) -> None:
        self._folder = Folder(paths.gateway)
        self._master = paths.gateway / MASTER_SOCKET
        self._binary = binary
        self._machine = program.machine()
        self._lock = asyncio.Lock()
        self.leaves = False
        """Whether a server that is to go was still there after the last change: it had connections."""
        self._kept = paths.route_counters
        self._stored = _text(self._kept)
        self._counters = stored_counters(self._stored)
        self._version: tuple[int, ...] | None = None
        self._good = ""
        """Fingerprint of what HAProxy last found nothing wrong with."""
        self._framed: tuple[tuple[GatewayConfig, Machine, Mapping[str, str]], Frame] | None = None

    def launch(self, instance: str) -> Launch:
        """HAProxy in the foreground. It reads the file that `apply` left, or begins with nothing to serve.

        SIGUSR1 ends it when its connections have ended; the supervisor's SIGKILL after that ends the workers too.
        """
        if self._folder.text() is None:
            self._folder.write(render(GatewayConfig(), self._machine), {})
        return Launch(
            instance=instance,
            argv=(self.binary, "-W", "-db", "-S", f"unix@{MASTER_SOCKET},mode,600", "-f", CONFIG),
            cwd=str(self._folder.path),
            limits=Limits(cpu_weight=CPU_WEIGHT),
            stop=Stop(signal="USR1", grace=STOP_GRACE),
        )

    @property
    def binary(self) -> str:
        if self._binary is None:
            self._binary = program.find()
        return self._binary

    async def version(self) -> tuple[int, ...]:
        """(2, 6, 12). UserError when HAProxy is not there or too old."""
        if self._version is None:
            self._version = await program.version(self.binary)
        return self._version

    async def check(self, config: GatewayConfig) -> None:
        """Raises UserError when `apply` would not work: a bad route, certificate or address, or one that is taken."""
        async with self._lock:
            await self._check(await self._prepare(config))

    async def apply(self, config: GatewayConfig) -> bool:
        """Make it so; True when that took a reload. Doing it again changes nothing.

        Raises UserError (nothing changed) or WorldError; after a reload that failed the old configuration is back.
        When HAProxy does not run the file is left for it to read, unless others have its addresses.
        """
        async with self._lock:
            wanted = await self._prepare(config)
            seen = await self._look()
            before = await asyncio.to_thread(self._folder.text)
            known = seen.live.fingerprint if seen else fingerprint(before or "")
            if known != wanted.rendered.fingerprint:
                await self._check(wanted)
            elif seen is None:  # somebody may have taken an address since it ended
                await self._refuse_taken(wanted)
            reloads = seen is not None and known != wanted.rendered.fingerprint
            if seen and reloads:
                await asyncio.to_thread(self._folder.write, wanted.rendered, wanted.certificates)
                seen = await self._reload(wanted.rendered, seen.processes, before)
            try:
                if seen:
                    await self._set_servers(config.backends, seen)
            finally:  # after the servers: who waits for one does not wait for the disk
                await asyncio.to_thread(self._folder.write, wanted.rendered, wanted.certificates)
            self._counters.serves(wanted.rendered.fingerprint, wanted.rendered.routes)
            if reloads or (seen and seen.live.names - _servers(config)):
                await self._keep()  # of who goes, what it answered
            await asyncio.to_thread(self._folder.tidy, wanted.rendered, wanted.certificates)
            return reloads

    async def clear(self) -> None:
        """Nothing is to be served: no key, name or count of what was stays on disk. HAProxy is left to others."""
        async with self._lock:
            with suppress(FourfoldError):
                await self.stats()
            self._stored, self._counters = "", self._counters.cleared()
            self._kept.unlink(missing_ok=True)
            nothing = render(GatewayConfig(), self._machine)
            await asyncio.to_thread(self._folder.write, nothing, {})
            await asyncio.to_thread(self._folder.tidy, nothing, {})

    async def set_servers(self, backends: tuple[Backend, ...]) -> bool:
        """What needs no reload of `apply`, for the services that HAProxy knows; False when it does not run."""
        async with self._lock:
            seen = await self._look()
            if seen is None:
                return False
            await self._set_servers(backends, seen)
            return True

    async def ready(self) -> bool:
        """Whether a worker serves."""
        try:
            processes = await self._processes()
            return bool(processes and processes.current and await self._ask_worker(processes.current, "show info"))
        except WorldError:
            return False

    async def in_flight(self) -> Mapping[str, int]:
        """Requests in flight per server, over current and old workers. Servers that no worker knows are not in it.

        Raises WorldError unless every worker has answered: one that has not may have any number of them.
        """
        processes = await self._processes()
        if processes is None or processes.current is None:
            raise NotRunning("cannot count requests in flight: no worker of the gateway runs")
        pids = [processes.current, *processes.old]
        # One exchange each: a worker that ended meanwhile would end the answer to all that follows in its line.
        answers = await asyncio.gather(*(self._ask_worker(pid, "show servers conn", "show info") for pid in pids))
        return runtime.in_flight("".join(answers), processes)

    async def handed_over(self) -> None:
        """Back when no client has a connection to an old worker, or none of these may bring a new request any more.

        Until then some are served by the configuration before.
        """
        async for _ in _until(LAST_REQUEST + 1, pause=0.1):
            try:
                processes = await self._processes()
                old = processes.old if processes else ()
                answers = [await self._ask_worker(pid, "show info") for pid in old]
            except NotRunning:
                return
            if not any(runtime.has_clients(answer) for answer in answers):
                return

    async def stats(self) -> list[RouteStats]:
        """Counters per route since it came up. HAProxy down: the last ones."""
        try:
            processes = await self._processes()
            if processes and processes.current:
                await self._read_counters(processes.current)
        except NotRunning:
            pass
        return self._counters.totals()

    async def served(self) -> Mapping[str, InstanceStats]:
        """Of each instance that gets requests. HAProxy down: as it last was."""
        await self.stats()
        return self.last_served

    @property
    def routes(self) -> Mapping[str, tuple[str, str]]:
        """Of each of HAProxy's backends the service (`app.service`) and the route; that is empty for calls from other
        services."""
        return self._counters.routes

    @property
    def last_served(self) -> Mapping[str, InstanceStats]:
        """Of a few seconds ago."""
        return self._counters.served.totals()

    async def answered(self) -> Mapping[str, InstanceStats]:
        """As `served`, over all runs of an instance, also of those that are gone since `keep`: these only grow."""
        await self.stats()
        return self._counters.served.ever()

    @property
    def readings(self) -> int:
        """How often the counters were read: where this stands still, nothing is known of what happened meanwhile."""
        return self._counters.served.readings

    def keep(self, names: Collection[str]) -> None:
        """Forget what other instances had answered that are gone."""
        self._counters.served.keep(names)

    async def keep_stats(self) -> None:
        """Read the counters, and store them so that neither a death of HAProxy nor one of the daemon begins at 0."""
        await self.stats()
        await self._keep()

    async def _keep(self) -> None:
        if (text := self._counters.text()) != self._stored:
            await asyncio.to_thread(write_atomically, self._kept, text.encode())
            self._stored = text

    # what a configuration needs

    async def _prepare(self, config: GatewayConfig) -> _Ready:
        await self.version()
        await self._need_cookie_key(config.backends)
        files: dict[str, str] = {}
        content: dict[str, bytes] = {}
        for frontend in config.frontends:
            if (path := frontend.certificate) and path not in files:
                where = f"listen {frontend.listen!r}"
                read = await asyncio.to_thread(certificates.read, path, where)
                combined = certificates.combine(read, read, where)
                files[path] = certificate_name(combined)
                content[files[path]] = combined
        return _Ready(config, self._frame(config, files).filled(config.backends), content)

    def _frame(self, config: GatewayConfig, files: Mapping[str, str]) -> Frame:
        """The last one, as long as only servers come and go."""
        wanted = without_servers(config), self._machine, files
        if self._framed is None or self._framed[0] != wanted:
            self._framed = wanted, frame(*wanted)
        return self._framed[1]

    async def _need_cookie_key(self, backends: Iterable[Backend]) -> None:
        if not self._machine.cookie_key and any(backend.sticky for backend in backends):
            self._machine = replace(self._machine, cookie_key=await asyncio.to_thread(self._folder.cookie_key))

    async def _check(self, wanted: _Ready) -> None:
        await self._refuse_taken(wanted)
        if wanted.rendered.fingerprint != self._good:  # to ask HAProxy takes 60 ms of CPU
            with self._folder.trial(wanted.rendered, wanted.certificates) as folder:
                await program.check(self.binary, folder)
            self._good = wanted.rendered.fingerprint

    async def _refuse_taken(self, wanted: _Ready) -> None:
        needed = list(addresses(wanted.config))
        await asyncio.to_thread(listening.refuse_taken, needed, self._machine.ipv6, self._is_ours)

    def _is_ours(self, pid: int) -> bool:
        """By the folder that it runs in: a master that has died or only starts cannot say who its workers are."""
        with suppress(OSError):
            there = Path(f"/proc/{pid}/cwd")
            removed = f"{self._folder.path.resolve()} (deleted)"  # others may have emptied `run`
            return str(there.readlink()) == removed or there.samefile(self._folder.path)
        return False

    # what HAProxy is doing

    async def _processes(self) -> Processes | None:
        """None: it does not run."""
        try:
            return runtime.processes(await ask(self._master, "show proc"))
        except NotRunning:
            return None

    async def _look(self) -> _Seen | None:
        """One exchange, unless a worker is only just starting; None: HAProxy does not run."""
        async for _ in _until(PATIENCE):
            try:
                answer = await ask(self._master, "; ".join(["show proc", "@1", *LIVE]))
            except NotRunning:
                return None
            processes, live = runtime.processes(answer), runtime.live(answer)
            if live.fingerprint and live.pid == processes.current:
                return _Seen(processes, live)
        raise WorldError(f"cannot reach the gateway: it has started no worker in {PATIENCE:g} s", "see its log")

    async def _ask_worker(self, pid: int, *commands: str) -> str:
        return "".join([await ask(self._master, line) for line in lines(commands, f"@!{pid}")])

    async def _read_counters(self, pid: int) -> None:
        answer = await self._ask_worker(pid, "show info", "show stat -1 6 -1")
        info, heading, table = answer.partition(runtime.STATS)
        identity = runtime.worker_identity(info)
        if identity[0] == str(pid) and runtime.live(info).fingerprint == self._counters.fingerprint:
            of_routes, of_instances = runtime.counters(heading + table, self._counters.routes)
            self._counters.read(identity, of_routes)
            self._counters.served.read(identity, of_instances)

    # changing it

    async def _reload(self, rendered: Rendered, before: Processes, text: str | None) -> _Seen:
        """Seamless: the new worker takes the listening sockets over, the old one ends what it has.

        From HAProxy 2.7 on `reload` answers whether it worked; before, `show proc` counts failures.
        """
        if before.current:
            await self._read_counters(before.current)
        answer = ""
        try:
            answer = await ask(self._master, "reload", timeout=PATIENCE)
            async for _ in _until(PATIENCE):
                found = await self._processes()
                if found is None:
                    continue  # the master starts itself anew
                if found.failed > before.failed or "Success=0" in answer:
                    break
                if found.current not in (None, before.current):
                    seen = await self._look()
                    if seen and seen.live.fingerprint == rendered.fingerprint:
                        await self._takes_no_more(before.current)
                        return seen
        except NotRunning:
            pass
        if text is not None:
            await asyncio.to_thread(self._folder.restore, text)
        said = answer.partition("--\n")[2].strip().splitlines()
        raise WorldError(
            f"cannot reload the gateway: {said[0] if said else 'HAProxy did not take the new configuration'}",
            "its log says why; the configuration before is in use",
        )

    async def _takes_no_more(self, pid: int | None) -> None:
        """Back when an old worker accepts no connections any more: it learns by a signal that it is to stop."""
        with suppress(WorldError):
            async for _ in _until(STOPS_WITHIN):
                if pid is None or runtime.has_stopped(await self._ask_worker(pid, "show info")):
                    return

    async def _set_servers(self, backends: tuple[Backend, ...], seen: _Seen | None) -> None:
        """Of the services that HAProxy knows. The exchange that changes them tells what there is then."""
        await self._need_cookie_key(backends)
        self.leaves = False
        said: str | None = None
        for _ in range(3):
            if seen is None:
                return  # HAProxy went away; it will read the file
            wanted = of_live(backends, seen.live.backends)
            due = runtime.changes(wanted, seen.live.servers, self._machine.cookie_key)
            if not due or (said is not None and all(map(runtime.is_due_later, due))):
                self.leaves = bool(due)
                return
            if said is None and any(map(runtime.is_due_later, due)):  # what they have counted goes with them
                await self._read_counters(seen.live.pid)
            said = await self._ask_worker(seen.live.pid, *due, *LIVE)
            live, before = runtime.live(said), seen.live
            seen = replace(seen, live=live) if live.pid == before.pid else await self._look()
            if seen is not None and seen.live.pid == before.pid:
                self._counters.served.left(before.names - seen.live.names)
        raise WorldError(f"cannot change the gateway's servers: HAProxy says {runtime.complaint(said or '')!r}")


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def _servers(config: GatewayConfig) -> frozenset[str]:
    return frozenset(server.name for backend in config.backends for server in backend.servers)


async def _until(seconds: float, pause: float = 0.02) -> AsyncIterator[None]:
    """Tries, 20 ms apart: HAProxy tells nobody when a worker is there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        await asyncio.sleep(pause)
