"""Services of an app: how many there are, which release they are on, why they are not well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from fourfold.build.build import BuildRequest
from fourfold.control import views as v
from fourfold.control.delivering.running import job_view
from fourfold.control.deploying.checks import check_network, check_powers, refuse_job, refuse_several
from fourfold.control.goals import goal_of, is_forwarded, on_bridge, pattern_of
from fourfold.control.groups.groups import check_restart, check_scale
from fourfold.control.groups.groups import check_rollback as check_group_rollback
from fourfold.control.instances.diagnose import is_halted
from fourfold.control.operations import Operation
from fourfold.control.reporting.explain import Case, explain, telling
from fourfold.control.requests.base import Requests
from fourfold.control.routing.sharing import check_rollback
from fourfold.control.scaling.counting import most_of, set_to
from fourfold.errors import UserError
from fourfold.launch.patterns import program_memory, unenforced
from fourfold.plan.restart import settled
from fourfold.store.model import Event


class Services(Requests):
    async def scale(self, app: str, counts: Mapping[str, int | None], in_file: bool, actor: str) -> v.OperationView:
        for service, count in counts.items():
            row = self._need(app, service)
            spec = self._parts.registry.spec(f"{app}.{service}", row.release)
            refuse_job(service, spec, "scale")
            refuse_several(service, spec, pattern_of(row), most_of(set_to(row, count, in_file)))
            check_scale(self._parts.registry, row)
        wanted = {f"{app}.{service}": count for service, count in counts.items()}
        work = partial(self._parts.deployer.scale, wanted, in_file)
        return self._parts.operations.submit(app, "scale", actor, list(counts), work)

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
        if on_bridge(pattern, spec, parts.supervisor.powers):
            await parts.network.check()
        refuse_several(service, spec, pattern, 1 if pattern == "shared" else most_of(row))
        if not parts.deployer.is_built(row, number):
            source = parts.registry.release(f"{app}.{service}", number).source
            try:
                parts.stored.check_source(source)
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
        errors = {each.id: error for each in alive if (error := parts.registry.live[each.id].probe_error)}
        rules, now = goal_of(parts.registry, key).restarting, parts.clock.now()
        again = [each for each in alive if each.failures and not settled(now - (each.ready_at or now), rules)]
        unwell = [each for each in alive if each.state != "ready"] or again
        deployment = parts.registry.deployments.get(key)
        teller = telling(unwell, dead, deployment)
        pattern = pattern_of(row)
        line = parts.events.queue.lines.find(key)
        return explain(
            Case(
                row=row,
                desired=view.desired,
                scaling=view.scaling,
                instances=[each for each in alive if each.role == "serve"],
                dead=dead,
                deployment=deployment,
                step=parts.status.step(key),
                waiting_for=parts.reconciler.waiting.get(key),
                probe_errors=errors,
                halted={each.id: each.pid for each in alive if each.pid is not None and is_halted(each.pid)},
                limits_missing=unenforced(pattern, spec, parts.supervisor.powers),
                is_forwarded=is_forwarded(pattern, spec, parts.supervisor.powers),
                unserved=parts.traffic.problem(app) if view.routes else None,
                memory_limit=lambda each: program_memory(each.pattern, parts.registry.spec(key, each.release)),
                last_lines=await parts.last_lines(teller),
                last_lines_of=teller.id if teller is not None else None,
                group=parts.status.group_of(row),
                unsettled=[each.id for each in again],
                job=job_view(parts.registry, parts.events, row, now),
                maintenance=parts.status.service(row).maintenance,
                events_waiting=len(line.events) if line is not None else 0,
                events_refused=line.refused if line is not None else "",
                events_given_up=parts.store.queue.count_failed(app, service),
                events=await parts.invoking.totals(each.id for each in alive if each.block is not None),
                failed_build=self._failed_build(app, service),
                hooks=parts.notifying.hooks.troubles(app),
            )
        )

    def _failed_build(self, app: str, service: str) -> Event | None:
        """The last one, unless the app was changed since: what failed has been mended, or given up."""
        events = self._parts.store.events
        last = events.newest(app, service, "build.failed", "build.done")
        if last is None or last.kind == "build.done":
            return None
        done = events.newest(app, None, "operation.done")
        return last if done is None or done.seq < last.seq else None
