"""Watches instances: quickly while they start, at the probe's interval afterwards; liveness beside it once ready."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from fourfold.control.goals import SYSTEM, goal_of
from fourfold.control.instances.diagnose import Diagnose
from fourfold.control.instances.listening import STARTING_SECONDS, Listening
from fourfold.control.instances.probe import Ask, asker, refused, speaks, tcp, unix
from fourfold.control.registry import Registry, key_of
from fourfold.errors import WorldError
from fourfold.launch.names import FORWARDED_OWN
from fourfold.launch.patterns import is_machine
from fourfold.spec.groups import GROUP
from fourfold.spec.model import Probe, Service
from fourfold.store.model import InstanceRow

log = logging.getLogger(__name__)

DIAGNOSE_SECONDS = 5.0
"""Between two looks at where else a program listens: that reads all of /proc."""
UNFOUND_SECONDS = 1.0
"""The same, while it listens nowhere yet."""
SETTLE_SECONDS = 1.0
"""A service without port and health command is ready once it has run this long."""
NOT_STARTED = "its virtual machine has not started the program yet"
NOT_UP = "its first sandbox has not come up yet"
DEFAULT = Probe()
HOST_LIVES = Probe(interval=10.0, failures=6)
"""A host or an invoker answers within a second, whatever its guests or sandboxes do. One that is silent for a minute
cannot be told anything."""


class Listener(Protocol):
    def ready(self, name: str) -> None: ...
    def unready(self, name: str, error: str) -> None: ...
    def probe_failed(self, name: str, error: str) -> None: ...
    def sick(self, name: str, error: str) -> None: ...


RunCommand = Callable[[str, tuple[str, ...], float], Awaitable[str | None]]


class Prober:
    """`run_command(instance, argv, timeout)` runs a health command inside an instance."""

    def __init__(
        self,
        registry: Registry,
        listener: Listener,
        gateway_ready: Callable[[], Awaitable[bool]],
        run_command: RunCommand,
        diagnose: Diagnose,
        has_started: Callable[[str], bool] = lambda name: True,
        socket_of: Callable[[str], Path] = Path,
        ask_host: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`has_started`: whether the program of an instance runs already; a virtual machine has to boot first.
        `socket_of`: where the invoker of an instance takes events. `ask_host`: raises WorldError when a host does not
        answer."""
        self._registry = registry
        self._listener = listener
        self._gateway_ready = gateway_ready
        self._run_command = run_command
        self._diagnose = diagnose
        self._has_started = has_started
        self._socket_of = socket_of
        self._ask_host = ask_host
        self._listening = Listening()
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}

    def watch(self, row: InstanceRow) -> None:
        self.unwatch(row.id)
        if row.app == SYSTEM:
            return self._begin(row, self._readiness(row, self._ask_gateway, DEFAULT, self._ask_gateway))
        if row.pattern == "function":
            connects = self._invoker(row)
            self._begin(row, self._readiness(row, connects, DEFAULT, partial(_comes_up, connects)))
            answers = partial(unix, str(self._socket_of(row.id)), "/state", HOST_LIVES.timeout)
            return self._begin(row, self._liveness(row.id, answers, HOST_LIVES))
        if row.pattern == GROUP and self._ask_host is not None:
            answers = partial(_answers, self._ask_host, row.id)
            self._begin(row, self._readiness(row, answers, DEFAULT, answers))
            return self._begin(row, self._liveness(row.id, answers, HOST_LIVES))
        service = self._registry.spec(key_of(row), row.release)
        health = service.health
        ask = self._asker(row, service, health)
        probe = health or DEFAULT
        first = self._first(row, service) or ask
        if first and not (health and health.command) and not _is_forwarded(row, service):
            first = self._once_it_listens(row, first)
        self._begin(row, self._readiness(row, ask, probe, first) if ask and first else self._settle(row))
        if health is not None and health.live is not None:
            ask_live = self._asker(row, service, health.live)
            if ask_live is not None:
                self._begin(row, self._liveness(row.id, ask_live, health.live))

    def _begin(self, row: InstanceRow, probing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(probing)
        task.add_done_callback(partial(_tell_fault, row.id))
        self._tasks.setdefault(row.id, []).append(task)

    def unwatch(self, name: str) -> None:
        for task in self._tasks.pop(name, ()):
            task.cancel()

    async def until_ready(self, row: InstanceRow, service: Service) -> None:
        """Ask what is at the address of `row` as if it had just started, without telling anybody.

        What can only be asked by a command inside it counts as ready once it has run for a while.
        """
        probe = service.health
        if probe is not None and probe.command and not (probe.path or probe.tcp):
            probe = None
        ask = self._first(row, service) or self._asker(row, service, probe)
        if ask is None:
            return await asyncio.sleep(SETTLE_SECONDS)
        while (error := await ask()) is not None:
            log.debug("%s: %s", row.id, error)
            await asyncio.sleep(STARTING_SECONDS[1])

    async def close(self) -> None:
        tasks = [task for each in self._tasks.values() for task in each]
        for name in list(self._tasks):
            self.unwatch(name)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _asker(self, row: InstanceRow, service: Service, probe: Probe | None) -> Ask | None:
        if _is_forwarded(row, service) and not (probe is not None and (probe.path or probe.command)):
            return self._in_guest(row)
        return asker(probe, row.reached_at, row.port, partial(self._run_command, row.id), service.called)

    def _in_guest(self, row: InstanceRow) -> Ask:
        """For a machine whose port is forwarded, QEMU takes connections that nobody in its guest would."""
        return partial(self._diagnose.nobody, row.id, *self._told_to_listen(row))

    def _invoker(self, row: InstanceRow) -> Ask:
        """It listens once its first sandbox has come up. A request on its port would be an event."""
        if row.port is not None:
            return partial(tcp, row.reached_at, row.port, 1.0)
        return partial(unix, str(self._socket_of(row.id)), "/state", 1.0)

    async def _ask_gateway(self) -> str | None:
        return None if await self._gateway_ready() else "HAProxy does not answer yet"

    async def _settle(self, row: InstanceRow) -> None:
        if row.state == "starting":
            await self._started(row)
            await asyncio.sleep(SETTLE_SECONDS)
            self._listener.ready(row.id)

    async def _started(self, row: InstanceRow) -> None:
        while not self._has_started(row.id):
            self._listener.probe_failed(row.id, NOT_STARTED)
            await asyncio.sleep(STARTING_SECONDS[1])

    def _first(self, row: InstanceRow, service: Service) -> Ask | None:
        """What is asked until it is ready for the first time, when the service does not say how."""
        health = service.health
        if row.port is None or service.protocol == "tcp":
            return None
        if health is not None and (health.path or health.tcp or health.command):
            return None
        answers = partial(speaks, row.reached_at, row.port, 1.0, http=bool(service.route), called=service.called)
        return partial(_both, self._in_guest(row), answers) if _is_forwarded(row, service) else answers

    def _once_it_listens(self, row: InstanceRow, ask: Ask) -> Ask:
        """As `ask`, which costs more than to wait until there is something to ask on a port of this machine. It is
        asked now and then all the same: the kernel may lead a port elsewhere without anybody who listens here."""
        host, port = row.reached_at, row.port
        if row.address is not None or port is None:
            return ask
        if row.state != "ready":
            self._listener.probe_failed(row.id, refused(host, port))
        since = asyncio.get_running_loop().time()

        async def listens_and_answers() -> str | None:
            await self._listening.begins(port, since, UNFOUND_SECONDS)
            return await ask()

        return listens_and_answers

    async def _readiness(self, row: InstanceRow, ask: Ask, probe: Probe, first: Ask) -> None:
        if row.state != "ready":
            await self._until_ready(row, first)
        failures = 0
        while True:
            await asyncio.sleep(probe.interval)
            error = await ask()
            if error is None:
                failures = 0
                continue
            failures += 1
            self._listener.probe_failed(row.id, error)
            if failures >= probe.failures:
                self._listener.unready(row.id, error)
                await self._until_ready(row, ask)
                failures = 0

    async def _until_ready(self, row: InstanceRow, ask: Ask) -> None:
        now = asyncio.get_running_loop().time
        began = now()
        look_at = began + self._grace(row) / 2
        elsewhere = ""
        while (error := await ask() if self._has_started(row.id) else NOT_STARTED) is not None:
            if error != NOT_STARTED and row.port is not None and row.pattern != "function" and now() >= look_at:
                elsewhere = await self._diagnose.elsewhere(row.id, *self._told_to_listen(row))
                look_at = now() + (DIAGNOSE_SECONDS if elsewhere else UNFOUND_SECONDS)
            self._listener.probe_failed(row.id, error + elsewhere)
            shortest, longest = STARTING_SECONDS
            await asyncio.sleep(min(max((now() - began) / 4, shortest), longest))
        self._listener.ready(row.id)

    def _told_to_listen(self, row: InstanceRow) -> tuple[str, int]:
        """As its program sees it."""
        assert row.port is not None
        service = self._registry.spec(key_of(row), row.release)
        if _is_forwarded(row, service):
            return FORWARDED_OWN, service.own_port or row.port
        return row.reached_at, row.port

    def _grace(self, row: InstanceRow) -> float:
        return goal_of(self._registry, key_of(row)).grace

    async def _liveness(self, name: str, ask: Ask, probe: Probe) -> None:
        """Begins once it is ready: a slow start is what `grace` is for."""
        failures = 0
        while True:
            await asyncio.sleep(probe.interval)
            row = self._registry.instances.get(name)
            if row is None or row.ready_at is None:
                continue
            error = await ask()
            failures = failures + 1 if error is not None else 0
            if error is not None and failures >= probe.failures:
                self._listener.sick(name, error)
                return


def _is_forwarded(row: InstanceRow, service: Service) -> bool:
    """Whether it is a machine that a port of this host's loopback leads to."""
    return row.address is None and row.port is not None and is_machine(row.pattern, service)


def _tell_fault(name: str, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a fault in a probe of %s, which is not asked any more", name, exc_info=error)


async def _answers(ask: Callable[[str], Awaitable[None]], host: str) -> str | None:
    try:
        await ask(host)
    except WorldError as error:
        return str(error)
    return None


async def _both(first: Ask, then: Ask) -> str | None:
    error = await first()
    return error if error is not None else await then()


async def _comes_up(connects: Ask) -> str | None:
    """Until then an invoker does not listen."""
    return None if await connects() is None else NOT_UP
