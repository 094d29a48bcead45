"""Functions by the names that clients give them: found in memory, changed on disk first."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from fourfold.clock import Clock
from fourfold.control.goals import pattern_of
from fourfold.control.lambdas.conditions import condition_of
from fourfold.control.lambdas.model import ACCOUNT, LATEST, Condition, Function, Target
from fourfold.control.lambdas.names import APP, service_name, version_service
from fourfold.control.lambdas.rows import Key, Rows
from fourfold.control.registry import Registry
from fourfold.control.triggers.source import identity
from fourfold.errors import ConflictError, NotFoundError, WorldError
from fourfold.spec.model import Service
from fourfold.spec.triggers import Trigger
from fourfold.store.model import ServiceRow
from fourfold.store.tables.functions import AliasRow, FunctionRow, VersionRow

PATIENCE = 60.0
"""Seconds that an invocation of a version waits for a service of its own."""
LOOK_SECONDS = 0.02


class Lambdas(Rows):
    def __init__(self, registry: Registry, clock: Clock, region: str) -> None:
        super().__init__(registry.store)
        self._registry = registry
        self._clock = clock
        self.wake: Callable[[], None] = lambda: None
        """Called when something is to be deployed, or taken out."""
        self.region = region

    # -- finding --------------------------------------------------------------------------------------------------

    def arn(self, name: str, qualifier: str = "") -> str:
        arn = f"arn:aws:lambda:{self.region}:{ACCOUNT}:function:{name}"
        return f"{arn}:{qualifier}" if qualifier else arn

    def locate(self, name: str) -> tuple[Key, str] | None:
        """Where a function is, and its name: one of the API, `APP-SERVICE` of a file, or `SERVICE` if that is one."""
        if (key := self._names.get(name)) is not None and self._is_there(key):
            return key, name
        place = name.find("-")
        while place > 0:
            app, service = name[:place], name[place + 1 :]
            row = self._registry.services.get(f"{app}.{service}")
            if row is not None and self._is_of_a_file(row):
                return (app, service), name
            place = name.find("-", place + 1)
        rows = [row for row in self._registry.services.values() if row.name == name and self._is_of_a_file(row)]
        return ((rows[0].app, name), f"{rows[0].app}-{name}") if len(rows) == 1 else None

    def is_taken(self, name: str) -> bool:
        """A service of a file that could be called so too, as it is the only one, is called by its app from then on."""
        found = self.locate(name)
        return found is not None and found[1] == name

    def _is_there(self, key: Key) -> bool:
        """`fourfold down` may have taken its service away."""
        if self.rows[key].wanted is not None:
            return True
        row = self._registry.services.get(f"{key[0]}.{key[1]}")
        return row is not None and not row.removed

    def _is_of_a_file(self, row: ServiceRow) -> bool:
        """A function that a service file describes: by its pattern, or because it has a handler. What a comparison runs
        is nobody's to call."""
        app = self._registry.apps.get(row.app)
        if row.removed or self._is_ours(row) or (app is not None and app.candidate_of is not None):
            return False
        if pattern_of(row) == "function":
            return True
        return self._registry.spec(f"{row.app}.{row.name}", row.release).function.handler is not None

    def _is_ours(self, row: ServiceRow) -> bool:
        if row.app != APP:
            return False
        function, dash, number = row.name.rpartition("-v")
        return (APP, row.name) in self.rows or bool(
            dash and number.isdigit() and int(number) in self.versions.get((APP, function), {})
        )

    def find(self, name: str) -> Function | None:
        found = self.locate(name)
        return None if found is None else self.function(*found)

    def function(self, key: Key, name: str) -> Function:
        """As of now. Only for keys that `locate` gave."""
        app, service = key
        row = self.rows.get(key)
        stored = self._registry.services.get(f"{app}.{service}")
        deployment = self._registry.deployments.get(f"{app}.{service}")
        if row is None:
            assert stored is not None
            modified = self._registry.release(f"{app}.{service}", stored.release).created_at
            row = FunctionRow(app, service, name, False, 0, modified)
        condition = condition_of(row, stored, deployment)
        if row.wanted is not None:
            spec, source = Service.model_validate(row.wanted["spec"]), str(row.wanted["source"])
        else:
            assert stored is not None
            spec = self._registry.spec(f"{app}.{service}", stored.release)
            spec = spec.model_copy(update={"pattern": stored.pattern, "instances": stored.instances})
            source = self._registry.release(f"{app}.{service}", stored.release).source
        release = stored.release if stored is not None else 0
        return Function(app, service, name, row.managed, row, spec, source, release, condition, row.modified_at)

    def all(self) -> Iterator[Function]:
        """By name."""
        found = {name: key for name, key in self._names.items() if self._is_there(key)}
        for row in self._registry.services.values():
            if self._is_of_a_file(row):
                found.setdefault(f"{row.app}-{row.name}", (row.app, row.name))
        for name, key in sorted(found.items()):
            yield self.function(key, name)

    def version(self, function: Function, number: int) -> VersionRow | None:
        row = self.versions.get((function.app, function.service), {}).get(number)
        return None if row is None or row.deleted else row

    def versions_of(self, function: Function) -> list[VersionRow]:
        rows = self.versions.get((function.app, function.service), {}).values()
        return sorted((row for row in rows if not row.deleted), key=lambda row: row.number)

    def aliases_of(self, function: Function) -> dict[str, AliasRow]:
        return self.aliases.get((function.app, function.service), {})

    def as_version(self, function: Function, row: VersionRow) -> Function:
        """A published version as a function. One that is still being deployed is as its function is to be."""
        if row.release == 0:
            return replace(function, modified_at=row.modified_at)
        release = self._registry.release(function.key, row.release)
        spec = self._registry.spec(function.key, row.release)
        return replace(
            function, spec=spec, source=release.source, release=row.release, modified_at=row.modified_at,
            condition=Condition("Failed", row.problem, "FunctionError") if row.problem else Condition("Active"),
        )  # fmt: skip

    def by_url(self, id: str) -> tuple[Key, str] | None:
        """-> (app, service), qualifier."""
        return self._urls.get(id)

    def named(self, app: str, service: str) -> tuple[str, str]:
        """What a service is as a function, and which version of it: ("", "$LATEST") where only its name says that."""
        if (row := self.rows.get((app, service))) is not None:
            return row.name, LATEST
        function, _, number = service.rpartition("-v")
        row = self.rows.get((app, function))
        if row is not None and number.isdigit() and int(number) in self.versions.get((app, function), {}):
            return row.name, number
        return "", LATEST

    def remembered(self, app: str, service: str, trigger: Mapping[str, Any]) -> dict[str, str]:
        """What a trigger of a service keeps over restarts, such as how far it has come in a stream."""
        made = identity(Trigger.model_validate(trigger))
        return self._registry.store.trigger_states.of(app, service, made)

    @property
    def sources(self) -> set[str]:
        """Of what is to be deployed yet: nothing else names them."""
        return {str(row.wanted["source"]) for row in self.rows.values() if row.wanted is not None}

    # -- invoking -------------------------------------------------------------------------------------------------

    def target(self, key: Key, name: str, qualifier: str) -> Target:
        """Where an event goes now. Raises NotFoundError for a version or alias that is not there."""
        app, service = key
        row = self.rows.get(key)
        reserved = row.settings.get("Reserved") if row is not None else None
        arn = self.arn(name, qualifier)
        version = qualifier or LATEST
        if version != LATEST and not version.isdigit():
            alias = self.aliases.get(key, {}).get(version)
            if alias is None:
                raise NotFoundError(f"Function not found: {arn}")
            version = alias.version
            if alias.weights:
                version = _chosen(alias)
        if version == LATEST:
            return Target(app, service, LATEST, arn, reserved)
        published = self.versions.get(key, {}).get(int(version))
        if published is None or published.deleted:
            raise NotFoundError(f"Function not found: {arn}")
        return Target(app, self._runner(key, published), version, arn, reserved)

    async def until_there(self, target: Target) -> None:
        """Of a version that was not asked for before: its service is made. Raises WorldError when that fails."""
        key, deadline = f"{target.app}.{target.service}", self._clock.now() + PATIENCE
        while key not in self._registry.services or (
            self._registry.running_deployment(key) is not None and not self._is_ready(key)
        ):
            function = target.service.removesuffix(f"-v{target.version}")
            row = self.versions.get((target.app, function), {}).get(int(target.version))
            if row is None or row.problem or self._clock.now() > deadline:
                why = row.problem if row is not None and row.problem else "it is not there yet"
                raise WorldError(f"cannot run version {target.version} of {function}: {why}")
            await asyncio.sleep(LOOK_SECONDS)

    def _runner(self, key: Key, version: VersionRow) -> str:
        """The service that answers for a version: its own, or the function's while that is the same release."""
        app, service = key
        if not version.runs:
            self.put_version(replace(version, runs=True))
            self.wake()
        own = version_service(service, version.number)
        if self._is_ready(f"{app}.{own}"):
            return own
        stored = self._registry.services.get(f"{app}.{service}")
        same = stored is not None and stored.release == version.release and self._is_ready(f"{app}.{service}")
        return service if same else own

    def _is_ready(self, key: str) -> bool:
        return any(row.state == "ready" and row.role == "serve" for row in self._registry.of_service(key))

    # -- changing -------------------------------------------------------------------------------------------------

    def create(self, name: str, spec: Mapping[str, Any], source: str, settings: Mapping[str, Any]) -> Function:
        """Raises ConflictError when there is one of that name. `spec` was judged already."""
        if self.is_taken(name):
            raise ConflictError(f"Function already exist: {name}")
        row = next((each for each in self.rows.values() if each.managed and each.name == name), None)
        service = row.service if row is not None else service_name(name, self._taken())
        made = FunctionRow(
            APP, service, name, True, 0 if row is None else row.changes + 1, self._clock.now(), dict(settings),
            {"spec": dict(spec), "source": source},
        )  # fmt: skip
        with self.together():
            if row is not None:  # its services are about to go, or may stay now; what else it had is gone
                for version in list(self.versions.get((APP, service), {}).values()):
                    self.put_version(replace(version, deleted=True, runs=False))
                self._forget_aliases((APP, service))
            self.put(made)
        self.wake()
        return self.function((APP, service), name)

    def _taken(self) -> set[str]:
        return {row.name for row in self._registry.of_app(APP)} | {service for app, service in self.rows if app == APP}

    def change(
        self,
        function: Function,
        *,
        spec: Mapping[str, Any] | None = None,
        source: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Function:
        """A new spec or source is deployed; settings are what they are at once."""
        row = function.row
        wanted = row.wanted
        if spec is not None or source is not None:
            now = function.spec.model_dump(mode="json") if spec is None else dict(spec)
            wanted = {"spec": now, "source": source or function.source}
        row = replace(
            row,
            changes=row.changes + 1,
            modified_at=self._clock.now(),
            settings=dict(settings) if settings is not None else row.settings,
            wanted=wanted,
            problem="" if wanted is not row.wanted else row.problem,
        )
        self.put(row)
        if wanted is not None:
            self.wake()
        return self.function((function.app, function.service), function.name)

    def set(self, function: Function, key: str, value: Any) -> Function:
        """One setting; None takes it away."""
        settings = {name: each for name, each in function.row.settings.items() if name != key}
        if value is not None:
            settings[key] = value
        return self.change(function, settings=settings)

    def delete(self, function: Function) -> None:
        """Its versions and aliases too; its services are taken out afterwards."""
        with self.together():
            for mapping in [each for each in self.mappings.values() if (each.app, each.service) == _key(function)]:
                self.remove_mapping(mapping)
            self._forget_aliases(_key(function))
            self.put(replace(function.row, deleted=True, wanted=None, settings={}))
        self.wake()

    def _forget_aliases(self, key: Key) -> None:
        for alias in list(self.aliases.get(key, {}).values()):
            self.remove_alias(alias)

    # -- versions and aliases -------------------------------------------------------------------------------------

    def publish(self, function: Function, description: str | None) -> VersionRow:
        """The newest version again if nothing has changed since. Before its deployment is done: the one to be."""
        known = self.versions.get(_key(function), {})
        pending = function.row.wanted is not None
        newest = max((row for row in known.values() if not row.deleted), key=lambda row: row.number, default=None)
        if newest is not None and newest.release == (0 if pending else function.release):
            return newest
        version = VersionRow(
            function.app, function.service, max(known, default=0) + 1, 0 if pending else function.release,
            function.row.settings.get("Description", "") if description is None else description, self._clock.now(),
        )  # fmt: skip
        self.put_version(version)
        return version

    def delete_version(self, row: VersionRow) -> None:
        self.put_version(replace(row, deleted=True, runs=False))
        self.wake()

    def run_versions(self, alias: AliasRow) -> None:
        """What an alias points at is to be there before anybody asks for it."""
        known = self.versions.get((alias.app, alias.service), {})
        for number in (alias.version, *alias.weights):
            if number != LATEST and not (row := known[int(number)]).runs:
                self.put_version(replace(row, runs=True))
        self.wake()

    def now(self) -> float:
        return self._clock.now()


def revision(function: Function, qualifier: str = "") -> str:
    """Another one after each change."""
    text = f"{function.key} {function.row.changes} {function.release} {qualifier}"
    return str(uuid.uuid5(uuid.NAMESPACE_OID, text))


def _key(function: Function) -> Key:
    return function.app, function.service


def _chosen(alias: AliasRow) -> str:
    point = random.random()  # shares of traffic, no secret
    for version, weight in alias.weights.items():
        if point < weight:
            return version
        point -= weight
    return alias.version
