"""What probes say of instances, into rows: ready, not ready any more, sick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.instances.events import InstanceEvents
from fourfold.control.loops import Soon, until_stored
from fourfold.control.registry import Registry, key_of
from fourfold.store.model import InstanceRow


class Readiness:
    """Satisfies `prober.Listener`."""

    def __init__(
        self,
        registry: Registry,
        bus: Bus,
        clock: Clock,
        wake: Callable[[], None],
        came_up: Callable[[InstanceRow], None],
    ) -> None:
        """`came_up` hears of each that gets ready for the first time."""
        self._registry = registry
        self._tell = InstanceEvents(registry, bus).tell
        self._clock = clock
        self._wake = wake
        self._came_up = came_up
        self._got_ready: dict[str, int] = {}
        """Instance -> run; to be stored, with the time of that moment: until then the clock may be set."""
        self._storing = Soon(self._store_ready)

    def ready(self, name: str) -> None:
        """Stored together with others that get ready in the same moment."""
        if (row := self._registry.instances.get(name)) is None:
            return
        self._got_ready[name] = row.run
        self._storing.ask()

    def _store_ready(self) -> None:
        known = self._registry.instances
        rows = [known[name] for name, run in self._got_ready.items() if name in known and known[name].run == run]
        rows = [row for row in rows if row.state in ("starting", "unready")]
        now = self._clock.now()
        with self._registry.transaction():
            for row in rows:
                self._registry.put_instance(replace(row, state="ready", changed_at=now, ready_at=now))
                if deployment := self._registry.running_deployment(key_of(row)):
                    self._registry.put_deployment(replace(deployment, progressed_at=now))
        for row in rows:
            self._registry.live[row.id].probe_error = None
            first = row.state == "starting" and row.started_at is not None
            after = f" after {now - (row.started_at or 0):.2f} s" if first else ""
            self._tell("instance.ready", row, f"{row.id} is ready{after}")
            if row.state == "starting":
                self._came_up(row)
        self._got_ready.clear()
        self._wake()

    @until_stored
    def unready(self, name: str, error: str) -> None:
        self._got_ready.pop(name, None)
        row = self._registry.instances.get(name)
        if row is None or row.state != "ready":
            return
        with self._registry.transaction():
            self._registry.put_instance(replace(row, state="unready", changed_at=self._clock.now()))
        self._registry.live[name].probe_error = error
        self._tell("instance.unready", row, f"{name} is not ready any more: {error}")
        self._wake()

    def probe_failed(self, name: str, error: str) -> None:
        if live := self._registry.live.get(name):
            live.probe_error = error

    def sick(self, name: str, error: str) -> None:
        if live := self._registry.live.get(name):
            live.sick = f"liveness: {error}"
            self._wake()
