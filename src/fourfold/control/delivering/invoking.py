"""Gives one event to a service, under whichever pattern it runs, and waits for its answer.

A function has it from its invoker. A handler elsewhere is behind a small server of ours, which takes events where
aws-lambda-rie does and answers as Lambda's Invoke does. A web service gets it at `POST /events`: 2xx is success.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fourfold.control.delivering.turns import Turns
from fourfold.control.registry import Registry, key_of
from fourfold.errors import NotFoundError, UserError, WorldError
from fourfold.functions.client import FunctionGone, Invokers
from fourfold.functions.model import Answer, Invocation
from fourfold.spec.model import Service
from fourfold.store.model import InstanceRow

if TYPE_CHECKING:  # takes long to import, and most daemons never need it
    import httpx

HANDLER_PATH = "/2015-03-31/functions/function/invocations"
"""Of our server around a handler: as aws-lambda-rie has it (its README)."""
EVENTS_PATH = "/events"
READY_SECONDS = 10.0
"""That an event waits for an instance of a service that is just being started."""
LOOK_SECONDS = 0.02
KEPT_SECONDS = 1.0
"""That a connection is kept: servers close idle ones after 2 or 5 seconds, and an event that meets such an end on its
way counts as lost."""
STATE_SECONDS = 1.0
"""That an invoker may take to say how it is; one that does not is shown without."""
SLACK_SECONDS = 5.0
"""Beyond the timeout of an event: its answer has to be sent too."""


class LostError(WorldError):
    """What had the event is gone, and whether it was handled is not known: it counts as a try."""


class Invoking:
    """`socket_of(instance)`: where its invoker takes events; `idle(instance)`: nothing is left in flight there."""

    def __init__(
        self, registry: Registry, socket_of: Callable[[str], Path], idle: Callable[[str], None] = lambda name: None
    ) -> None:
        self._registry = registry
        self._socket_of = socket_of
        self._idle = idle
        self._invokers = Invokers()
        self._http: httpx.AsyncClient | None = None
        self._in_flight: Counter[str] = Counter()
        self.turns = Turns(registry)
        self.answered: Callable[[InstanceRow, bool, float], None] = lambda row, failed, seconds: None
        """Hears of events that others than functions dealt with: which instance, whether it failed, for how long."""

    async def invoke(self, app: str, service: str, invocation: Invocation, release: int | None = None) -> Answer:
        """NotFoundError: no such service, or that release does not run; UserError: it takes no events; LostError:
        what had the event is gone; WorldError: nothing of it is ready."""
        spec = self._spec(app, service, release)
        tried: set[str] = set()
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        while True:
            row = await self._ready(app, service, release, tried, deadline)
            self._in_flight[row.id] += 1
            try:
                if row.pattern == "function":
                    answer = await self._invokers.invoke(str(self._socket_of(row.id)), invocation)
                    if answer.status == 200:
                        self.turns.ended(row, bool(answer.error))
                    return answer
                began = asyncio.get_running_loop().time()
                answer = await self._ask(row, spec, invocation)
                if answer.status == 200:  # else it has not been taken
                    self.turns.ended(row, bool(answer.error))
                    self.answered(row, bool(answer.error), asyncio.get_running_loop().time() - began)
                return answer
            except FunctionGone as gone:
                tried.add(row.id)
                if gone.sent:
                    raise LostError(
                        f"cannot tell how the event of {service} ended: {row.id}, which had it, is gone",
                        f"it may have been handled; see: fourfold explain {service}",
                    ) from gone
            finally:
                self._in_flight[row.id] -= 1
                if not self._in_flight[row.id]:
                    del self._in_flight[row.id]
                    self._idle(row.id)

    async def state(self, instance: str) -> dict[str, Any] | None:
        """What its invoker says of itself (`functions.invoker.Invoker.state`); None when it does not."""
        with suppress(FunctionGone, TimeoutError):
            async with asyncio.timeout(STATE_SECONDS):
                return await self._invokers.state(str(self._socket_of(instance)))
        return None

    async def totals(self, instances: Iterable[str]) -> Counter[str]:
        """What their invokers have done since they started, summed (`functions.invoker.Invoker.totals`)."""
        found: Counter[str] = Counter()
        for state in await asyncio.gather(*map(self.state, instances)):
            found.update(state["totals"] if state is not None else {})
        return found

    def forget(self, instance: str) -> None:
        """It has ended: its connections are of no more use."""
        self._invokers.forget(str(self._socket_of(instance)))

    def in_flight(self, instance: str) -> int:
        """Events that it has from here and not answered yet."""
        return self._in_flight.get(instance, 0)

    async def close(self) -> None:
        self._invokers.close()
        if self._http is not None:
            await self._http.aclose()

    # -- whom to ask ----------------------------------------------------------------------------------------------

    def _spec(self, app: str, service: str, release: int | None) -> Service:
        row = self._registry.services.get(f"{app}.{service}")
        if row is None or row.removed:
            hint = f"see: fourfold status -a {app}"
            raise NotFoundError(f"cannot invoke {service}: app {app} has no such service", hint)
        spec = self._registry.spec(key_of(row), release or row.release)
        if spec.job is not None:
            raise UserError(f"cannot invoke {service}: it is a job", f"`fourfold run {service}` runs it")
        if row.stopped:
            raise WorldError(f"cannot invoke {service}: it is stopped", f"`fourfold restart {service}` starts it again")
        return spec

    async def _ready(
        self, app: str, service: str, release: int | None, tried: set[str], deadline: float
    ) -> InstanceRow:
        """The one with the least to do. `tried`: those that could not be reached are looked at again after a while."""
        key = f"{app}.{service}"
        while True:
            rows = [row for row in self._registry.of_service(key) if row.role == "serve" and row.id not in tried]
            rows = [row for row in rows if release is None or row.release == release]
            if ready := [row for row in rows if row.state == "ready"]:
                if release is None and (chosen := self.turns.next(key, ready)) is not None:
                    return chosen
                return min(ready, key=lambda row: (self._in_flight.get(row.id, 0), row.id))
            if not any(row.state in ("starting", "unready", "exited") for row in rows) and not tried:
                break
            if asyncio.get_running_loop().time() > deadline:
                break
            tried.clear()
            await asyncio.sleep(LOOK_SECONDS)
        if release is not None:
            raise NotFoundError(f"cannot invoke release {release} of {service}: no instance of it is ready")
        raise WorldError(f"cannot invoke {service}: no instance of it is ready", f"see: fourfold explain {service}")

    # -- other patterns than function -----------------------------------------------------------------------------

    async def _ask(self, row: InstanceRow, spec: Service, invocation: Invocation) -> Answer:
        import httpx

        handles = spec.function.handler is not None and spec.run is None
        if row.port is None:
            raise UserError(
                f"cannot invoke {row.service}: it has neither a handler nor a port",
                "give it `function.handler`, or a `port` and a program that takes POST /events",
            )
        if self._http is None:
            self._http = httpx.AsyncClient(
                limits=httpx.Limits(max_connections=None, keepalive_expiry=KEPT_SECONDS), trust_env=False
            )
        url = f"http://{row.reached_at}:{row.port}{HANDLER_PATH if handles else EVENTS_PATH}"
        try:
            answer = await self._http.post(
                url,
                content=invocation.payload,
                headers=_headers(invocation),
                timeout=spec.function.timeout + SLACK_SECONDS,
            )
        except httpx.ConnectError as error:
            raise FunctionGone(row.id, str(error), sent=False) from error
        except httpx.TimeoutException:
            return _failed("Sandbox.Timedout", f"no answer within {spec.function.timeout:g} seconds", invocation)
        except httpx.HTTPError as error:
            raise FunctionGone(row.id, str(error), sent=True) from error
        return _of_handler(answer) if handles else _of_web(answer, invocation)


def _headers(invocation: Invocation) -> dict[str, str]:
    found = {"Content-Type": "application/json", "X-Request-Id": invocation.request_id}
    if invocation.client_context:
        found["X-Amz-Client-Context"] = base64.b64encode(invocation.client_context.encode()).decode()
    if invocation.tail:
        found["X-Amz-Log-Type"] = "Tail"
    if invocation.trace:
        found["X-Amzn-Trace-Id"] = invocation.trace
    return found


def _of_handler(answer: httpx.Response) -> Answer:
    headers = answer.headers
    return Answer(
        status=answer.status_code if answer.status_code in (200, 429) else 503,
        payload=answer.content,
        error=headers.get("x-amz-function-error", ""),
        log=headers.get("x-amz-log-result", ""),
        version=headers.get("x-amz-executed-version", "$LATEST"),
    )


def _of_web(answer: httpx.Response, invocation: Invocation) -> Answer:
    if answer.is_success:
        return Answer(200, answer.content)
    if answer.status_code in (429, 503):
        return Answer(answer.status_code, answer.content)
    return _failed(f"Http.{answer.status_code}", f"POST {EVENTS_PATH} was answered {answer.status_code}", invocation)


def _failed(kind: str, what: str, invocation: Invocation) -> Answer:
    error = {"errorType": kind, "errorMessage": f"RequestId: {invocation.request_id} Error: {what}"}
    return Answer(200, json.dumps(error).encode(), error="Unhandled")
