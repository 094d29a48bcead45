"""What a part of control that looks after something does until the daemon ends, and when the world refuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial, wraps
from typing import ParamSpec

from fourfold.clock import Clock
from fourfold.errors import FourfoldError, WorldError

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
"""After the world refused something (a full disk, a locked store), or a mistake of ours."""
REST_SECONDS = 0.05
Arguments = ParamSpec("Arguments")
Until = float | None
"""When to look again; None: when there is news."""


def rest(took: float) -> float:
    """Seconds until it is done again: what comes meanwhile is done together, and it takes a sixth of the time at most.

    Where many start at once, each would else have all others looked at when it gets ready.
    """
    return min(5 * took, REST_SECONDS)


class Soon:
    """Does something soon after it was asked to, see `rest`; what the world refuses, again after AGAIN_SECONDS."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do = do
        self._due: asyncio.TimerHandle | None = None
        self._not_before = 0.0

    def ask(self) -> None:
        """Once, however often it was asked since it was last done."""
        self._in(0.0)

    def _in(self, seconds: float) -> None:
        if self._due is None:
            loop = asyncio.get_running_loop()
            self._due = loop.call_at(max(self._not_before, loop.time() + seconds), self._now)

    def _now(self) -> None:
        self._due = None
        now = asyncio.get_running_loop().time
        began = now()
        try:
            self._do()
        except WorldError as error:
            log.error("%s", error)
            self._in(AGAIN_SECONDS)
        finally:
            self._not_before = now() + rest(now() - began)


async def keep(
    what: str,
    look: Callable[[], Until | Awaitable[Until]],
    news: asyncio.Event,
    clock: Clock,
    recover: Callable[[], None] = lambda: None,
) -> None:
    """Until cancelled: `look` whenever there is news, and at the time that it gave back.

    A failure is told in the log as one of `what`; after it comes `recover`, and another look.
    """
    while True:
        news.clear()
        try:
            found = look()
            wake_at = await found if isinstance(found, Awaitable) else found
        except Exception as error:
            if isinstance(error, FourfoldError):
                log.error("%s: %s", what, error)
            else:  # nothing may be left without a keeper
                log.exception("a fault in the loop of %s", what)
            recover()
            wake_at = clock.now() + AGAIN_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(None if wake_at is None else max(0.0, wake_at - clock.now())):
                await news.wait()


async def keep_running(what: str, run: Callable[[], Awaitable[None]]) -> None:
    """Until cancelled: what ends with a failure begins again, and takes no other part with it."""
    while True:
        try:
            await run()
        except FourfoldError as error:
            log.error("%s: %s", what, error)
        except Exception:
            log.exception("a fault in what keeps %s going", what)
        await asyncio.sleep(AGAIN_SECONDS)


def until_stored(tell: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """What has happened has happened: when the store refuses to take note (a full disk), it is told again later."""

    @wraps(tell)
    def told(*arguments: Arguments.args, **named: Arguments.kwargs) -> None:
        try:
            tell(*arguments, **named)
        except WorldError as error:
            log.error("%s", error)
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, partial(told, *arguments, **named))

    return told
