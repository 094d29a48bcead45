"""What rows of functions ask for becomes services: one change after the other, as `up` makes it, over restarts too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Protocol

from fourfold.control import views as v
from fourfold.control.lambdas.lambdas import Lambdas
from fourfold.control.lambdas.names import APP, version_service
from fourfold.control.registry import Registry
from fourfold.control.routing.claims import gateway_of
from fourfold.errors import FourfoldError, NotFoundError, UserError
from fourfold.store.tables.functions import FunctionRow, VersionRow

log = logging.getLogger(__name__)
ACTOR = "lambda-api"
AGAIN_SECONDS = 5.0
"""After the world failed: a full disk, a spawner that starts again."""


class Deploys(Protocol):
    """What it needs of the facade."""

    async def plan(self, request: v.UpRequest) -> v.PlanView: ...
    async def up(self, request: v.UpRequest) -> v.OperationView: ...
    async def take_out(self, app: str, service: str, actor: str) -> v.OperationView: ...
    def events(
        self, app: str | None, after: int, follow: bool, operation: str | None = None, tail: int | None = None
    ) -> AsyncIterator[v.EventView]: ...


class _Failed(Exception):
    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Deploying:
    def __init__(self, registry: Registry, deploys: Deploys) -> None:
        self._registry = registry
        self._deploys = deploys
        self._news = asyncio.Event()

    def wake(self) -> None:
        self._news.set()

    async def check(self, service: str, spec: dict[str, Any], source: str) -> None:
        """Raises UserError for what cannot be deployed: bad values, a runtime that this host has not."""
        await self._deploys.plan(self._request(service, spec, source))

    async def run(self, lambdas: Lambdas) -> None:
        """Until cancelled. What was asked of a daemon before this one is done too."""
        self._news.set()
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                while await self._one(lambdas):
                    pass
            except FourfoldError as error:
                log.error("%s", error)
                asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.wake)
            except Exception:  # a mistake of ours must not keep all other functions from being deployed
                log.exception("a fault while functions were deployed")
                asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.wake)

    async def _one(self, lambdas: Lambdas) -> bool:
        """The next thing to do, done; whether there was one."""
        for versions in list(lambdas.versions.values()):
            for version in list(versions.values()):
                if version.deleted and self._stands(version_service(version.service, version.number)):
                    await self._take_out(version_service(version.service, version.number))
                    return True
        for row in list(lambdas.rows.values()):
            if row.deleted:
                await self._remove(lambdas, row)
                return True
            if row.wanted is not None and not row.problem:
                await self._deploy(lambdas, row)
                return True
        for versions in list(lambdas.versions.values()):
            for version in list(versions.values()):
                wanted = version.runs and not version.problem and version.release and self._stands(version.service)
                if wanted and not self._stands(version_service(version.service, version.number)):
                    await self._deploy_version(lambdas, version)
                    return True
        return False

    async def _deploy(self, lambdas: Lambdas, row: FunctionRow) -> None:
        assert row.wanted is not None
        problem = ""
        try:
            await self._up(row.service, row.wanted["spec"], row.wanted["source"])
        except _Failed as failed:
            problem = self._reason(row.service) or failed.why
        now = lambdas.rows[row.app, row.service]
        if now.wanted is not row.wanted:
            return  # meanwhile something else is wanted: that is next
        stands = self._stands(row.service)
        lambdas.put(replace(now, wanted=None if stands else now.wanted, problem=problem))
        release = self._registry.services[f"{row.app}.{row.service}"].release if stands else 0
        for version in list(lambdas.versions.get((row.app, row.service), {}).values()):
            if version.release == 0 and not version.deleted:  # of what cannot be deployed there is no version
                lambdas.put_version(replace(version, release=release, deleted=bool(problem)))

    async def _deploy_version(self, lambdas: Lambdas, version: VersionRow) -> None:
        """As the release is, but for its triggers: events come to the function itself."""
        row = self._registry.services.get(f"{version.app}.{version.service}")
        release = self._registry.release(f"{version.app}.{version.service}", version.release)
        spec = release.spec | {"pattern": row.pattern if row else "function", "triggers": []}
        try:
            await self._up(version_service(version.service, version.number), spec, release.source)
        except _Failed as failed:
            own = version_service(version.service, version.number)
            lambdas.put_version(replace(version, problem=self._reason(own) or failed.why))

    async def _remove(self, lambdas: Lambdas, row: FunctionRow) -> None:
        names = [version_service(row.service, number) for number in lambdas.versions.get((row.app, row.service), {})]
        for name in (*names, row.service):
            if self._stands(name):
                await self._take_out(name)
        if lambdas.rows[row.app, row.service].deleted:  # it may have been created again
            lambdas.remove(row)

    def _reason(self, service: str) -> str | None:
        """Why its deployment has failed, if it came to one."""
        deployment = self._registry.deployments.get(f"{APP}.{service}")
        failed = deployment is not None and deployment.state in ("failed", "rolled-back")
        return deployment.reason if deployment is not None and failed else None

    def _stands(self, service: str) -> bool:
        row = self._registry.services.get(f"{APP}.{service}")
        return row is not None and not row.removed

    async def _up(self, service: str, spec: dict[str, Any], source: str) -> None:
        """Raises _Failed with the reason."""
        try:
            view = await self._deploys.up(self._request(service, spec, source))
        except UserError as error:
            raise _Failed(_sentence(error)) from error
        await self._follow(view)

    async def _take_out(self, service: str) -> None:
        try:
            await self._follow(await self._deploys.take_out(APP, service, ACTOR))
        except (_Failed, NotFoundError) as error:
            log.warning("cannot take out %s: %s", service, error)

    async def _follow(self, view: v.OperationView) -> None:
        async for event in self._deploys.events(APP, view.after, True, view.id):
            if event.kind == "operation.done":
                return
            if event.kind == "operation.failed":
                raise _Failed(event.message)
        await asyncio.Event().wait()  # the daemon ends; the next one begins again with what is wanted

    def _request(self, service: str, spec: dict[str, Any], source: str) -> v.UpRequest:
        """Of this service alone: to judge all functions for each that changes would take longer with every one."""
        app: dict[str, Any] = {"app": APP, "services": {service: spec}}
        if (stored := self._registry.apps.get(APP)) is not None:
            app["gateway"] = gateway_of(self._registry, APP).model_dump(mode="json")
            app["externals"] = stored.externals
        return v.UpRequest(
            spec=app, sources={service: source}, services=[service], beside=True, file=stored.file if stored else "",
            actor=ACTOR,
        )  # fmt: skip


def _sentence(error: UserError) -> str:
    return f"{error.what} ({error.hint})" if error.hint else error.what
