"""What `events` prints: what happened, and what happens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from fourfold.cli.printing import formats, output
from fourfold.cli.printing.steps import ENDED, exit_code
from fourfold.cli.session import Session

if TYPE_CHECKING:
    from fourfold.control.views import EventView

USUAL_TAIL = 50


def kind_of(text: str) -> str:
    """As the API takes it. Raises click.BadParameter."""
    if re.fullmatch(r"[a-z*?-]+(\.[a-z*?-]+)*", text):
        return text
    raise click.BadParameter(f"expected a kind such as deploy.failed, or a pattern such as 'deploy.*', got {text!r}")


@dataclass(frozen=True)
class Asked:
    """Which events."""

    app: str | None
    operation: str | None
    since: str | None
    """RFC 3339."""
    kinds: tuple[str, ...]
    tail: int | None
    """The newest ones; None: the usual number, unless it is said where to begin."""

    @property
    def most(self) -> int | None:
        usual = None if self.since or self.operation else USUAL_TAIL
        return usual if self.tail is None else self.tail

    @property
    def sent_kinds(self) -> list[str]:
        """Of an operation we have to see the end, whatever is shown of it."""
        return [] if self.operation else list(self.kinds)

    def shows(self, event: EventView) -> bool:
        return not self.kinds or any(fnmatchcase(event.kind, pattern) for pattern in self.kinds)


def happened(session: Session, asked: Asked, following: bool) -> int:
    """The exit code. With `following` new events as they come; those of an operation to its end."""
    newest = None if asked.most is None else max(asked.most, 1)  # one at least, to know where new ones begin
    past: list[EventView] = session.client.get(
        "/v1/events", app=asked.app, operation=asked.operation, since=asked.since,
        kind=asked.sent_kinds, tail=newest,
    )  # fmt: skip
    if asked.app and not past and not following:
        session.need_app(asked.app)
    shown = past if asked.most is None else past[len(past) - min(asked.most, len(past)) :]
    shown = [event for event in shown if asked.shows(event)]
    if not following:
        _show_past(shown, session)
        return 0
    _show(shown, session)
    for event in past:
        if asked.operation and event.kind in ENDED:
            return exit_code(event)
    return _follow(session, asked, past[-1].seq if past else 0)


def _follow(session: Session, asked: Asked, last: int) -> int:
    from fourfold.cli.link.following import events

    for event in events(
        session.client, last, app=asked.app, operation=asked.operation, kind=asked.sent_kinds, since=asked.since
    ):
        if asked.shows(event):
            _show([event], session)
        if asked.operation and event.kind in ENDED:
            return exit_code(event)
    return 1


def _show_past(events: list[EventView], session: Session) -> None:
    if session.options.json:
        output.as_json(events)
    else:
        _show(events, session)


def _show(events: Iterable[EventView], session: Session) -> None:
    """A line each; with -o json one object per line."""
    now = formats.utc_now()
    for event in events:
        if session.options.json:
            print(json.dumps(event, ensure_ascii=False, separators=(",", ":")), flush=True)
        else:
            who = event.service or event.app or "-"
            by = f" (by {event.actor})" if event.actor and not event.message.endswith(f" by {event.actor}") else ""
            print(f"{formats.clock(event.at, now)}  {who:<12} {event.kind:<19} {event.message}{by}", flush=True)
