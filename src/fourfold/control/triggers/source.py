"""The seam between what events come from and the services that get them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fourfold.clock import Clock
from fourfold.functions.model import Answer
from fourfold.spec.model import Service
from fourfold.spec.triggers import Trigger
from fourfold.store.tables.triggerstate import TriggerStates

IDENTITY = {
    "schedule": ("cron", "rate", "timezone"),
    "s3": ("bucket", "queue", "endpoint", "region"),
    "kinesis": ("stream", "endpoint", "region"),
    "dynamodb": ("table", "endpoint", "region"),
    "ses": ("recipient",),
}
"""What of a trigger makes it another one, which remembers nothing: an edit of anything else keeps its checkpoints."""


class Deliver(Protocol):
    """Give an event (JSON) to the service and wait for its answer: for streams, which go on only after it.

    `answer.error` is not empty when the service failed. Raises FourfoldError when nothing could take it now (not
    ready, throttled): try again later. Of a job: waits until its run has ended.
    """

    def __call__(self, event: bytes, /) -> Awaitable[Answer]: ...


class Enqueue(Protocol):
    """Store an event (JSON); it is delivered later, with retries, and told to `function.on_failure` if given up.

    It is on disk when this returns, together with `state` (keys of the trigger's `State`). Returns its request id.
    Raises WorldError when the store, or the queue of this service, takes no more: try again later.
    """

    def __call__(self, event: bytes, /, state: Mapping[str, str] | None = None) -> Awaitable[str]: ...


class State:
    """What one trigger remembers over restarts of the daemon. Each `put` is a commit, durable when it returns."""

    def __init__(self, states: TriggerStates, app: str, service: str, trigger: str) -> None:
        self._states = states
        self._of = (app, service, trigger)

    def get(self, key: str) -> str | None:
        return self._states.get(*self._of, key)

    def all(self) -> dict[str, str]:
        return self._states.of(*self._of)

    def put(self, key: str, value: str) -> None:
        self._states.put(*self._of, key, value)

    def remove(self, key: str) -> None:
        self._states.remove(*self._of, key)


@dataclass(frozen=True)
class Site:
    """Everything that a source is given."""

    app: str
    service: str
    trigger: str
    """Its identity."""
    spec: Trigger
    of: Service
    """The service, as its release has it."""
    environ: Callable[[], Mapping[str, str]]
    """The service's env with the values of its secrets, as of now: where AWS_… credentials are."""
    state: State
    deliver: Deliver
    enqueue: Enqueue
    tell: Callable[[str, bytes], Awaitable[object]]
    """(destination, event): store an event (JSON) for what `on_failure` names: a service of the app, or an SQS queue.
    Raises FourfoldError when it cannot be stored: try again later."""
    emit: Callable[[str, str], None]
    """(kind, message): tell an event of this service, such as `trigger.failed`."""
    clock: Clock


class Source(Protocol):
    async def run(self) -> None:
        """Until cancelled. What it raises is told as `trigger.failed`, and it is made and started again later."""
        ...


Maker = Callable[[Site], Source]


def identities(triggers: Iterable[Trigger]) -> list[str]:
    """One for each, `schedule-3f0a…`: two that are alike are told apart by their order."""
    found: list[str] = []
    for trigger in triggers:
        base = made = identity(trigger)
        number = 1
        while made in found:
            number += 1
            made = f"{base}-{number}"
        found.append(made)
    return found


def identity(trigger: Trigger) -> str:
    kind = kind_of(trigger)
    values: dict[str, Any] = getattr(trigger, kind).model_dump(mode="json")
    text = json.dumps({name: values[name] for name in IDENTITY[kind]}, sort_keys=True)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def kind_of(trigger: Trigger) -> str:
    """schedule, s3, kinesis, dynamodb or ses."""
    return next(kind for kind in IDENTITY if getattr(trigger, kind) is not None)
