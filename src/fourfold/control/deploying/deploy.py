"""The work of the operations that change what runs: up, scale, rollback, restart, stop, down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fourfold.build.build import BuildRequest
from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.deploying.building import Building
from fourfold.control.deploying.changes import Change, Wish
from fourfold.control.deploying.externals import check_externals
from fourfold.control.deploying.opening import Opening
from fourfold.control.goals import (
    clamped,
    pattern_of,
)
from fourfold.control.operations import Operation
from fourfold.control.registry import Registry
from fourfold.control.routing.claims import REPLACES, gateway_of
from fourfold.control.routing.ports import Ports
from fourfold.control.scaling.counting import moved_with, set_to, with_scaling
from fourfold.control.settings import Settings
from fourfold.errors import NotFoundError
from fourfold.spec.app import App
from fourfold.spec.fingerprint import fingerprint
from fourfold.spec.gateway import Gateway
from fourfold.store.files.artifacts import Artifact
from fourfold.store.model import AppRow, Build, Release, ServiceRow
from fourfold.store.tables.deployments import OPEN

PURGE = "purge."
"""And an app: the name in `meta` of an operation that is to delete what `down` keeps of it."""


@dataclass(frozen=True)
class Who:
    """Who asks, and what they say about it."""

    actor: str
    commit: str | None = None
    message: str | None = None


class Deployer:
    def __init__(
        self,
        registry: Registry,
        building: Building,
        bus: Bus,
        clock: Clock,
        settings: Settings,
        wake: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._building = building
        self._bus = bus
        self._clock = clock
        self._settings = settings
        self._wake = wake
        self._opening = Opening(registry, bus, clock)
        self.ports = Ports(registry, bus, settings)

    # -- up -------------------------------------------------------------------------------------------------------

    async def up(
        self,
        app: App,
        file: str,
        wishes: list[Wish],
        changes: list[Change],
        who: Who,
        operation: Operation,
        others: Sequence[str] = (),
        candidate_of: str | None = None,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        """Build what needs it, then make the rows that the planner works towards. Fails as a whole before the rows.

        `others`: services of the app that stay, and of which `app` says nothing; `candidate_of`: see `AppRow`;
        `also`: stores what else of the app is to be stored, inside the transaction.
        """
        by_name = {wish.name: wish for wish in wishes}
        to_build = [by_name[change.service] for change in changes if change.build]
        with self._building.holding(wish.source for wish in to_build):
            apart = app.app if candidate_of is not None else ""
            requests = [_request(operation, app.app, wish, apart) for wish in to_build]
            artifacts = await self._building.build(operation, requests)
            used = {name for c in changes if c.deploys for name in by_name[c.service].spec.depends_on}
            await check_externals({name: each for name, each in app.externals.items() if name in used})
            with self._bus.whole(), self._registry.transaction():
                self._registry.store.meta.remove(PURGE + app.app)  # of one that failed: this app is another one
                self._registry.put_app(replace(self._app_row(app, file, operation, others), candidate_of=candidate_of))
                also()
                for change in changes:
                    wish = by_name.get(change.service)
                    self._apply(operation, app.app, change, wish, artifacts.get(change.service), who)
        self._wake()

    def _app_row(self, app: App, file: str, operation: Operation, others: Sequence[str]) -> AppRow:
        externals = {name: external.model_dump(mode="json") for name, external in app.externals.items()}
        gateway = self._gateway(app.app, app.gateway, operation)
        services = tuple(dict.fromkeys([*others, *app.everything]))
        return AppRow(app.app, gateway, externals, file, services, self._clock.now())

    def _gateway(self, app: str, wanted: Gateway, operation: Operation) -> dict[str, Any]:
        stored = wanted.model_dump(mode="json")
        if app in self._registry.apps and (now := gateway_of(self._registry, app)) != wanted:
            stored[REPLACES] = {"operation": operation.id, "gateway": now.model_dump(mode="json")}
        return stored

    def _apply(
        self, operation: Operation, app: str, change: Change, wish: Wish | None, artifact: Artifact | None, who: Who
    ) -> None:
        row = self._registry.services.get(f"{app}.{change.service}")
        if change.kind == "remove" and row is not None:
            self._opening.change(operation, row, replace(row, removed=True), who.actor)
        if wish is None:
            return
        if row is None or row.removed:
            row = None if row is None else replace(row, removed=False, stopped=False)
        old = row
        if artifact is not None:
            release = self._release(app, wish, artifact, row, who)
        else:
            assert row is not None  # what is new is built
            release = row.release
        nonce = row.restart_nonce if row else 0
        if row is not None and artifact is not None and (release, wish.pattern) == (row.release, pattern_of(row)):
            nonce += 1  # what it runs from was lost and is there again
        new = ServiceRow(
            app=app,
            name=wish.name,
            release=release,
            pattern=wish.spec.pattern,
            instances=wish.spec.count,
            depends_on=tuple(name for name in wish.spec.depends_on),
            uid=self._uid(app, wish.name),
            internal_port=self.ports.internal(app, wish.name) if wish.spec.port is not None else None,
            restart_nonce=nonce,
            secrets_digest=wish.secrets_digest,
            overrides=wish.overrides,
        )
        new = with_scaling(new, wish.scaling, row)
        if change.deploys:
            self._opening.change(operation, old, new, who.actor)
        else:
            self._registry.put_service(new)

    def _release(self, app: str, wish: Wish, artifact: Artifact, row: ServiceRow | None, who: Who) -> int:
        """The number of the release that was built: the present or newest one when it is the same, else a new one."""
        store = self._registry.store.releases
        present = store.get(app, wish.name, row.release) if row is not None else None
        for known in (present, store.latest(app, wish.name)):
            if known is not None and self._is_of(known, wish, artifact):
                self._registry.put_build(self._build_row(known, wish.pattern, artifact))
                return known.number
        release = Release(
            app=app,
            service=wish.name,
            number=store.next_number(app, wish.name),
            spec=fingerprint(wish.spec),
            source=wish.source,
            actor=who.actor,
            commit=who.commit,
            message=who.message,
            created_at=self._clock.now(),
        )
        self._registry.add_release(release)
        self._registry.put_build(self._build_row(release, wish.pattern, artifact))
        return release.number

    def _is_of(self, release: Release, wish: Wish, artifact: Artifact) -> bool:
        """Whether what was made for a wish belongs to a release: nothing that it has, and is there, is replaced."""
        key = f"{release.app}.{release.service}"
        spec = fingerprint(self._registry.spec(key, release.number))
        if wish.rebuild or (spec, release.source) != (fingerprint(wish.spec), wish.source):
            return False
        build = self._registry.build(key, release.number, wish.pattern)
        return build is None or build.artifact == artifact.digest or not self._building.is_there(build)

    def _build_row(self, release: Release, pattern: str, artifact: Artifact) -> Build:
        now = self._clock.now()
        return Build(release.app, release.service, release.number, pattern, artifact.digest, artifact.argv, now)

    def _uid(self, app: str, service: str) -> int:
        low, high = self._settings.uids
        return self._registry.store.uids.of(app, service, range(low, high))  # the last one is the builds'

    # -- the others -----------------------------------------------------------------------------------------------

    async def scale(self, counts: Mapping[str, int | None], in_file: bool, operation: Operation) -> None:
        """`in_file`: the service file says so from now on, so that it is no override. None: no override any more."""
        rows = [(self.need(key), count) for key, count in counts.items()]
        self._commit(operation, [(row, replace(set_to(row, count, in_file), stopped=False)) for row, count in rows])

    async def rollback(self, key: str, to: int | None, operation: Operation) -> None:
        row = self.need(key)
        number = self.rollback_target(row, to)
        spec = self._registry.spec(key, number)
        digest = self._registry.store.secrets.digest(row.app, {use.name for use in spec.secrets})
        port = self.ports.internal(row.app, row.name) if spec.port is not None else None
        new = replace(row, release=number, secrets_digest=digest, stopped=False, depends_on=tuple(spec.depends_on))
        new = replace(new, internal_port=port)
        await self._bring(row, new, operation)

    async def move(self, key: str, pattern: str, instances: int, operation: Operation) -> None:
        """The release that it has, under another pattern and in so many instances: overrides, but for what its file
        says."""
        row = self.need(key)
        said = {"pattern": row.pattern, "instances": row.instances}
        wanted = row.overrides | {"pattern": pattern, "instances": instances}
        overrides = {name: value for name, value in wanted.items() if value != said.get(name)}
        new = replace(row, overrides=overrides)
        if row.scaling is not None:  # so many to begin with
            overrides.pop("instances", None)
            new = replace(new, scaled=clamped(row.scaling, instances), scaled_at=None, scaled_why="")
        await self._bring(row, new, operation)

    async def _bring(self, row: ServiceRow, new: ServiceRow, operation: Operation) -> None:
        """To a release that there is, built again for its pattern where it has to be."""
        if self.is_built(new, new.release):
            self._commit(operation, [(row, new)])
            return
        key, pattern = f"{row.app}.{row.name}", pattern_of(new)
        release, spec = self._registry.release(key, new.release), self._registry.spec(key, new.release)
        with self._building.holding([release.source]):
            request = BuildRequest(row.app, row.name, spec, release.source, pattern)
            made = await self._building.build(operation, [request])
            if (new.release, pattern) == (row.release, pattern_of(row)):
                new = replace(new, restart_nonce=row.restart_nonce + 1)  # what it runs from was lost
            new = moved_with(new, row, self.need(key))
            self._commit(operation, [(row, new)], [self._build_row(release, pattern, made[row.name])])

    def is_built(self, row: ServiceRow, number: int) -> bool:
        """Whether a release can be run as it is, under the service's pattern."""
        return self._building.is_there(self._registry.build(f"{row.app}.{row.name}", number, pattern_of(row)))

    def rollback_target(self, row: ServiceRow, to: int | None) -> int:
        """The release asked for, or the newest other one that once was deployed well. Raises NotFoundError."""
        if to is not None:
            return self._registry.store.releases.need(row.app, row.name, to).number
        kept = {release.number for release in self._registry.store.releases.of(row.app, row.name)}
        for deployment in self._registry.store.deployments.of(row.app, row.name):
            if deployment.state == "done" and deployment.release != row.release and deployment.release in kept:
                return deployment.release
        raise NotFoundError(
            f"cannot roll back {row.name}: there is no other release that was deployed well",
            f"see: fourfold history {row.name}; name one with --to",
        )

    async def restart(self, keys: Sequence[str], operation: Operation) -> None:
        rows = []
        for row in map(self.need, keys):
            spec = self._registry.spec(f"{row.app}.{row.name}", row.release)
            digest = self._registry.store.secrets.digest(row.app, {use.name for use in spec.secrets})
            nonce = row.restart_nonce + 1
            rows.append((row, replace(row, restart_nonce=nonce, stopped=False, secrets_digest=digest)))
        self._commit(operation, rows)

    async def stop(self, keys: Sequence[str], operation: Operation) -> None:
        """What is at a step and is stopped has not proven itself: what starts again is what has."""
        rows = [row for row in map(self.need, keys) if not row.stopped]
        self._commit(operation, [(row, replace(self._opening.proven(row), stopped=True)) for row in rows])

    async def take_out(self, key: str, operation: Operation) -> None:
        row = self.need(key)
        self._commit(operation, [(row, replace(row, removed=True))])

    def remove(self, app: str, operation: Operation) -> None:
        """All of an app; inside a transaction."""
        for row in self._registry.of_app(app):
            self._opening.change(operation, row, replace(row, removed=True), operation.actor)

    def need(self, key: str) -> ServiceRow:
        row = self._registry.services.get(key)
        if row is None or row.removed:
            app, _, name = key.partition(".")
            there = ", ".join(other.name for other in self._registry.of_app(app)) or "none"
            raise NotFoundError(f"cannot find service {name} of app {app}: there are: {there}")
        return row

    # -- rows -----------------------------------------------------------------------------------------------------

    def _commit(
        self,
        operation: Operation,
        rows: Sequence[tuple[ServiceRow | None, ServiceRow]],
        builds: Sequence[Build] = (),
    ) -> None:
        """For all that says nothing of the app's address: what a failed `up` wanted there is forgotten."""
        app = self._registry.apps[operation.app]
        if not self._address_is_coming(app, rows):
            app = replace(app, gateway=gateway_of(self._registry, app.name).model_dump(mode="json"))
        with self._bus.whole(), self._registry.transaction():
            self._registry.put_app(app)
            for build in builds:
                self._registry.put_build(build)
            for old, new in rows:
                self._opening.change(operation, old, new, operation.actor)
        self._wake()

    def _address_is_coming(self, app: AppRow, rows: Sequence[tuple[ServiceRow | None, ServiceRow]]) -> bool:
        """Whether an `up` that asks for another is still under way, at a step say, whatever becomes of `rows`."""
        if (replaced := app.gateway.get(REPLACES)) is None:
            return False
        changed = {f"{new.app}.{new.name}": new for _, new in rows}
        return any(
            key not in changed or self._opening.goes_on(deployment, changed[key])
            for key, deployment in self._registry.deployments.items()
            if deployment.operation == replaced["operation"] and deployment.state in OPEN
        )


def _request(operation: Operation, app: str, wish: Wish, apart: str) -> BuildRequest:
    fresh = operation.id if wish.rebuild else ""
    return BuildRequest(app, wish.name, wish.spec, wish.source, wish.pattern, fresh, apart)
