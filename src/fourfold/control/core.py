"""The control layer as the API sees it (`Facade`): checks a request, then hands it to the part that does it."""

from __future__ import annotations

import asyncio
import base64
import getpass
import secrets as random
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from fourfold import __version__
from fourfold.build.build import BuildRequest
from fourfold.clock import rfc3339
from fourfold.control import views as v
from fourfold.control.bringing import Bringing
from fourfold.control.changes import Change
from fourfold.control.checks import (
    check_network,
    check_powers,
    refuse_job,
    refuse_several,
)
from fourfold.control.comparing.left import left
from fourfold.control.counting import most_of, set_to
from fourfold.control.doctor import examine
from fourfold.control.explain import Case, explain
from fourfold.control.goals import GATEWAY, count_of, on_bridge, pattern_of
from fourfold.control.groups import check_restart, check_scale
from fourfold.control.groups import check_rollback as check_group_rollback
from fourfold.control.operations import Operation
from fourfold.control.parts import Parts
from fourfold.control.passwords import parse
from fourfold.control.running import job_view
from fourfold.control.sharing import check_rollback
from fourfold.control.stagewords import strategy
from fourfold.control.top import top
from fourfold.errors import NotFoundError, UserError
from fourfold.functions.model import Answer, Invocation
from fourfold.gateway.model import RouteStats
from fourfold.launch.patterns import program_memory, unenforced
from fourfold.spec.model import Service
from fourfold.store.events import ALL, Which
from fourfold.store.manifest import Manifest
from fourfold.store.model import Event, InstanceRow, ServiceRow
from fourfold.store.room import require_room, while_room
from fourfold.supervise.attach import Attached
from fourfold.supervise.model import LogLine

if TYPE_CHECKING:
    from fourfold.build.disk.export import DiskImage
    from fourfold.build.oci.export import Archive
    from fourfold.control.access import NewTokenView, TokenRequest, TokenView
    from fourfold.control.advicerequest import AdviceRequest
    from fourfold.control.bakery.bakery import Bakery
    from fourfold.control.comparing.comparing import Comparing
    from fourfold.control.comparing.request import CompareRequest
    from fourfold.control.imaging import Imaging
    from fourfold.control.keeping.request import BackupRequest
    from fourfold.control.maintaining import Page
    from fourfold.cost.advice.model import Advice
    from fourfold.cost.comparison import Comparison


class Control:
    """Satisfies `control.facade.Facade`. `stop` ends the daemon."""

    def __init__(self, parts: Parts, stop: asyncio.Event) -> None:
        self._parts = parts
        self._stop = stop
        self._started_at = parts.clock.now()
        self._bringing = Bringing(parts)

    @cached_property
    def _imaging(self) -> Imaging:
        """Imported by those who make images, not by every daemon that starts."""
        from fourfold.control.imaging import Imaging

        return Imaging(self._parts)

    @cached_property
    def bakery(self) -> Bakery:
        """Likewise."""
        from fourfold.control.bakery.bakery import Bakery

        return Bakery(self._parts)

    @cached_property
    def _comparing(self) -> Comparing:
        """Likewise."""
        from fourfold.control.comparing.comparing import Comparing

        return Comparing(self._parts, self._bringing)

    # -- apps -----------------------------------------------------------------------------------------------------

    async def info(self) -> v.InfoView:
        spawner = self._parts.supervisor.spawner
        return v.InfoView(
            version=__version__,
            pid=self._parts.pid,
            user=getpass.getuser(),
            home=str(self._parts.paths.state),
            apps=sorted(name for name, row in self._parts.registry.apps.items() if row.candidate_of is None),
            started_at=rfc3339(self._started_at),
            lambda_api=self._parts.status.lambda_api,
            region=self._parts.settings.region,
            spawner=v.SpawnerView(pid=spawner.pid, version=spawner.version) if spawner is not None else None,
        )

    async def apps(self) -> list[v.AppView]:
        return self._parts.status.apps()

    async def status(self, app: str) -> v.StatusView:
        view = self._parts.status.app(app)
        invokers = [each for service in view.services for each in service.instances if each.pattern == "function"]
        if invokers:
            await asyncio.gather(*(self._look_into(each) for each in invokers if each.state in ("ready", "draining")))
        return view

    async def _look_into(self, instance: v.InstanceView) -> None:
        if (state := await self._parts.invoking.state(instance.id)) is not None:
            instance.sandboxes = v.SandboxesView(states=state["sandboxes"], waiting=state["waiting"])

    async def plan(self, request: v.UpRequest) -> v.PlanView:
        app, wishes, changes = await self._bringing.consider(request)
        specs = {wish.name: wish.spec for wish in wishes}
        views = [self._change_view(app.app, change, specs.get(change.service)) for change in changes]
        return v.PlanView(app=app.app, changes=views)

    def _change_view(self, app: str, change: Change, spec: Service | None) -> v.ChangeView:
        row = self._parts.registry.services.get(f"{app}.{change.service}")
        return v.ChangeView(
            service=change.service,
            action=change.kind,
            reasons=list(change.reasons),
            release=row.release if row else None,
            instances=count_of(row) if row else 0,
            overrides=row.overrides if row else {},
            strategy=strategy(spec.deploy) if spec is not None and row and change.kind == "deploy" else None,
        )

    async def up(self, request: v.UpRequest) -> v.OperationView:
        return await self._bringing.up(request)

    async def down(self, app: str, purge: bool, actor: str) -> v.OperationView:
        parts = self._parts
        if not (purge and parts.down.leaves(app)):
            parts.status.need_app(app)
        names = [row.name for row in parts.registry.of_app(app)]
        return parts.operations.submit(app, "down", actor, names, partial(parts.down.run, app, purge))

    # -- builds ---------------------------------------------------------------------------------------------------

    async def build(self, request: v.UpRequest, form: str | None = None) -> v.OperationView:
        return await self._imaging.build(request, form)

    async def artifact(self, request: v.UpRequest) -> v.ArtifactView:
        return await self._imaging.artifact(request)

    async def image(self, request: v.UpRequest) -> Archive:
        return await self._imaging.image(request)

    async def disk(self, request: v.UpRequest, form: str) -> DiskImage:
        return await self._imaging.disk(request, form)

    async def push(self, request: v.UpRequest, reference: str) -> v.ImageView:
        return await self._imaging.push(request, reference)

    # -- services -------------------------------------------------------------------------------------------------

    async def scale(self, app: str, service: str, instances: int | None, in_file: bool, actor: str) -> v.OperationView:
        row = self._need(app, service)
        spec = self._parts.registry.spec(f"{app}.{service}", row.release)
        refuse_job(service, spec, "scale")
        refuse_several(service, spec, pattern_of(row), most_of(set_to(row, instances, in_file)))
        check_scale(self._parts.registry, row)
        work = partial(self._parts.deployer.scale, f"{app}.{service}", instances, in_file)
        return self._parts.operations.submit(app, "scale", actor, [service], work)

    async def rollback(self, app: str, service: str, to: int | None, actor: str) -> v.OperationView:
        await self._consider_rollback(app, service, to)
        work = partial(self._rollback, app, service, to)
        return self._parts.operations.submit(app, "rollback", actor, [service], work)

    async def _rollback(self, app: str, service: str, to: int | None, operation: Operation) -> None:
        if operation.queued:
            await self._consider_rollback(app, service, to)
        await self._parts.deployer.rollback(f"{app}.{service}", to, operation)

    async def _consider_rollback(self, app: str, service: str, to: int | None) -> None:
        parts, row = self._parts, self._need(app, service)
        number = parts.deployer.rollback_target(row, to)
        await check_rollback(parts, row, number)
        check_group_rollback(parts.registry, row, number)
        spec, pattern = parts.registry.spec(f"{app}.{service}", number), pattern_of(row)
        await parts.trials.look_for([(pattern, spec)])
        check_powers(service, spec, pattern, parts.supervisor.powers)
        check_network(service, spec, pattern, parts.supervisor.powers)
        if on_bridge(pattern, spec):
            await parts.network.check()
        refuse_several(service, spec, pattern, 1 if pattern == "shared" else most_of(row))
        if not parts.deployer.is_built(row, number):
            source = parts.registry.release(f"{app}.{service}", number).source
            try:
                parts.check_source(source)
            except UserError as error:
                raise UserError(
                    f"cannot roll {service} back to release {number}: it has to be built again for pattern {pattern}, "
                    f"and its source is lost ({error})",
                    f"put the old source back in place, then: fourfold deploy {service}",
                ) from error
            await parts.builder.plan(BuildRequest(app, service, spec, source, pattern))

    async def promote(self, app: str, service: str, full: bool, actor: str) -> v.OperationView:
        self._need(app, service)
        return self._parts.promoting.promote(f"{app}.{service}", full, actor)

    async def abort(self, app: str, service: str, actor: str) -> v.OperationView:
        self._need(app, service)
        return self._parts.promoting.abort(f"{app}.{service}", actor)

    async def restart(self, app: str, services: Sequence[str], actor: str) -> v.OperationView:
        names = self._names(app, services)
        for name in names:
            check_restart(self._parts.registry, self._need(app, name), names)
        work = partial(self._parts.deployer.restart, [f"{app}.{name}" for name in names])
        return self._parts.operations.submit(app, "restart", actor, names, work)

    async def stop(self, app: str, services: Sequence[str], actor: str) -> v.OperationView:
        names = self._names(app, services)
        work = partial(self._parts.deployer.stop, [f"{app}.{name}" for name in names])
        return self._parts.operations.submit(app, "stop", actor, names, work)

    async def take_out(self, app: str, service: str, actor: str) -> v.OperationView:
        row = self._need(app, service)
        work = partial(self._parts.deployer.take_out, f"{app}.{row.name}")
        return self._parts.operations.submit(app, "remove", actor, [service], work)

    def _names(self, app: str, services: Sequence[str]) -> list[str]:
        self._parts.status.need_app(app)
        if services:
            return [self._need(app, name).name for name in services]
        return [row.name for row in self._parts.registry.of_app(app) if not row.removed]

    def _need(self, app: str, service: str) -> ServiceRow:
        self._parts.status.need_app(app)
        return self._parts.deployer.need(f"{app}.{service}")

    async def invoke(
        self, app: str, service: str, payload: bytes, context: str, tail: bool, release: int | None
    ) -> v.InvocationView:
        self._need(app, service)
        invocation = Invocation(payload, str(uuid.uuid4()), client_context=context, tail=tail)
        return invocation_view(invocation, await self._parts.invoking.invoke(app, service, invocation, release))

    async def invoke_later(self, app: str, service: str, payload: bytes, context: str) -> v.QueuedView:
        self._need(app, service)
        queue = self._parts.events.queue
        return v.QueuedView(id=await queue.enqueue(app, service, payload, source="invoke", client_context=context))

    async def cost(self, app: str, asked: v.CostRequest) -> v.CostView:
        self._need_usage(app, asked.service)
        return await self._parts.costing.view(app, asked)

    async def usage(self, app: str, service: str | None) -> v.UsageView:
        self._need_usage(app, service)
        return await self._parts.costing.usage(app, service)

    def _need_usage(self, app: str, service: str | None) -> None:
        known = self._parts.costing.services(app)  # `down` keeps what was taken
        if service is not None and service not in known:
            self._need(app, service)
        elif not known:
            self._parts.status.need_app(app)

    async def compare(self, app: str, service: str, request: CompareRequest) -> v.OperationView:
        return await self._comparing.compare(self._need(app, service), request)

    async def comparison(self, app: str, service: str) -> Comparison:
        self._need(app, service)
        return self._comparing.newest(app, service)

    async def sweep(self) -> None:
        """What a daemon before this one did not see to its end: go on with builds, take away what comparisons left."""
        if self._parts.store.bakes.open():
            self.bakery.resume()
        if left(self._parts.store):
            await self._comparing.sweep()

    async def close(self) -> None:
        """Before the daemon's parts stop: what needs them to come to an end."""
        if "_comparing" in self.__dict__:
            await self._comparing.close()
        if "bakery" in self.__dict__:
            await self.bakery.close()

    async def advise(self, app: str, request: AdviceRequest) -> list[Advice]:
        from fourfold.control.advising import Advising  # with its rules: for those who ask, not for every daemon

        return await Advising(self._parts).advise(app, request)

    async def cancel(self, operation: str, actor: str) -> None:
        if self._parts.store.bakes.is_open(operation):
            return await self.bakery.remove(operation, actor)
        await self._parts.operations.cancel(operation, actor)

    async def history(self, app: str, service: str | None) -> list[v.ReleaseView]:
        return self._parts.status.history(app, service)

    async def explain(self, app: str, service: str) -> v.ExplainView:
        parts = self._parts
        row = self._need(app, service)
        key, view = f"{app}.{service}", parts.status.service(row)
        spec = parts.registry.spec(key, row.release)
        dead = [each for each in parts.store.instances.of(app, service) if each.state == "gone" and each.exit]
        dead.sort(key=lambda each: each.changed_at, reverse=True)
        alive = parts.registry.of_service(key)
        errors = [error for each in alive if (error := parts.registry.live[each.id].probe_error)]
        unwell = [each for each in alive if each.state != "ready"] or dead[:1]
        pattern = pattern_of(row)
        line = parts.events.queue.lines.find(key)
        return explain(
            Case(
                row=row,
                desired=view.desired,
                scaling=view.scaling,
                instances=[each for each in alive if each.role == "serve"],
                dead=dead,
                deployment=parts.registry.deployments.get(key),
                step=parts.status.step(key),
                waiting_for=parts.reconciler.waiting.get(key),
                probe_errors=errors,
                limits_missing=unenforced(pattern, spec, parts.supervisor.powers),
                memory_limit=program_memory(pattern, spec),
                last_lines=await parts.last_lines(unwell[-1] if unwell else None),
                group=parts.status.group_of(row),
                job=job_view(parts.registry, parts.events, row, parts.clock.now()),
                maintenance=parts.status.service(row).maintenance,
                events_waiting=len(line.events) if line is not None else 0,
                events_refused=line.refused if line is not None else "",
                events_given_up=parts.store.queue.count_failed(app, service),
                events=await parts.invoking.totals(each.id for each in alive if each.block is not None),
                hooks=parts.notifying.hooks.troubles(app),
            )
        )

    # -- what happened and happens --------------------------------------------------------------------------------

    async def events(
        self,
        app: str | None,
        after: int,
        follow: bool,
        operation: str | None = None,
        tail: int | None = None,
        which: Which = ALL,
    ) -> AsyncIterator[v.EventView]:
        bus = self._parts.bus
        if tail is not None:
            after = max(after, bus.before(tail, app, operation, which))
        under_way = operation is not None and self._parts.store.bakes.is_open(operation)
        if operation is not None and not under_way and not self._parts.operations.knows(operation):
            if not any(True for _ in bus.since(0, app, operation)):
                raise NotFoundError(f"cannot follow operation {operation}: it is not known")
            async for view in self._interrupted(app, after, operation):
                if which.wants(view.kind):
                    yield view
            return
        if not follow:
            for event in bus.since(after, app, operation, which):
                yield event_view(event)
            return
        async for event in bus.follow(after, app, operation, which if operation is None else ALL):
            if operation is None or which.wants(event.kind):
                yield event_view(event)
            if operation is not None and event.kind in ("operation.done", "operation.failed"):
                return

    async def _interrupted(self, app: str | None, after: int, operation: str) -> AsyncIterator[v.EventView]:
        """An operation of a daemon before this one that had not come to its deployments, or had ended."""
        last = None
        for event in self._parts.bus.since(0, app, operation):
            last = event
            if event.seq > after:
                yield event_view(event)
        if last is not None and last.kind not in ("operation.done", "operation.failed"):
            ended = replace(
                last, kind="operation.failed", message="interrupted: the daemon restarted before anything had changed"
            )
            yield event_view(ended)

    async def logs(
        self, app: str, services: Sequence[str], since: float | None, tail: int | None, previous: bool, follow: bool
    ) -> AsyncIterator[tuple[str, LogLine]]:
        self._parts.status.need_app(app)
        wanted = [name for name in services if name != "gateway"]
        keys = [f"{app}.{name}" for name in self._names(app, wanted)] if wanted or not services else []
        if "gateway" in services:
            keys.append(GATEWAY)
        async for item in self._parts.logs.read(keys, since=since, tail=tail, previous=previous, follow=follow):
            yield item

    async def top(self, app: str | None) -> list[v.TopRow]:
        if app is not None:
            self._parts.status.need_app(app)
        return await top(self._parts, app)

    async def metrics(self) -> str:
        from fourfold.control.metrics.scrape import scrape  # for those who are asked for them

        return await scrape(self._parts)

    async def routes(self, app: str) -> list[v.RouteView]:
        self._parts.status.need_app(app)
        found = await self._parts.gateway.stats()
        return [route_view(each) for each in found if each.service.partition(".")[0] == app]

    # -- exec and run ---------------------------------------------------------------------------------------------

    async def exec(
        self, app: str, service: str, instance: str | None, argv: Sequence[str], tty: bool, actor: str = ""
    ) -> Attached:
        parts = self._parts
        self._need(app, service)
        rows = [row for row in parts.registry.of_service(f"{app}.{service}") if row.pid and row.state != "exited"]
        if instance is not None:
            rows = [row for row in rows if row.id in (instance, f"{app}.{instance}")]
        if not rows:
            raise NotFoundError(
                f"cannot exec in {instance or service}: no instance of it runs", f"see: fourfold explain {service}"
            )
        row = sorted(rows, key=lambda each: each.state != "ready")[0]
        if row.pattern == "function":
            raise UserError(
                f"cannot exec in {row.id}: a sandbox is there for one event at a time, and frozen in between",
                f"`fourfold invoke {service}` gives it an event, `fourfold run {service} -- CMD` runs beside it",
            )
        launch = parts.starter.launch(row, parts.registry.spec(f"{app}.{service}", row.release), tuple(argv))
        names = {use.name for use in parts.registry.spec(f"{app}.{service}", row.release).secrets}
        attached = await parts.supervisor.enter(launch, parts.store.secrets.resolve(app, names), tty)
        self._tell_program("inside", row, argv, actor)
        return attached

    def _tell_program(self, where: str, row: InstanceRow, argv: Sequence[str], actor: str) -> None:
        """Which program, and not with what arguments: those may be secrets."""
        what = f"{argv[0]} was started {where} {row.id if where == 'inside' else row.service}"
        self._parts.bus.emit(
            "program.started", what, app=row.app, service=row.service, instance=row.id, actor=actor or None
        )

    async def run(self, app: str, service: str, argv: Sequence[str], tty: bool, actor: str = "") -> Attached:
        parts = self._parts
        row = self._need(app, service)
        now = parts.clock.now()
        made = InstanceRow(
            id=f"{app}.{service}-run-{random.token_hex(3)}",
            app=app,
            service=service,
            release=row.release,
            revision="run",
            role="run",
            state="starting",
            created_at=now,
            changed_at=now,
            pattern=pattern_of(row),
            run=1,
        )
        spec = parts.registry.spec(f"{app}.{service}", row.release)
        launch = parts.starter.launch(parts.starter.lent(made, spec), spec, tuple(argv))
        names = {use.name for use in spec.secrets}
        attached = await parts.supervisor.attach(launch, parts.store.secrets.resolve(app, names), tty)
        self._tell_program("beside", made, argv, actor)
        return attached

    # -- jobs, and events that were given up ------------------------------------------------------------------------

    async def start_run(self, app: str, service: str, event: str, actor: str) -> v.RunView:
        self._need(app, service)
        return self._parts.running.start(app, service, event, actor)

    async def runs(self, app: str, service: str | None) -> list[v.RunView]:
        if service is None:
            self._parts.status.need_app(app)
        return self._parts.running.runs(app, service)

    async def follow_run(self, app: str, run: str, skip: int) -> AsyncIterator[LogLine | v.RunView]:
        async for item in self._parts.running.follow(app, run, skip):
            yield item

    async def failed_events(self, app: str, service: str | None) -> list[v.FailedView]:
        self._parts.status.need_app(app)
        if service is not None:
            self._need(app, service)
        return self._parts.running.failed(app, service)

    async def replay_events(self, app: str, service: str | None, ids: Sequence[str] | None, actor: str) -> list[str]:
        self._parts.status.need_app(app)
        if service is not None:
            self._need(app, service)
        return self._parts.running.replay(app, service, ids, actor)

    # -- secrets --------------------------------------------------------------------------------------------------

    async def tokens(self) -> list[TokenView]:
        return self._parts.access.all()

    async def create_token(self, request: TokenRequest) -> NewTokenView:
        return self._parts.access.create(request)

    async def remove_token(self, name: str, actor: str) -> None:
        self._parts.access.remove(name, actor)

    async def secrets(self, app: str) -> list[v.SecretView]:
        return [
            v.SecretView(name=info.name, updated_at=rfc3339(info.updated_at))
            for info in self._parts.store.secrets.names(app)
        ]

    async def set_secrets(self, app: str, values: dict[str, str], actor: str) -> None:
        """Before the app is brought up for the first time too: it may need them for that."""
        for name in values.keys() & {name for row in self._parts.registry.of_app(app) for name in self._auths(row)}:
            parse(values[name], name)
        self._parts.store.secrets.set_many(app, values)
        self._parts.passwords.forget(app)
        self._parts.traffic.sync()
        names = ", ".join(sorted(values))
        self._parts.bus.emit("secrets.set", f"secrets set: {names}", app=app, actor=actor, names=sorted(values))

    async def remove_secrets(self, app: str, names: list[str], actor: str) -> None:
        """All or none."""
        for name in names:
            if self._parts.notifying.hooks.uses(app, name):
                raise UserError(
                    f"cannot remove secret {name}: it signs what webhooks of app {app} are sent; nothing was removed",
                    "take it out of `notify` in the service file and run `fourfold up` first",
                )
            if users := [row.name for row in self._parts.registry.of_app(app) if self._uses(row, name)]:
                raise UserError(
                    f"cannot remove secret {name}: {', '.join(users)} of app {app} uses it; nothing was removed",
                    "take it out of the service file and run `fourfold up` first",
                )
        self._parts.store.secrets.remove(app, names)
        told = f"secrets removed: {', '.join(names)}"
        self._parts.bus.emit("secrets.removed", told, app=app, actor=actor, names=names)

    def _uses(self, row: ServiceRow, name: str) -> bool:
        spec = self._parts.registry.spec(f"{row.app}.{row.name}", row.release)
        return any(use.name == name for use in spec.secrets) or name in self._auths(row)

    def _auths(self, row: ServiceRow) -> set[str]:
        """Secrets that the gateway asks its users for."""
        routes = self._parts.registry.spec(f"{row.app}.{row.name}", row.release).route
        return {route.auth.secret for route in routes if route.auth is not None}

    # -- webhooks -------------------------------------------------------------------------------------------------

    async def hooks(self, app: str) -> list[v.HookView]:
        self._parts.status.need_app(app)
        return self._parts.notifying.hooks.views(app)

    async def test_hooks(self, app: str, actor: str) -> list[v.HookTestView]:
        self._parts.status.need_app(app)
        return await self._parts.notifying.test(app, actor)

    # -- the gateway ----------------------------------------------------------------------------------------------

    async def begin_maintenance(self, app: str, services: Sequence[str], page: Page, actor: str) -> list[str]:
        self._parts.status.need_app(app)
        return await self._parts.maintaining.begin(app, services, page, actor)

    async def end_maintenance(self, app: str, services: Sequence[str], actor: str) -> list[str]:
        self._parts.status.need_app(app)
        return await self._parts.maintaining.end(app, services, actor)

    async def certificate(self, app: str) -> v.CertificateView:
        self._parts.status.need_app(app)
        return await self._parts.certificates.view(app)

    async def renew_certificate(self, app: str, chain: bytes, key: bytes, actor: str) -> v.CertificateView:
        self._parts.status.need_app(app)
        await self._parts.certificates.renew(app, chain, key, actor)
        return await self._parts.certificates.view(app)

    # -- sources and the machine ----------------------------------------------------------------------------------

    async def offer_source(self, manifest: Mapping[str, Any]) -> tuple[str, list[str]]:
        parsed = Manifest.parse(manifest)
        await asyncio.to_thread(self._require_room)
        return await asyncio.to_thread(self._parts.offer, parsed)

    async def receive_blobs(self, pieces: AsyncIterator[bytes]) -> None:
        await self._parts.blobs.receive(while_room(pieces, self._require_room))

    def _require_room(self) -> None:
        require_room(self._parts.paths.state, self._parts.settings.free_bytes, "take a source")

    async def gc(self, actor: str = "") -> v.GcView:
        view = await self._parts.sweeper.collect()
        what = f"what nothing needs was removed: {view.freed_bytes} bytes are free again"
        self._parts.bus.emit("daemon.gc", what, actor=actor or None, removed=view.removed)
        return view

    async def doctor(self) -> list[v.CheckView]:
        await self._parts.trials.look_for_all()
        checks = await asyncio.to_thread(examine, self._parts.paths, self._parts.supervisor.powers)
        listener = self._parts.access.listener
        return [*checks, *([listener()] if listener is not None else []), *self._parts.notifying.hooks.checks()]

    async def backup(self, request: BackupRequest) -> AsyncIterator[bytes]:
        from fourfold.control.keeping.keeping import backup  # for those who ask

        return await backup(self._parts, request)

    async def shutdown(self, actor: str = "") -> None:
        self._parts.bus.emit("daemon.stopping", "the daemon was told to end", actor=actor or None)
        self._stop.set()


def event_view(event: Event) -> v.EventView:
    return v.EventView(
        seq=event.seq,
        at=rfc3339(event.at),
        app=event.app,
        service=event.service,
        instance=event.instance,
        kind=event.kind,
        message=event.message,
        actor=event.actor,
        data=event.data,
    )


def invocation_view(invocation: Invocation, answer: Answer) -> v.InvocationView:
    log = base64.b64decode(answer.log).decode(errors="replace") if answer.log else None
    return v.InvocationView(
        request_id=invocation.request_id,
        status=answer.status,
        payload=answer.payload.decode(errors="replace"),
        error=answer.error or None,
        log=log,
        version=answer.version,
    )


def route_view(stats: RouteStats) -> v.RouteView:
    return v.RouteView(
        service=stats.service.partition(".")[2],
        route=stats.route,
        requests=stats.requests,
        errors_5xx=stats.errors_5xx,
        errors_4xx=stats.errors_4xx,
        in_flight=stats.in_flight,
        response_seconds=stats.response_seconds,
        refused=stats.refused,
    )
