"""Streams that go on over a restart of the daemon: where one breaks off, the next takes up."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from fourfold.cli.link.client import Client, LostError, NoDaemonError
from fourfold.cli.printing.formats import moment

if TYPE_CHECKING:
    from fourfold.control.views import EventView

BACK_WITHIN = 15.0
"""Seconds that a daemon which went away while it was followed may take to be back (an upgrade, a service manager)."""
OVERLAP = timedelta(seconds=1)
"""Lines of several instances come in the order of their times only as nearly as this."""


def until_back(client: Client) -> None:
    """Raises LostError when the daemon does not come back."""
    deadline = time.monotonic() + BACK_WITHIN
    while not client.answers():
        if client.endpoint.gone():
            raise LostError(
                f"cannot go on: the connection to {client.endpoint.where} is gone {client.endpoint.words()}".rstrip(),
                "what is under way there goes on; run the command again",
            )
        if time.monotonic() > deadline:
            raise LostError(
                "cannot go on: the daemon went away and is not back",
                "services keep running; see `fourfold doctor --offline`, then run `fourfold up` again",
            )
        time.sleep(0.1)


def events(
    client: Client,
    after: int,
    *,
    app: str | None,
    operation: str | None,
    kind: Sequence[str] = (),
    since: str | None = None,
) -> Iterator[EventView]:
    """Those after number `after`, then new ones for ever. Raises LostError when the daemon does not come back."""
    while True:
        try:
            for event in client.events(after=after, app=app, operation=operation, kind=kind, since=since):
                after = event.seq
                yield event
        except (LostError, NoDaemonError):
            pass
        until_back(client)


def logs(client: Client, app: str, **which: Any) -> Iterator[dict[str, str]]:
    """What there is, then new lines for ever. Raises LostError when the daemon does not come back."""
    shown: deque[dict[str, str]] = deque()
    begun = False
    while True:
        again = Counter((line["instance"], line["text"]) for line in shown)
        try:
            for line in client.logs(app, **which, follow="true"):
                if again[key := (line["instance"], line["text"])]:
                    again[key] -= 1
                    continue
                yield line
                shown.append(line)
                _drop_before(shown, moment(line["at"]) - OVERLAP)
            begun = True
        except NoDaemonError:
            if not begun:
                raise
        except LostError:
            begun = True
        until_back(client)
        if shown:
            since = max(moment(line["at"]) for line in shown) - OVERLAP
            _drop_before(shown, since)
            which |= {"since": since.isoformat(), "tail": None}


def _drop_before(lines: deque[dict[str, str]], since: datetime) -> None:
    while moment(lines[0]["at"]) < since:
        lines.popleft()
