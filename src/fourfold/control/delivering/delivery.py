"""Gives one event to what takes it: a run of a job, an instance of a service, an SQS queue."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Protocol

from fourfold.control.delivering.destinations import send
from fourfold.control.delivering.dispatch import Taken
from fourfold.control.delivering.jobs import Jobs
from fourfold.control.registry import Registry
from fourfold.control.triggers.aws import Aws
from fourfold.functions.model import Answer, Invocation
from fourfold.store.tables.queue import EventRow


class Invokes(Protocol):
    """`control.delivering.invoking.Invoking`."""

    async def invoke(self, app: str, service: str, invocation: Invocation, release: int | None = None) -> Answer: ...


class Delivery:
    def __init__(self, registry: Registry, invoking: Invokes, jobs: Jobs, aws: Aws) -> None:
        self._registry = registry
        self._invoking = invoking
        self._jobs = jobs
        self._aws = aws

    async def of_queue(self, row: EventRow) -> Answer | Taken:
        """Raises FourfoldError when nothing can take it now."""
        if row.target:
            await send(self._aws, row.target, row.payload, environ(self._registry, row.app, row.service))
            return Answer(200, b"")
        if self._is_job(row.app, row.service):
            self._jobs.start(
                row.app, row.service, source=row.source, event=row.payload, trigger=row.trigger, lane=row.lane,
                also=lambda: self._registry.store.queue.remove(row.seq),
            )  # fmt: skip
            return Taken()
        invocation = Invocation(row.payload, row.id, client_context=row.client_context)
        return await self._invoking.invoke(row.app, row.service, invocation)

    async def at_once(self, app: str, service: str, event: bytes, *, source: str, trigger: str) -> Answer:
        """Deliver an event of a stream and wait for what became of it; of a job: until its run has ended."""
        if not self._is_job(app, service):
            return await self._invoking.invoke(app, service, Invocation(event, str(uuid.uuid4())))
        run = self._jobs.start(app, service, source=source, event=event, trigger=trigger)
        ended = await self._jobs.until(run.id, lambda now: now.ended_at is not None)
        return Answer(200, b"", error="" if ended.outcome == "ok" else "Unhandled")

    def _is_job(self, app: str, service: str) -> bool:
        key = f"{app}.{service}"
        row = self._registry.services.get(key)
        return row is not None and self._registry.spec(key, row.release).job is not None


def environ(registry: Registry, app: str, service: str) -> Mapping[str, str]:
    """The service's env with the values of its secrets, as of now: what its sources and destinations sign with."""
    key = f"{app}.{service}"
    spec = registry.spec(key, registry.services[key].release)
    values = registry.store.secrets.resolve(app, {use.name for use in spec.secrets})
    return dict(spec.env) | {use.env: values[use.name] for use in spec.secrets if not use.file}
