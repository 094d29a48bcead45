"""Operations, and the events that tell of them and of everything else."""

from __future__ import annotations

from typing import Any

from fourfold.control.views.base import View


class OperationView(View):
    """One accepted change. Follow it with `GET /v1/events?operation=ID`; it ends with `operation.done` or `.failed`."""

    id: str
    app: str
    kind: str
    """up | deploy | rollback | scale | restart | stop | remove | down | build | compare; deployment: of one that is
    promoted or aborted, whichever it was"""
    services: list[str]
    after: int
    """Events of this operation have a greater `seq` than this."""
    waiting_for: str | None = None
    """The operation that must end first: `up by alice, for 12 s`."""
    hint: str | None = None
    """What can be done about that."""


class EventView(View):
    seq: int
    at: str
    app: str | None
    service: str | None
    instance: str | None
    kind: str
    message: str
    actor: str | None
    data: dict[str, Any]
