"""Events that services get: at once, later, and those that were given up."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence

from fourfold.control import views as v
from fourfold.control.requests.base import Requests
from fourfold.functions.model import Answer, Invocation


class Functions(Requests):
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
