"""`up`: what an app's file asks for is checked, then brought about as an operation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

from fourfold.build.build import BuildRequest
from fourfold.control import views as v
from fourfold.control.deploying.changes import Change, Wish, changes_of
from fourfold.control.deploying.checks import (
    check_block,
    check_fixed_ports,
    check_listen,
    check_network,
    check_powers,
    check_strategy,
    check_timeout,
    chosen,
    read_app,
    refuse_candidate,
)
from fourfold.control.deploying.deploy import Who
from fourfold.control.deploying.wishes import wish_of
from fourfold.control.goals import is_forwarded, on_bridge
from fourfold.control.groups.groups import check_groups, missing
from fourfold.control.operations import Operation
from fourfold.control.parts import Parts
from fourfold.control.routing.routing import certificate
from fourfold.control.routing.sharing import app_certificate, check_up
from fourfold.gateway.certificates import facts, unfit
from fourfold.launch.model import Powers
from fourfold.launch.patterns import is_machine
from fourfold.launch.vm import CUT_OFF, UNLOCKED
from fourfold.spec.app import App
from fourfold.store.files.sources import write_atomically

Considered = tuple[App, list[Wish], list[Change]]


class Bringing:
    """`candidate_of`: what is brought up is a candidate, which runs beside that app for a comparison."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def consider(self, request: v.UpRequest, candidate_of: str | None = None) -> Considered:
        """Check everything that can be checked, and tell what would change. Raises UserError: nothing has changed."""
        parts = self._parts
        app = await asyncio.to_thread(read_app, request.spec)
        refuse_candidate(parts.registry, app.app, candidate_of)
        names = chosen(app, request.services)
        check_listen(app, parts.settings)
        wishes = [wish_of(parts, app, name, request) for name in names]
        added = missing(parts.registry, app, wishes)
        names, wishes = [*added, *names], [*(wish_of(parts, app, name, request) for name in added), *wishes]
        check_groups(parts.registry, app, wishes)
        await parts.trials.look_for((wish.pattern, wish.spec) for wish in wishes)
        for wish in wishes:
            check_timeout(wish.name, wish.spec, wish.pattern, parts.settings.function_timeout)
            check_block(wish.name, wish.spec, wish.pattern, parts.network.network.address)
            check_powers(wish.name, wish.spec, wish.pattern, parts.supervisor.powers)
            check_network(wish.name, wish.spec, wish.pattern, parts.supervisor.powers)
            check_strategy(wish.name, wish.spec, wish.pattern)
        if any(on_bridge(wish.pattern, wish.spec, parts.supervisor.powers) for wish in wishes):
            await parts.network.check()
        check_fixed_ports(parts.registry, app, wishes)
        parts.notifying.hooks.check(app)
        await check_up(parts, app, names, request)
        whole = request.services is None
        changes = changes_of(parts.registry, app, wishes, whole, request.prune, parts.building.is_there)
        by_name = {wish.name: wish for wish in wishes}
        for change in changes:
            if change.build:
                wish = by_name[change.service]
                await parts.builder.plan(BuildRequest(app.app, wish.name, wish.spec, wish.source, wish.pattern))
        return app, wishes, changes

    async def up(self, request: v.UpRequest, candidate_of: str | None = None) -> v.OperationView:
        considered = await self.consider(request, candidate_of)  # refused here, it has changed nothing, exit code 2
        app, wishes, _ = considered
        kind = "up" if request.services is None else "deploy"
        work = partial(self._up, request, considered, candidate_of)
        return self._parts.operations.submit(app.app, kind, request.actor, [wish.name for wish in wishes], work)

    async def _up(
        self, request: v.UpRequest, considered: Considered, candidate_of: str | None, operation: Operation
    ) -> None:
        if operation.queued:  # the ones before it may have changed what there is to do
            considered = await self.consider(request, candidate_of)
        app, wishes, changes = considered
        who = Who(request.actor, request.commit, request.message)
        content = app_certificate(app, request)
        if content is not None and (why := unfit(facts(content), self._parts.clock.now())):
            what = f"warning: browsers refuse the certificate of gateway.tls: {why}"
            self._parts.bus.emit("deploy.warning", what, **operation.tag())
        operation.services = [change.service for change in changes if change.kind not in ("keep", "not-in-file")]
        for wish in wishes:
            for warning in _warnings(wish, self._parts.supervisor.powers) if wish.name in operation.services else ():
                self._parts.bus.emit("deploy.warning", f"warning: {warning}", service=wish.name, **operation.tag())
        stored = self._parts.registry.apps.get(app.app)
        others = stored.services if request.beside and stored is not None else ()
        store_hooks = None if request.beside else self._parts.notifying.hooks.storing(app)

        def also() -> None:
            if content is not None:
                write_atomically(certificate(self._parts.paths.certificates, app.app), content, 0o600)
            if store_hooks is not None:
                store_hooks()

        await self._parts.deployer.up(app, request.file, wishes, changes, who, operation, others, candidate_of, also)
        if content is not None:
            self._parts.traffic.refresh()


def _warnings(wish: Wish, powers: Powers) -> Iterator[str]:
    if is_forwarded(wish.pattern, wish.spec, powers):
        yield f"its virtual machine {CUT_OFF}"
    if powers.locks or not powers.shares or not wish.spec.volumes or not is_machine(wish.pattern, wish.spec):
        return
    if wish.most > 1 or wish.spec.deploy.strategy != "recreate":
        yield (
            f"its virtual machines run side by side, and {UNLOCKED}. A program that relies on them, as SQLite does, "
            "takes one instance and deploy: {strategy: recreate}"
        )
