"""Which events a webhook is told of."""

from __future__ import annotations

from typing import Any

import pytest

from fourfold.control.notifying.matching import KINDS, kinds_of, wants
from fourfold.spec.notify import ON
from fourfold.store.model import Event


def event(kind: str, **data: Any) -> Event:
    return Event(7, 1.0, "shop", "web", None, kind, "it happened", None, data)


CASES: list[tuple[list[str], Event, bool]] = [
    (["failed"], event("operation.failed"), True),
    (["failed"], event("operation.failed", cancelled="ann"), False),
    (["failed"], event("deploy.failed"), False),
    (["failed", "deploy.*"], event("deploy.failed"), True),
    (["deployed"], event("deploy.done"), True),
    (["rolled-back"], event("deploy.rolled-back"), True),
    (["oom"], event("instance.exited", oom=True), True),
    (["oom"], event("instance.exited", oom=False, code=1), False),
    (["exited"], event("instance.exited", oom=False, code=1), True),
    (["unready"], event("instance.unready"), True),
    (["job-failed"], event("run.failed", code=1), False),
    (["job-failed"], event("run.failed", code=1, outcome="failed"), True),
    (["given-up"], event("trigger.given-up"), True),
    (["neighbour"], event("neighbour.leak"), True),
    (["crash-loop"], event("instance.crash-loop"), True),
    *((["crash-loop"], event("instance.crash-loop", failures=n), n in (3, 6, 12, 24)) for n in range(3, 30)),
    *((["oom"], event("instance.exited", oom=True, failures=n), n in (1, 2, 4, 8, 16)) for n in range(1, 30)),
    *((["instance.crash-loop"], event("instance.crash-loop", failures=n), True) for n in (3, 4, 5)),
    (["*"], event("secrets.set"), True),
    (["*"], event("build.log"), False),
    (["*", "notify.*"], event("notify.failed"), False),
    (["deploy.done"], event("deploy.done-not"), False),
    ([], event("deploy.done"), False),
]


@pytest.mark.parametrize(("on", "told", "expected"), CASES)
def test_wants(on: list[str], told: Event, expected: bool) -> None:
    assert wants(told, on) == expected


def test_what_is_wanted_is_of_a_kind_that_is_looked_at() -> None:
    from fourfold.store.tables.events import Which

    for on, told, expected in CASES:
        assert not expected or Which(kinds_of(on)).wants(told.kind)


def test_every_word_of_the_file_is_known() -> None:
    assert KINDS.keys() == ON.keys()
