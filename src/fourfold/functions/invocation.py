"""An event on its way through the invoker, and what its parts know of each other."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from fourfold.functions import endings
from fourfold.functions.endings import Outcome
from fourfold.functions.journal import Journal
from fourfold.functions.logs import Output
from fourfold.functions.model import Config, Invocation
from fourfold.functions.sandboxes import Exited, Sandboxes

if TYPE_CHECKING:
    from fourfold.functions.slot import Slot


MAX_SAID = 1024
"""Bytes that are shown of what is no error as AWS has them."""
MAX_TRACE = 1024
"""Characters of a trace that are passed on."""


class Stream(Protocol):
    """Takes an answer piece by piece, for a caller who wants it so."""

    def begin(self, content_type: str) -> None: ...
    def data(self, data: bytes) -> None: ...


@dataclass(eq=False, slots=True)
class Event:
    """One event, who waits for its outcome, and where it stands."""

    invocation: Invocation
    done: Callable[[Outcome], None]
    since: float
    """When it came: seconds, by `elapsed`."""
    stream: Stream | None = None
    waiting: bool = True


class Owner(Protocol):
    """Whoever gives events to slots."""

    def came_up(self, slot: Slot) -> None:
        """It has come to its first `next`; `ready` follows."""
        ...

    def ready(self, slot: Slot) -> None:
        """It can take an event."""
        ...

    def lost(self, slot: Slot) -> None:
        """It has ended, and holds nothing any more."""
        ...

    def init_failed(self, slot: Slot, failure: InitFailure) -> None: ...
    def returned(self, event: Event) -> None:
        """It could not be given to the slot; nothing has run."""
        ...

    def count(self, outcome: Outcome, cold: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class InitFailure:
    """Why a sandbox never came to its first `next`."""

    seconds: float
    body: bytes = b""
    """What its runtime said."""
    error_type: str = ""
    exited: Exited | None = None
    timed_out: bool = False

    def outcome(self, request_id: str, timeout: float) -> Outcome:
        """For the event that waited for it."""
        if self.body:
            return endings.reported(self.body, self.error_type)
        if self.exited is not None:
            return endings.exited(request_id, self.exited.code, self.exited.signal, self.exited.oom)
        return endings.timed_out(request_id, timeout)

    def words(self, timeout: float) -> str:
        """For people."""
        if self.timed_out:
            return f"it did not ask for an event within {self.seconds:.1f} s"
        if self.exited is not None and self.exited.oom:
            return "out of memory: raise resources.memory, or find out what it keeps"
        payload = self.outcome("", timeout).payload
        try:
            said = json.loads(payload or b"{}")
        except (ValueError, RecursionError):  # it is the runtime's
            said = payload[:MAX_SAID].decode(errors="replace")
        message = str(said.get("errorMessage", "")) if isinstance(said, dict) else str(said)
        return f"{self.error_type}: {message}" if self.error_type else message.removeprefix("RequestId:  Error: ")


@dataclass(frozen=True)
class Surroundings:
    """What all slots of an invoker share."""

    config: Config
    loop: asyncio.AbstractEventLoop
    sandboxes: Sandboxes
    output: Output
    journal: Journal
    now: Callable[[], float]
    """Epoch seconds."""
    elapsed: Callable[[], float]
    """Seconds since some moment, exactly: the loop's own clock stands still while it does something."""


def next_headers(config: Config, invocation: Invocation, now: float, streams: bool = False) -> bytes:
    """Of the answer to `next`. Without a trace and a content type awslambdaric 4.2.2 crashes; empty ones stay out.

    It ends, too, when a value is not UTF-8, and any HTTP client may send a trace: ASCII is all that they have.
    `streams`: the adapter of web services, which is ours, is told that the answer may be passed on as it comes.
    """
    deadline = int((now + config.timeout) * 1000)
    context = invocation.client_context
    return (
        f"Content-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: {invocation.request_id}\r\n"
        f"Lambda-Runtime-Deadline-Ms: {deadline}\r\n"
        f"Lambda-Runtime-Invoked-Function-Arn: {invocation.arn or config.arn}\r\n"
        f"Lambda-Runtime-Trace-Id: {invocation.trace[:MAX_TRACE] or trace(now)}\r\n"
        + (f"Lambda-Runtime-Client-Context: {context}\r\n" if context else "")
        + ("Fourfold-Stream: 1\r\n" if streams and not config.handler else "")
    ).encode("ascii", "replace")


def trace(now: float) -> str:
    """X-Ray's, of a request that is not traced."""
    made = os.urandom(20).hex()
    return f"Root=1-{int(now):08x}-{made[:24]};Parent={made[24:]};Sampled=0"


def with_log(outcome: Outcome, log: bytes) -> Outcome:
    return replace(outcome, log=log)
