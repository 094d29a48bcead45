"""`fourfold events --failed` and `events replay`: events that were given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fourfold.cli.printing import formats, output
from fourfold.cli.session import Session
from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.control.views import FailedView, ReplayedView

PAYLOAD_SHOWN = 60
"""Characters, in the table."""


def listed(session: Session, services: list[str]) -> int:
    if len(services) > 1:
        raise UserError("cannot list failed events of several services: name one, or none for all")
    service = services[0] if services else None
    found: list[FailedView] = session.client.get(f"/v1/apps/{session.app}/failed-events", service=service)
    if session.options.json:
        output.as_json(found)
        return 0
    now = formats.utc_now()
    header = ("ID", "SERVICE", "FROM", "FAILED", "TRIES", "REASON", "EVENT")
    rows = [
        (
            event.id,
            event.service,
            event.source,
            formats.ago(event.failed_at, now),
            str(event.attempts),
            event.reason,
            _short(event.payload),
        )
        for event in found
    ]
    output.data("\n".join(formats.table(header, rows, frozenset({"TRIES"}))))
    if rows:
        output.say("deliver one again with: fourfold events replay ID; -o json shows all of each", session.options)
    return 0


def replayed(session: Session, words: list[str], everything: bool) -> int:
    """`replay ID…`, or `replay --all SERVICE`."""
    if everything and len(words) != 1:
        raise UserError("cannot replay: expected one service", "fourfold events replay --all SERVICE")
    if not words:
        raise UserError("cannot replay: which event?", "fourfold events --failed lists them")
    body = {"service": words[0], "ids": None} if everything else {"service": None, "ids": words}
    path = f"/v1/apps/{session.app}/failed-events/replay"
    done: ReplayedView = session.client.post(path, {**body, "actor": session.actor})
    if session.options.json:
        output.as_json(done)
    else:
        output.data("\n".join(done.ids))
        output.say(f"{formats.count(len(done.ids), 'event')} delivered again", session.options)
    return 0


def _short(payload: str) -> str:
    text = " ".join(payload.split())
    return text if len(text) <= PAYLOAD_SHOWN else f"{text[: PAYLOAD_SHOWN - 1]}…"
