"""Webhooks are told of each event at least once and in order, whatever the receiver, the daemon or a file does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from fourfold.control.notifying import notifying
from fourfold.control.notifying.notifying import Answer, Notifying
from fourfold.errors import UserError
from fourfold.spec.app import App
from tests.control.rig import Rig, eventually, rigged
from tests.store.samples import app_row

URL = "https://hooks.example.com/services/secret-token"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "FIRST_SECONDS", 0.001)
    monkeypatch.setattr(notifying, "MOST_SECONDS", 0.01)
    monkeypatch.setattr(notifying, "LOOK_SECONDS", 0.01)


class Receiver:
    """Answers with what `answers` has next, then well; notes what it took."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.tries: list[str] = []
        self.taken: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.urls: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    async def post(self, url: str, content: bytes, headers: dict[str, str]) -> Answer:
        await self.gate.wait()
        message = str(json.loads(content)["message"])
        self.urls.add(url)
        self.tries.append(message)
        self.headers.append(headers)
        answer = self.answers.pop(0) if self.answers else Answer()
        if not answer.error:
            self.taken.append(message)
        return answer


def app(*hooks: dict[str, Any]) -> App:
    return App.model_validate({"app": "shop", "services": {"web": {"source": "./x"}}, "notify": list(hooks)})


def bring(rig: Rig, told: Notifying, *hooks: dict[str, Any]) -> None:
    """As an `up` does."""
    wanted = app(*hooks)
    told.hooks.check(wanted)
    store = told.hooks.storing(wanted)
    with rig.registry.transaction():
        rig.registry.put_app(app_row("shop"))
        store()


@asynccontextmanager
async def daemon(rig: Rig, receiver: Receiver) -> AsyncIterator[Notifying]:
    told = Notifying(rig.registry, rig.bus, rig.clock, receiver.post)
    running = asyncio.create_task(told.run())
    try:
        yield told
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def happen(rig: Rig, message: str, kind: str = "deploy.done", app: str = "shop", **data: Any) -> None:
    rig.bus.emit(kind, message, app=app, service="web", **data)


HOOK = {"url": URL, "on": ["deployed"]}


@rigged
async def test_from_the_up_on_in_order_and_not_twice(rig: Rig) -> None:
    receiver = Receiver()
    happen(rig, "before")
    async with daemon(rig, receiver) as told:
        bring(rig, told, HOOK)
        for number in range(5):
            happen(rig, f"{number}")
        happen(rig, "another kind", "deploy.failed")
        happen(rig, "another app", app="blog")
        await eventually(lambda: len(receiver.taken) == 5)
        bring(rig, told, HOOK)  # the same file again
        happen(rig, "5")
        await eventually(lambda: len(receiver.taken) == 6)
    async with daemon(rig, receiver) as told:
        happen(rig, "6")
        await eventually(lambda: len(receiver.taken) == 7)
        (view,) = told.hooks.views("shop")
    assert receiver.taken == [str(number) for number in range(7)] == receiver.tries
    assert receiver.urls == {URL}
    assert (view.host, view.delivered, view.given_up, view.error) == ("https://hooks.example.com", 7, 0, None)


@rigged
async def test_what_is_not_taken_is_tried_again_and_told(rig: Rig) -> None:
    receiver = Receiver(*[Answer("it answers 500")] * 3)
    async with daemon(rig, receiver) as told:
        bring(rig, told, HOOK | {"on": ["*"]})
        happen(rig, "a")
        happen(rig, "b")
        await eventually(lambda: receiver.taken == ["a", "b"])
        assert receiver.tries == ["a", "a", "a", "a", "b"]
        assert len({each["webhook-id"] for each in receiver.headers[:4]}) == 1
        await eventually(lambda: told.hooks.views("shop")[0].delivered == 2)
        assert told.hooks.troubles() == [] and [check.state for check in told.hooks.checks()] == ["ok"]
    events = [event for event in rig.bus.since(0) if event.kind.startswith("notify.")]
    assert [event.kind for event in events] == ["notify.failed", "notify.recovered"]
    assert events[0].message == "the webhook at https://hooks.example.com does not take events: it answers 500"


@rigged
async def test_while_it_fails_others_go_on_and_a_new_daemon_takes_up(rig: Rig) -> None:
    bad, good = Receiver(*[Answer("no answer")] * 1000), Receiver()

    async def post(url: str, content: bytes, headers: dict[str, str]) -> Answer:
        return await (bad if "bad" in url else good).post(url, content, headers)

    hooks = [HOOK | {"url": "http://bad.example/x"}, HOOK | {"url": "http://good.example/x"}]
    both = Receiver()
    both.post = post  # type: ignore[method-assign]
    async with daemon(rig, both) as told:
        bring(rig, told, *hooks)
        happen(rig, "a")
        happen(rig, "b")
        await eventually(lambda: good.taken == ["a", "b"] and len(bad.tries) > 3)
        (trouble,) = told.hooks.troubles("shop")
        assert "http://bad.example of shop takes no events since 1970-01-12T13:46:40Z: no answer" in trouble
        assert [check.state for check in told.hooks.checks()] == ["warning"]
    bad.answers.clear()
    async with daemon(rig, both):
        await eventually(lambda: bad.taken == ["a", "b"])
    assert good.taken == ["a", "b"]


@rigged
async def test_what_it_will_never_take_is_given_up(rig: Rig) -> None:
    receiver = Receiver(Answer("it answers 400", final=True))
    async with daemon(rig, receiver) as told:
        bring(rig, told, HOOK)
        happen(rig, "a")
        happen(rig, "b")
        await eventually(lambda: receiver.taken == ["b"])
        await eventually(lambda: told.hooks.views("shop")[0].delivered == 1)
        assert told.hooks.views("shop")[0].given_up == 1


@rigged
async def test_what_is_too_old_or_too_much_is_given_up(rig: Rig) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notifying, "KEPT", 3)
        receiver = Receiver(*[Answer("no answer")] * 10_000)
        async with daemon(rig, receiver) as told:
            bring(rig, told, HOOK)
            happen(rig, "0")
            await eventually(lambda: len(receiver.tries) > 2)
            for number in range(1, 7):
                happen(rig, f"{number}")
            await eventually(lambda: receiver.tries[-1] == "4")
            rig.clock.time += 25 * 3600
            happen(rig, "new")
            receiver.answers.clear()
            await eventually(lambda: "new" in receiver.taken)
            await eventually(lambda: told.hooks.views("shop")[0].delivered > 0)
            view = told.hooks.views("shop")[0]
    assert set(receiver.taken) <= {"4", "new"} and view.given_up + view.delivered == 8


@rigged
async def test_a_file_s_change_counts_at_once(rig: Rig) -> None:
    receiver = Receiver()
    async with daemon(rig, receiver) as told:
        bring(rig, told, HOOK)
        happen(rig, "a")
        await eventually(lambda: receiver.taken == ["a"])
        receiver.gate.clear()
        happen(rig, "b")  # is being sent when the file changes
        await asyncio.sleep(0)
        bring(rig, told, HOOK | {"on": ["deployed", "unready"]})
        receiver.gate.set()
        happen(rig, "c", "instance.unready")
        await eventually(lambda: receiver.taken[-1:] == ["c"] and told.hooks.views("shop")[0].delivered >= 3)
        assert list(dict.fromkeys(receiver.taken)) == ["a", "b", "c"]
        bring(rig, told)
        assert told.hooks.views("shop") == []
        happen(rig, "d")
        bring(rig, told, HOOK)
        happen(rig, "e")
        await eventually(lambda: receiver.taken[-1] == "e")
        assert "d" not in receiver.taken
        with rig.registry.transaction():
            for row in rig.registry.of_app("shop"):
                rig.registry.remove_service(row)
            rig.registry.remove_app("shop")
        await eventually(lambda: rig.store.hooks.all() == [])


@rigged
async def test_it_is_signed_with_a_secret_of_the_app(rig: Rig) -> None:
    receiver = Receiver()
    async with daemon(rig, receiver) as told:
        hook = HOOK | {"secret": "HOOK_KEY"}
        with pytest.raises(UserError, match="HOOK_KEY of app shop: not set yet"):
            bring(rig, told, hook)
        rig.store.secrets.set_many("shop", {"HOOK_KEY": "s3cret"})
        bring(rig, told, hook)
        assert told.hooks.uses("shop", "HOOK_KEY")
        happen(rig, "a")
        await eventually(lambda: receiver.taken == ["a"])
        assert receiver.headers[0]["webhook-signature"].startswith("v1,")
        rig.store.secrets.remove("shop", ["HOOK_KEY"])
        happen(rig, "b")
        await eventually(lambda: bool(told.hooks.troubles("shop")))
        rig.store.secrets.set_many("shop", {"HOOK_KEY": "another"})
        await eventually(lambda: receiver.taken == ["a", "b"])


@rigged
async def test_a_test_is_sent_once_and_is_no_event(rig: Rig) -> None:
    receiver = Receiver(Answer("it answers 404", final=True))
    told = Notifying(rig.registry, rig.bus, rig.clock, receiver.post)
    bring(rig, told, HOOK)
    before = rig.bus.last
    (first,) = await told.test("shop", "ann")
    (second,) = await told.test("shop", "ann")
    assert (first.error, second.error) == ("it answers 404", None)
    assert rig.bus.last == before and told.hooks.views("shop")[0].delivered == 0


@rigged
async def test_nothing_shows_what_may_be_secret_in_a_url(rig: Rig) -> None:
    receiver = Receiver(Answer("no answer"))
    async with daemon(rig, receiver) as told:
        bring(rig, told, HOOK)
        happen(rig, "a")
        await eventually(lambda: receiver.taken == ["a"])
        shown = [*map(repr, told.hooks.views("shop")), *map(repr, rig.bus.since(0)), *map(repr, rig.store.hooks.all())]
    assert not any("secret-token" in each for each in shown)
    assert b"secret-token" not in b"".join(file.read_bytes() for file in rig.paths.state.glob("*.db*"))
