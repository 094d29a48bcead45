"""One sandbox from its start to its end, and the event that it has: what the Runtime API says becomes an outcome.

starting ──next──▶ idle ──give──▶ busy ──response──▶ answered ──next──▶ idle …
    └──────────────── exit, error, deadline ────────────┴──▶ ending
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal

from fourfold.functions import endings
from fourfold.functions.endings import Outcome
from fourfold.functions.exchange import Exchange
from fourfold.functions.invocation import Event, InitFailure, Owner, Surroundings, next_headers, with_log
from fourfold.functions.logs import Pipe
from fourfold.functions.model import Invocation, Usage
from fourfold.functions.sandboxes import Exited, Sandbox, SandboxError

FREEZE_AFTER = 0.005
"""Seconds without an event: under load, freezing and thawing between two of them would be all that is gained."""
KILL_PATIENCE = 5.0
"""Seconds for a killed sandbox to be gone, before its caller is answered all the same."""

State = Literal["starting", "idle", "busy", "answered", "ending"]
Work = Coroutine[Any, Any, None]


@dataclass(eq=False)
class Slot:
    around: Surroundings
    owner: Owner
    sandbox: Sandbox
    attempt: int
    """1: the init phase. 2: it is tried again, within the function's timeout."""
    provisioned: bool
    began: float
    """Of its start, in seconds by `elapsed`."""
    state: State = "starting"
    event: Event | None = None
    last_id: str = ""
    """Of the event that it answered last."""
    init: float = 0
    """Seconds that its init took, until an event has taken them upon itself."""
    idle_since: float = 0
    frozen: bool = False
    _next: Exchange | None = None
    _timer: asyncio.TimerHandle | None = None
    _rest: asyncio.TimerHandle | None = None
    _given: float = 0
    _given_at: float = 0
    _init_error: tuple[bytes, str] | None = None
    _used: int | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _pipe: Pipe = field(init=False)

    def __post_init__(self) -> None:
        self._pipe = Pipe(self.sandbox.output, self.around.output, self.around.loop)
        self.sandbox.exited.add_done_callback(self._exited)

    def watch_init(self, seconds: float) -> None:
        left = max(0.0, self.began + seconds - self.around.elapsed())
        self._timer = self.around.loop.call_later(left, self._init_expired)

    # what the runtime does

    def next(self, exchange: Exchange) -> None:
        """It asks for an event."""
        self._next = exchange
        exchange.on_gone = self._gone
        self._cancel_timer()
        if self.state == "starting":
            self.init = self.around.elapsed() - self.began
            self.owner.came_up(self)
        self.state = "idle"
        self.owner.ready(self)

    def may_ask(self) -> bool:
        return self.state in ("starting", "answered") or (self.state == "idle" and self._next is None)

    def answer(self, outcome: Outcome) -> None:
        """Of the event that it has."""
        self.state = "answered"
        self._finish(outcome)

    def init_error(self, body: bytes, error_type: str) -> None:
        self._init_error = (body, error_type)
        self._end(self._after_init_failure(timed_out=False))

    def _gone(self) -> None:
        """The connection on which it waited is closed: it asks again, or ends."""
        self._next = None

    # what the invoker does

    @property
    def free(self) -> bool:
        return self.state == "idle" and self._next is not None

    def give(self, event: Event) -> None:
        """Only while it is `free`."""
        event.waiting = False
        self.event = event
        self.state = "busy"
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self.frozen:
            self._spawn(self._thaw())
        else:
            self._send()

    def rest(self) -> None:
        """Nothing is there for it."""
        self.idle_since = self.around.elapsed()
        self._rest = self.around.loop.call_later(FREEZE_AFTER, self._freeze)

    def close(self) -> None:
        """End it; the event that it has, if any, fails as if its sandbox had crashed."""
        if self.state != "ending":
            self._end(self._killed())

    async def wait_closed(self) -> None:
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def _freeze(self) -> None:
        self._rest = None
        if self.state == "idle":
            self.around.sandboxes.freeze(self.sandbox)
            self.frozen = True
            self._pipe.drain()

    async def _thaw(self) -> None:
        try:
            await self.around.sandboxes.thaw(self.sandbox)
        except SandboxError:
            if (event := self.event) is not None and self.state == "busy":
                self.event = None
                self.owner.returned(event)
                self.close()
            return
        self.frozen = False
        if self.state == "busy":
            self._send()

    def _send(self) -> None:
        event, exchange = self.event, self._next
        self._next = None
        if event is None:
            return
        if exchange is None or exchange.gone:  # it left while it was thawed: it asks again, or ends
            self.event, self.state = None, "answered"
            self.owner.returned(event)
            return
        config, invocation = self.around.config, event.invocation
        self.around.sandboxes.begin(self.sandbox)
        self._pipe.begin(invocation.tail)
        self._pipe.line(endings.start_line(invocation.request_id, config.version))
        self._given = self.around.elapsed()
        self._given_at = self.around.now()
        self._timer = self.around.loop.call_later(config.timeout, self._expired)
        headers = next_headers(config, invocation, self._given_at, event.stream is not None)
        exchange.respond(200, headers, invocation.payload)

    # ends

    def _finish(self, outcome: Outcome) -> None:
        """The event has its outcome: into the log and the journal, then to whoever waits."""
        event, self.event = self.event, None
        if event is None:
            return
        config, invocation = self.around.config, event.invocation
        self.last_id = invocation.request_id
        self._pipe.drain()
        duration = self.around.elapsed() - self._given
        if outcome.ended == "timeout":
            duration = (
                config.timeout
            )  # timers are a little early or late, and to end it took what is not the function's
        used = self._measure() if self._used is None else self._used
        what = endings.took(duration, self.init, config.memory, used, self.provisioned)
        self._pipe.line(endings.end_lines(invocation.request_id, what, outcome))
        cold, self.init = self.init > 0, 0
        log = self._pipe.tail() if invocation.tail else b""
        self._account(invocation, what, outcome)
        self.owner.count(outcome, cold)
        event.done(with_log(outcome, log) if invocation.tail else outcome)

    def _measure(self) -> int:
        """Bytes; 0 where the host does not count."""
        return min(self.around.sandboxes.usage(self.sandbox).peak_bytes or 0, self.around.config.memory)

    def account_init(self, invocation: Invocation, failure: InitFailure, outcome: Outcome) -> bytes:
        """Of an event that waited for this one in vain: it takes what its init took. -> its log."""
        self._given_at = self.around.now() - failure.seconds
        what = endings.took(0.0, failure.seconds, self.around.config.memory, self._used or 0, self.provisioned)
        self._account(invocation, what, outcome)
        lines = endings.start_line(invocation.request_id, self.around.config.version)
        lines += endings.end_lines(invocation.request_id, what, outcome)
        self.around.output.write(lines.encode())
        return lines.encode()

    def _account(self, invocation: Invocation, what: endings.Took, outcome: Outcome) -> None:
        usage = Usage(
            self._given_at, invocation.request_id, self.around.config.release, what.duration_ms, what.billed_ms,
            what.init_ms, what.memory, what.used, outcome.ended or "error",
        )  # fmt: skip
        if not self.around.journal.append(usage):
            why = self.around.journal.failure
            line = f"[fourfold] the usage of {invocation.request_id} is not in the journal yet: {why}\n"
            self.around.output.write(line.encode())

    def _expired(self) -> None:
        self._timer = None
        if self.state == "busy" and self.event is not None:
            self._end(self._after_timeout())
        elif self.state == "answered":  # answered, but not done with its event
            self._end(self._killed())

    def _init_expired(self) -> None:
        self._timer = None
        if self.state == "starting":
            self._end(self._after_init_failure(timed_out=True))

    def _exited(self, future: asyncio.Future[Exited]) -> None:
        if self.state == "ending" or future.cancelled():
            return
        if self.state == "starting":
            self._end(self._after_init_failure(timed_out=False))
        elif self.state == "busy":
            self._end(self._after_crash(future.result()))
        else:
            self._end(self._killed())

    def _end(self, how: Work) -> None:
        self.state = "ending"
        self._cancel_timer()
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        self._spawn(how)

    async def _after_timeout(self) -> None:
        await self._kill()
        if self.event is not None:
            request_id, timeout = self.event.invocation.request_id, self.around.config.timeout
            self._pipe.drain()
            self._pipe.line(endings.timeout_line(self.around.now(), request_id, timeout))
            self._finish(endings.timed_out(request_id, timeout))
        self._leave()

    async def _after_crash(self, how: Exited) -> None:
        await self._kill()
        if self.event is not None:
            request_id = self.event.invocation.request_id
            outcome = endings.exited(request_id, how.code, how.signal, how.oom)
            self._pipe.drain()
            self._pipe.line(endings.crash_line(outcome))
            self._finish(outcome)
        self._leave()

    async def _after_init_failure(self, *, timed_out: bool) -> None:
        seconds = self.around.elapsed() - self.began
        how = self.sandbox.exited.result() if self.sandbox.exited.done() else None
        await self._kill()
        body, error_type = self._init_error or (b"", "")
        failure = InitFailure(seconds, body, error_type, None if body or timed_out else how, timed_out)
        phase = "init" if self.attempt == 1 else "invoke"
        self._pipe.drain()
        self._pipe.line(endings.init_line(seconds, "timeout" if timed_out else "error", error_type, phase))
        self._leave(failure)

    async def _killed(self) -> None:
        await self._kill()
        if self.event is not None:
            self._finish(endings.exited(self.event.invocation.request_id, None, 9, False))
        self._leave()

    async def _kill(self) -> None:
        self._used = self._measure()
        task = asyncio.ensure_future(self.around.sandboxes.kill(self.sandbox))
        await asyncio.wait((task,), timeout=KILL_PATIENCE)
        if task.done() and (error := task.exception()) is not None:
            self._pipe.line(f"[fourfold] sandbox {self.sandbox.number} could not be ended: {error}\n")

    def _leave(self, failure: InitFailure | None = None) -> None:
        self._pipe.close()
        if failure is not None:
            self.owner.init_failed(self, failure)
        self.owner.lost(self)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _spawn(self, work: Work) -> None:
        task = self.around.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
