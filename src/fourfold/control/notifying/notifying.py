"""Keeps webhooks told: each by itself, in order of events, from where its row says; what is not taken is tried again.

A delivery is stored after it was taken: whoever dies in between, it is sent once more, with the same id.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace

from fourfold.clock import Clock
from fourfold.control import views as v
from fourfold.control.bus import Bus
from fourfold.control.notifying import message
from fourfold.control.notifying.hooks import Hooks
from fourfold.control.notifying.matching import kinds_of, wants
from fourfold.control.registry import Registry
from fourfold.errors import FourfoldError
from fourfold.store.model import Event
from fourfold.store.tables.events import Which
from fourfold.store.tables.hooks import HookRow

log = logging.getLogger(__name__)

FIRST_SECONDS = 1.0
MOST_SECONDS = 300.0
"""Between two tries; each waits twice as long as the one before."""
KEPT_SECONDS = 24 * 3600.0
KEPT = 1000
"""Events that may wait for one hook: older ones are given up."""
LOOK_SECONDS = 5.0
"""How often it is looked whether apps that have hooks are still there."""

Post = Callable[[str, bytes, dict[str, str]], Awaitable["Answer"]]
"""(url, content, headers)."""


class Answer:
    """What came of a try. `wait`: seconds that the receiver asks for; `final`: it will never take this one."""

    def __init__(self, error: str = "", final: bool = False, wait: float = 0.0) -> None:
        self.error = error
        """Empty: it was taken."""
        self.final = final
        self.wait = wait


class Notifying:
    def __init__(self, registry: Registry, bus: Bus, clock: Clock, post: Post | None = None) -> None:
        self._registry = registry
        self._bus = bus
        self._clock = clock
        self._post = post
        self._news = asyncio.Event()
        self._machine = socket.gethostname()
        self._tasks: dict[tuple[str, str], tuple[HookRow, asyncio.Task[None]]] = {}
        self.hooks = Hooks(registry, lambda: bus.last, self._news.set)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._news.clear()
                self._see()
                try:
                    async with asyncio.timeout(LOOK_SECONDS if self._tasks else None):
                        await self._news.wait()
                except TimeoutError:
                    pass
        finally:
            await self._stop(list(self._tasks))

    def _see(self) -> None:
        """A task for each hook that there is now; one whose row was changed by an `up` begins anew."""
        self.hooks.forget_gone()
        there = {(row.app, row.name): row for row in self.hooks.all()}
        for key, (row, task) in list(self._tasks.items()):
            now = there.get(key)
            if (
                now is None
                or (now.events, now.format, now.secret) != (row.events, row.format, row.secret)
                or task.done()
            ):
                task.cancel()
                del self._tasks[key]
        for key, row in there.items():
            if key not in self._tasks:
                self._tasks[key] = row, asyncio.create_task(self._serve(row))

    async def _stop(self, keys: list[tuple[str, str]]) -> None:
        tasks = [self._tasks.pop(key)[1] for key in keys]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, row: HookRow) -> None:
        while True:
            try:
                which = Which(kinds_of(row.events))
                async for event in self._bus.follow(row.cursor, row.app, which=which):
                    if wants(event, row.events):
                        row = await self._deliver(row, event, which)
                return  # the daemon ends
            except FourfoldError as error:
                log.error("the webhook at %s of %s: %s", row.host, row.app, error)
            except Exception:
                log.exception("a fault while the webhook at %s of %s was told", row.host, row.app)
            await asyncio.sleep(FIRST_SECONDS)

    async def _deliver(self, row: HookRow, event: Event, which: Which) -> HookRow:
        """See it through; the row afterwards."""
        delay = FIRST_SECONDS
        while True:
            if why := self._too_late(row, event, which):
                return self._done(row, event, Answer(row.error or why, final=True))
            answer = await self.send(row, event)
            if not answer.error or answer.final:
                return self._done(row, event, answer)
            row = self._fails(row, answer)
            await asyncio.sleep(max(delay, min(answer.wait, MOST_SECONDS)))
            delay = min(delay * 2, MOST_SECONDS)

    def _too_late(self, row: HookRow, event: Event, which: Which) -> str:
        if self._clock.now() - event.at > KEPT_SECONDS:
            return "it was older than a day"
        many = self._bus.last - event.seq >= KEPT and event.seq <= self._bus.before(KEPT, row.app, which=which)
        return "too many others wait" if many else ""

    async def test(self, app: str, actor: str) -> list[v.HookTestView]:
        """Send a test event to each hook of an app, at once and once: it is no event, and nothing of it is kept."""
        rows = self.hooks.of(app)
        message = "a test: this webhook is told of events"
        event = Event(0, self._clock.now(), app, None, None, "notify.test", message, actor or None)
        answers = await asyncio.gather(*(self.send(row, event) for row in rows))
        return [v.HookTestView(host=r.host, error=a.error or None) for r, a in zip(rows, answers, strict=True)]

    async def send(self, row: HookRow, event: Event) -> Answer:
        """Once."""
        try:
            url = self.hooks.url(row)
            key = self._registry.store.secrets.resolve(row.app, [row.secret])[row.secret] if row.secret else None
        except FourfoldError as error:
            return Answer(str(error))
        content = message.body(event, row.format, self._machine)
        if self._post is None:
            from fourfold.control.notifying.posting import Poster  # with its client: for those who have hooks

            self._post = Poster().post
        return await self._post(url, content, message.headers(event, content, self._clock.now(), key))

    def _fails(self, row: HookRow, answer: Answer) -> HookRow:
        if row.failing_since is not None and row.error == answer.error:
            return row
        if row.failing_since is None:
            self._tell("notify.failed", row, f"the webhook at {row.host} does not take events: {answer.error}")
        row = replace(row, failing_since=row.failing_since or self._clock.now(), error=answer.error)
        self._store(row)
        return row

    def _done(self, row: HookRow, event: Event, answer: Answer) -> HookRow:
        if answer.error:
            row = self._fails(row, answer)
            row = replace(row, cursor=event.seq, given_up=row.given_up + 1)
        else:
            if row.failing_since is not None:
                self._tell("notify.recovered", row, f"the webhook at {row.host} takes events again")
            row = replace(row, cursor=event.seq, delivered=row.delivered + 1, failing_since=None, error=None)
        self._store(row)
        return row

    def _tell(self, kind: str, row: HookRow, what: str) -> None:
        self._bus.emit(kind, what, app=row.app, host=row.host)

    def _store(self, row: HookRow) -> None:
        """Unless it has gone meanwhile, or an `up` has another word on what it is told: that one's stays."""
        with self._registry.store.database.transaction():
            there = {each.name: each for each in self._registry.store.hooks.of(row.app)}
            if now := there.get(row.name):
                row = replace(row, events=now.events, format=now.format, secret=now.secret)
                self._registry.store.hooks.put(row)
