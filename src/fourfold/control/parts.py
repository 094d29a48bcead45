"""Everything the control layer is made of, wired once. `open_parts` adopts what runs; `run` keeps it going."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import psutil

from fourfold.build.build import Builder
from fourfold.build.make import BuildLimits
from fourfold.clock import SystemClock
from fourfold.control.access import Access
from fourfold.control.bus import Bus
from fourfold.control.costing.costing import Costing
from fourfold.control.costing.journals import Journals
from fourfold.control.costing.metering import Metering
from fourfold.control.delivering.eventing import Eventing
from fourfold.control.delivering.invoking import Invoking
from fourfold.control.delivering.running import Running, job_view
from fourfold.control.deploying.building import Building
from fourfold.control.deploying.canaries import Canaries
from fourfold.control.deploying.deploy import Deployer
from fourfold.control.deploying.down import Down
from fourfold.control.deploying.promoting import Promoting
from fourfold.control.deploying.stored import Stored
from fourfold.control.executor import Effects, Executor
from fourfold.control.faults import Faults
from fourfold.control.goals import GATEWAY, SYSTEM
from fourfold.control.groups.evicting import Evicting
from fourfold.control.groups.neighbours import Neighbours
from fourfold.control.instances.adopting import Adopting
from fourfold.control.instances.diagnose import Diagnose
from fourfold.control.instances.functions import clear_sockets, explained, socket_of
from fourfold.control.instances.healthcommands import HealthCommands
from fourfold.control.instances.lifecycle import Lifecycle
from fourfold.control.instances.prober import Prober
from fourfold.control.instances.readiness import Readiness
from fourfold.control.instances.starter import Starter
from fourfold.control.instances.taken import Looked
from fourfold.control.instances.templating import Templating
from fourfold.control.instances.trials import Trials, asked
from fourfold.control.keeping.rebuild import Rebuild
from fourfold.control.lambdas.lambdas import Lambdas
from fourfold.control.loops import keep_running
from fourfold.control.metrics.keeping import Keeping
from fourfold.control.notifying.notifying import Notifying
from fourfold.control.operations import Operations
from fourfold.control.ownlog import keep_bounded
from fourfold.control.reconciler import Reconciler
from fourfold.control.registry import Registry, key_of
from fourfold.control.reporting.logs import Logs
from fourfold.control.reporting.status import Status
from fourfold.control.routing.certificates import Certificates
from fourfold.control.routing.maintaining import Maintaining
from fourfold.control.routing.passwords import Passwords
from fourfold.control.routing.traffic import GatewayTraffic
from fourfold.control.scaling.scaling import Scaler
from fourfold.control.settings import Settings
from fourfold.control.sweeping import Sweeper
from fourfold.control.timekeeping import Timekeeping
from fourfold.control.triggers.aws import Aws
from fourfold.control.triggers.kinds import makers
from fourfold.control.views import JobView
from fourfold.errors import NotFoundError
from fourfold.gateway.haproxy import Gateway
from fourfold.launch.model import Limits, Powers
from fourfold.paths import Paths
from fourfold.plan.model import LEAVING
from fourfold.plan.neighbours import Bounds
from fourfold.spawner import process
from fourfold.store import layout
from fourfold.store.files.artifacts import Artifacts
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.disks import Disks
from fourfold.store.files.images import Images
from fourfold.store.files.sources import Sources
from fourfold.store.files.templates import Templates
from fourfold.store.model import InstanceRow, ServiceRow
from fourfold.store.store import open_store
from fourfold.supervise.model import Exit
from fourfold.supervise.network.bridge import BridgeNetwork
from fourfold.supervise.network.network import Network
from fourfold.supervise.powers import probe
from fourfold.supervise.supervisor import Supervisor


class Parts:
    def __init__(self, paths: Paths, settings: Settings, clock: SystemClock) -> None:
        self.paths = paths
        self.settings = settings
        self.clock = clock
        self.pid = os.getpid()
        self.looked: dict[str, Looked] = {}
        """By `top`: instance -> what it saw last."""
        self.store = open_store(paths, clock)
        self.blobs = Blobs(paths)
        self.sources = Sources(paths, self.blobs)
        self.artifacts = Artifacts(paths)
        self.images = Images(paths)
        limits = BuildLimits(settings.build_timeout, settings.build_bytes, settings.builds, settings.free_bytes)
        memory = settings.build_memory or psutil.virtual_memory().total * 3 // 4 // max(settings.builds, 1)
        self.builder = Builder(
            paths,
            clock,
            uid=settings.uids[1],
            limits=limits,
            confine=lambda: self.supervisor.pen(Limits(memory=memory, cpu_weight=20)),
            unisolated=settings.unisolated_builds,
        )
        faults = Faults(os.environ)
        self.registry = Registry(self.store, faults=faults)
        self.bus = Bus(self.store.events, faults)
        self.registry.refused = self.bus.refuse
        self.access = Access(self.store.tokens, self.bus, clock)
        self.logs = Logs(paths, self.registry)
        self.gateway = Gateway(paths)
        self.network = Network(BridgeNetwork.parse(settings.bridge), paths.state)
        self.network.on_mended = partial(self.bus.emit, "daemon.bridge-mended")
        self.supervisor = Supervisor(paths, Powers(), self._exited, self._spawner_lost, self.network)
        self.disks = Disks(paths)
        self.stored = Stored(self.sources, self.blobs, self.artifacts, self.images, self.disks)
        self.trials = Trials(self.supervisor, self.disks, paths.state / "accelerator.json")
        self.starter = Starter(
            paths, settings, self.registry, self.artifacts, self.images, self.disks, self.supervisor,
            self.gateway.launch, self.network.network,
        )  # fmt: skip
        self.passwords = Passwords(self.store.secrets)
        self.traffic = GatewayTraffic(
            self.registry, self.gateway, self.network, paths.certificates, self._wake, self._left_out,
            lambda name: self.invoking.in_flight(name), self.passwords.of, lambda: self.supervisor.powers,
        )  # fmt: skip
        executor = Executor(self.registry, self.bus, clock)
        self.lifecycle = Lifecycle(
            self.registry, executor, self.starter, self.supervisor, self.bus, clock, self._wake, self.settle
        )
        self.adopting = Adopting(self.registry, executor, self.supervisor, self.lifecycle, clock)
        self.reconciler = Reconciler(self.registry, executor, self.traffic, clock, self._act, self._waits)
        self.prober = Prober(
            self.registry,
            Readiness(self.registry, self.bus, clock, self._wake, self.lifecycle.came_up),
            self.gateway.ready,
            HealthCommands(self.registry, self.starter, self.supervisor).run,
            Diagnose(self._main_pid, self._listens),
            self.supervisor.has_started,
            partial(socket_of, paths),
            self.supervisor.ask,
        )
        self.lifecycle.watcher = self.prober
        self.invoking = Invoking(self.registry, partial(socket_of, paths), self._idle)
        self.journals = Journals(paths)
        self.templates = Templates(paths)
        self.templating = Templating(
            paths, self.templates, clock, self.supervisor.boot, self.prober.until_ready, self.supervisor.guest_reads,
            self.starter.lend, process.boot_id(),
        )  # fmt: skip
        self.lifecycle.templates = self.templating
        aws = Aws()
        self.events = Eventing(
            self.registry, executor, self.bus, clock, self.lifecycle.act, self.invoking, aws,
            makers(settings.smtp_listen, clock, aws),
        )  # fmt: skip
        self.starter.event_of = self.events.jobs.event_of
        self.running = Running(paths, self.registry, self.events, self.bus, clock)
        self.timekeeping = Timekeeping(self.registry, self.events, clock, self.bus, self._wake)
        self.notifying = Notifying(self.registry, self.bus, clock)
        self.maintaining = Maintaining(self.registry, self.gateway, self.traffic, self.bus, clock)
        self.certificates = Certificates(paths.certificates, self.registry, self.traffic, self.bus, clock)
        self.operations = Operations(self.registry, self.bus, clock, self.traffic)
        self.building = Building(self.builder, self.stored.has, self.bus, clock, self.trials.settle)
        self.deployer = Deployer(self.registry, self.building, self.bus, clock, settings, self._wake)
        self.promoting = Promoting(self.registry, self.bus, clock, self._wake)
        self.canaries = Canaries(
            self.registry, self.gateway.answered, self.bus, clock, self._wake, lambda: self.invoking.turns.answers
        )
        self.rebuild = Rebuild(self.registry, self.building, self.operations, self.bus, clock)
        self.down = Down(paths, self.registry, self.deployer, self.bus, self._wake, self._forget)
        self.evicting = Evicting(
            self.registry, self.operations, self.deployer, self.bus, lambda: self.supervisor.powers, self.builder.plan
        )  # fmt: skip
        self.neighbours = Neighbours(
            self.registry, self.supervisor.usage, self.supervisor.usage_of, self.gateway.served, self.evicting,
            self.bus, clock, Bounds(settings.abuse_seconds, settings.abuse_cpu),
        )  # fmt: skip
        self.supervisor.on_note = self.neighbours.hear
        self.metering = Metering(
            self.registry, self.supervisor.counters, self.neighbours.hosted, self.gateway, clock
        )  # fmt: skip
        self.tallies = Keeping(paths, self.registry, self.bus, lambda: self.gateway.routes)
        self.scaler = Scaler(
            self.registry, self.supervisor.counters, self.gateway, self.bus, clock, self._wake,
            settings.scale_interval,
        )  # fmt: skip
        self.costing = Costing(paths, settings, self.registry, self.journals, self.metering, self.artifacts, clock)
        self.lifecycle.taken = self.metering.ended
        self.invoking.answered = self.metering.answered
        self.lambdas = Lambdas(self.registry, clock, settings.region)
        self.starter.named = self.lambdas.named
        self.sweeper = Sweeper(
            paths, self.registry, self.artifacts, self.sources, self.blobs, self.operations, clock,
            lambda: self.building.in_use | self.lambdas.sources | self.store.bakes.sources(), self.journals,
            quotas=settings.quotas,
        )  # fmt: skip
        self.status = Status(
            self.registry,
            lambda: self.supervisor.powers,
            self.supervisor.usage,
            lambda app: self.traffic.problem(app),
            self._job,
            self.neighbours.last,
            lambda: self.gateway.last_served,
            self.operations.coming,
            self.scaler.last,
            clock.now,
        )

    # -- callbacks of parts that know nothing of each other ---------------------------------------------------------

    def _exited(self, exit: Exit) -> None:
        row = self.registry.instances.get(exit.instance)
        if row is not None and row.pattern == "function":
            self.invoking.forget(row.id)
            exit = explained(self.paths, exit)
        if row is not None and row.host is not None and exit.code is exit.signal is None and not exit.said:
            exit = replace(exit, said="stopped" if row.state in LEAVING else "it ended in its host")
        self.lifecycle.exited(exit)

    def _spawner_lost(self, why: str) -> None:
        self.bus.emit("daemon.spawner-restarted", why)

    def _wake(self) -> None:
        self.reconciler.wake()
        self.canaries.wake()
        self.events.wake()

    async def _act(self, effects: Effects) -> None:
        self.events.wake()  # a deployment may have ended
        await self.lifecycle.act(effects)

    def _job(self, row: ServiceRow) -> JobView | None:
        return job_view(self.registry, self.events, row, self.clock.now())

    def _idle(self, instance: str) -> None:
        row = self.registry.instances.get(instance)
        if row is not None and row.state == "draining":
            self._wake()

    def _forget(self, app: str) -> None:
        """All of an app that is purged; inside a transaction."""
        self.events.forget(app)
        self.metering.forget(app)
        self.lambdas.forget(app)
        self.store.hooks.remove_app(app)

    def _left_out(self, app: str, what: str) -> None:
        self.bus.emit("gateway.routes", what, app=app)

    def _waits(self, key: str, what: str) -> None:
        if (deployment := self.registry.running_deployment(key)) is not None:
            names = what.replace(f"{deployment.app}.", "")
            self.bus.emit(
                "deploy.step", f"waits for {names}", app=deployment.app, service=deployment.service,
                operation=deployment.operation,
            )  # fmt: skip

    def _main_pid(self, name: str) -> int | None:
        row = self.registry.instances.get(name)
        return row.pid if row is not None else None

    async def _listens(self, name: str) -> tuple[str, ...] | None:
        usage = await self.supervisor.guest_usage(name)
        return None if usage is None else usage.listens

    # -- what requests need -----------------------------------------------------------------------------------------

    async def settle(self, rows: Iterable[InstanceRow]) -> None:
        """Before these are started: find out whether what they lacked is there now, and under what machines run."""
        services = [row for row in rows if row.app != SYSTEM]
        await self.trials.look_for((row.pattern, self.registry.spec(key_of(row), row.release)) for row in services)
        builds = (self.registry.build(key_of(row), row.release, row.pattern) for row in services)
        artifacts = []
        for build in builds:
            with suppress(NotFoundError):
                artifacts += [self.artifacts.get(build.artifact)] if build is not None else []
        await self.trials.settle(artifacts)

    async def last_lines(self, row: InstanceRow | None, count: int = 20) -> list[str]:
        return [] if row is None else await self.logs.last_lines(row, count)

    async def run(self) -> None:
        """Until cancelled."""
        kept: dict[str, Callable[[], Awaitable[None]]] = {
            "the gateway": self.traffic.run,
            "the gateway's counters": self.traffic.keep_stats,
            "instances": partial(self._once_built, self.reconciler.run),
            "garbage": self.sweeper.run,
            "logs": self.sweeper.watch,
            "the bridge": self.network.keep,
            "events": partial(self._once_built, self.events.run),
            "neighbours": self.neighbours.run,
            "usage": self.metering.run,
            "the clock": self.timekeeping.run,
            "metrics": self.tallies.run,
            "counts by load": self.scaler.run,
            "webhooks": self.notifying.run,
            "canaries": self.canaries.run,
            "the daemon's log": partial(keep_bounded, self.paths.daemon_log, self.settings.log_bytes),
            "certificates": self.certificates.run,
        }
        async with asyncio.TaskGroup() as group:
            for what, run in kept.items():
                group.create_task(keep_running(what, run))

    async def _once_built(self, run: Callable[[], Awaitable[None]]) -> None:
        """What starts things waits, after a restore, until they are there."""
        await self.rebuild.done.wait()
        await run()

    async def close(self) -> None:
        """The daemon ends; what it started goes on."""
        self.bus.close()
        await self.operations.close()
        await self.events.close()
        await self.invoking.close()
        await self.lifecycle.close()
        await self.templating.close()
        await self.prober.close()
        await self.supervisor.close()
        await self.tallies.close()
        self.store.database.close()


async def open_parts(paths: Paths, settings: Settings, clock: SystemClock) -> Parts:
    """Open the store, connect to the spawner (starting it if need be) and take over what runs."""
    layout.empty_work(paths)
    parts = Parts(paths, settings, clock)
    parts.supervisor.powers, _ = await asyncio.gather(asyncio.to_thread(probe, paths.state), parts.supervisor.open())
    await parts.trials.look_for(asked(parts.registry))
    if not {row.id for row in parts.registry.of_service(GATEWAY)} & parts.supervisor.running().keys():
        parts.deployer.ports.leave_taken()
    await parts.adopting.adopt(process.boot_id())
    clear_sockets(paths, parts.registry.instances)
    parts.operations.resume(parts.down.unfinished())
    parts.rebuild.begin()
    return parts
