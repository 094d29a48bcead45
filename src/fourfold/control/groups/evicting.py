"""A bad neighbour gets a process of its own: an override, by one rolling deployment of the release that it has.

The remedy is tried once for each release of a service. One that is back among the others and does it again, or that has
failed as a process, stays: what did not help is not done again and again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from fourfold.build.build import BuildRequest
from fourfold.control.bus import Bus
from fourfold.control.deploying.checks import check_powers
from fourfold.control.deploying.deploy import Deployer
from fourfold.control.goals import desired, pattern_of, revision
from fourfold.control.operations import Operations
from fourfold.control.registry import Registry, key_of
from fourfold.errors import FourfoldError
from fourfold.launch.model import Powers
from fourfold.store.model import InstanceRow, ServiceRow

ACTOR = "fourfold"
OUT = "process"


class Evicting:
    def __init__(
        self,
        registry: Registry,
        operations: Operations,
        deployer: Deployer,
        bus: Bus,
        powers: Callable[[], Powers],
        can_build: Callable[[BuildRequest], Awaitable[Any]],
    ) -> None:
        """`can_build` raises UserError for what cannot be built."""
        self._registry = registry
        self._operations = operations
        self._deployer = deployer
        self._bus = bus
        self._powers = powers
        self._can_build = can_build
        self._tried: set[tuple[str, int]] = set()
        """(service, release): a build that failed leaves no deployment that tells of it."""
        self._cleared: set[tuple[str, int]] = set()
        """(group, restarts that were asked for by then)."""

    async def evict(self, key: str, why: str) -> bool:
        """Begin to move a member out of its group; False, and an event that says why, where it stays."""
        row = self._registry.services.get(key)
        if row is None or row.stopped or row.removed or pattern_of(row) != "shared":
            return False  # on its way out already
        try:
            await self._check(row)
        except FourfoldError as error:
            self._stays(row, str(error), error.hint)
            return False
        if self._was_evicted(row):
            what = f"release {row.release} was given a process of its own before, which is not done twice"
            self._stays(row, what, f"fourfold deploy {row.name} --as {OUT}")
            return False
        self._tried.add((key, row.release))
        what = f"{row.name} gets a process of its own: it {why}"
        hint = f"`fourfold deploy {row.name} --as shared` takes it back"
        self._bus.emit("neighbour.evicted", what, app=row.app, service=row.name, actor=ACTOR, hint=hint)
        move = partial(self._deployer.move, key, OUT, self._instances(row))
        self._operations.submit(row.app, "evict", ACTOR, [row.name], move)
        return True

    def clear(self, key: str, host: InstanceRow) -> None:
        """A member has ended in this host and left something behind: threads, say, that only end with the process.

        Of one that was moved out that would be all that was to be got rid of: its group is replaced, host by host.
        """
        deployment, group = self._registry.deployments.get(key), self._registry.services.get(key_of(host))
        if deployment is None or (deployment.actor, deployment.pattern) != (ACTOR, OUT):
            return
        if group is None or group.stopped or group.removed or host.revision != revision(group):
            return  # the host goes anyway
        if (once := (key_of(host), group.restart_nonce)) in self._cleared:
            return
        self._cleared.add(once)
        what = f"group {group.name} is restarted: what {deployment.service} left behind ends with its process"
        self._bus.emit("neighbour.cleared", what, app=group.app, service=group.name, actor=ACTOR)
        restart = partial(self._deployer.restart, [key_of(host)])
        self._operations.submit(group.app, "restart", ACTOR, [group.name], restart)

    def _instances(self, row: ServiceRow) -> int:
        """As many as there are of its group, each of which had one of it."""
        spec = self._registry.spec(f"{row.app}.{row.name}", row.release)
        group = self._registry.services.get(f"{row.app}.{spec.shared.group}")
        return max(1, desired(group)) if group is not None else 1

    async def _check(self, row: ServiceRow) -> None:
        """What can be known beforehand. Raises FourfoldError."""
        key = f"{row.app}.{row.name}"
        spec = self._registry.spec(key, row.release)
        check_powers(row.name, spec, OUT, self._powers())
        if not self._deployer.is_built(replace(row, overrides=row.overrides | {"pattern": OUT}), row.release):
            source = self._registry.release(key, row.release).source
            await self._can_build(BuildRequest(row.app, row.name, spec, source, OUT))

    def _was_evicted(self, row: ServiceRow) -> bool:
        past = self._registry.store.deployments.of(row.app, row.name)
        return (f"{row.app}.{row.name}", row.release) in self._tried or any(
            (each.actor, each.release, each.pattern) == (ACTOR, row.release, OUT) for each in past
        )

    def _stays(self, row: ServiceRow, why: str, hint: str | None) -> None:
        what = f"{row.name} stays in its group, though it is to be moved out: {why}"
        self._bus.emit("neighbour.stays", what, app=row.app, service=row.name, actor=ACTOR, hint=hint)
