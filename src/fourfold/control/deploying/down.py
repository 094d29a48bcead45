"""`down`: stop an app and, with `--purge`, delete what is kept of it otherwise.

That it is to be purged is stored with the removal of its services: a daemon that dies on the way leaves it to the next.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Sequence
from functools import partial

from fourfold.control.bus import Bus
from fourfold.control.deploying.deploy import PURGE, Deployer
from fourfold.control.operations import Operation, Work
from fourfold.control.registry import Registry
from fourfold.control.routing.routing import certificate
from fourfold.errors import WorldError
from fourfold.paths import Paths
from fourfold.store.files.trees import remove as remove_tree


class Down:
    def __init__(
        self,
        paths: Paths,
        registry: Registry,
        deployer: Deployer,
        bus: Bus,
        wake: Callable[[], None],
        forget: Callable[[str], None] = lambda app: None,
    ) -> None:
        """`forget(app)`: what others keep of an app that is purged, in the same transaction."""
        self._forget_others = forget
        self._paths = paths
        self._registry = registry
        self._deployer = deployer
        self._bus = bus
        self._wake = wake

    def leaves(self, app: str) -> bool:
        """Whether anything is kept of an app, running or not, that a purge would delete."""
        store = self._registry.store
        rows = store.releases.of_app(app) or store.secrets.names(app) or [*self._paths.usage.glob(f"{app}.*")]
        return bool(rows) or (self._paths.volumes / app).is_dir() or (self._paths.logs / app).is_dir()

    async def run(self, app: str, everything: bool, operation: Operation) -> None:
        """Raises WorldError when not all could be deleted."""
        with self._bus.whole(), self._registry.transaction():
            if everything:
                intent = json.dumps({"id": operation.id, "actor": operation.actor, "since": operation.since})
                self._registry.store.meta.put(PURGE + app, intent)
            self._deployer.remove(app, operation)
        operation.firm = True
        self._wake()
        await self._finish(app, everything, operation)

    def unfinished(self) -> Sequence[tuple[Operation, Work]]:
        """The purges that a daemon before this one has not come to the end of."""
        found = []
        for name, intent in self._registry.store.meta.beginning(PURGE).items():
            app = name.removeprefix(PURGE)
            facts = json.loads(intent)
            operation = Operation(facts["id"], app, "down", facts["actor"], facts["since"])
            found.append((operation, partial(self._finish, app, True)))
        return found

    async def _finish(self, app: str, everything: bool, operation: Operation) -> None:
        await self._bus.until(lambda: app not in self._registry.apps)
        if not everything:
            return
        self._forget(app)
        try:
            await asyncio.to_thread(self._delete, app)
        except (OSError, subprocess.CalledProcessError) as error:
            self._registry.store.meta.remove(PURGE + app)
            raise WorldError(
                f"cannot delete all of {app}: {_said(error)}", f"see to it, then run: fourfold down --purge -a {app}"
            ) from error
        self._registry.store.meta.remove(PURGE + app)

    def _forget(self, app: str) -> None:
        """Secrets, history, ports. What others may share (blobs, artifacts) is for gc."""
        store = self._registry.store
        releases = store.releases.of_app(app)
        with self._registry.transaction():
            self._forget_others(app)
            store.secrets.remove_app(app)
            store.comparisons.remove_app(app)
            store.deployments.remove_app(app)
            store.instances.remove_app(app)
            store.releases.remove_app(app)
            for name in {release.service for release in releases}:
                store.ports.forget(app, name)
        self._registry.forget_releases((app, release.service, release.number) for release in releases)

    def _delete(self, app: str) -> None:
        """Volumes may be large: not on the event loop."""
        others = (*self._paths.caches.glob(f"{app}.*"), *self._paths.usage.glob(f"{app}.*"))
        for folder in (self._paths.volumes / app, self._paths.logs / app, *others):
            remove_tree(folder)
        certificate(self._paths.certificates, app).unlink(missing_ok=True)


def _said(error: OSError | subprocess.CalledProcessError) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror} ({error.filename})"
    return str(error.stderr.decode(errors="replace").strip()) or str(error)
