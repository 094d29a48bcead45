"""Questions and answers on one connection: each answer reaches who asked, once, in whatever order they come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fourfold.supervise.spawner.questions import Gone, Questions


async def ask(questions: Questions, at_once: Callable[[Any], None] | None = None) -> Any:
    with questions.asked(at_once) as (_, answer):
        return await answer


def asking(test: Callable[[Questions], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        async def both() -> None:
            await test(Questions())

        asyncio.run(both())

    run.__name__ = test.__name__
    return run


@asking
async def test_answers_in_any_order(questions: Questions) -> None:
    both = asyncio.gather(ask(questions), ask(questions))
    await asyncio.sleep(0)
    assert questions.answer(2, "two") and questions.answer(1, "one")
    assert tuple(await both) == ("one", "two") and len(questions) == 0


@asking
async def test_an_answer_is_taken_before_anything_later(questions: Questions) -> None:
    taken: list[int] = []
    task = asyncio.ensure_future(ask(questions, taken.append))
    await asyncio.sleep(0)
    questions.answer(1, 7)
    assert taken == [7] and not task.done()
    assert await task == 7


@asking
async def test_what_is_wrong_reaches_who_asked(questions: Questions) -> None:
    def burst(answer: Any) -> None:
        raise ValueError(answer)

    both = asyncio.gather(ask(questions, burst), ask(questions), return_exceptions=True)
    await asyncio.sleep(0)
    questions.answer(1, "x")
    questions.refuse(2, RuntimeError("no"))
    assert [repr(error) for error in await both] == ["ValueError('x')", "RuntimeError('no')"]


@asking
async def test_answers_that_nobody_waits_for(questions: Questions) -> None:
    task = asyncio.ensure_future(ask(questions))
    await asyncio.sleep(0)
    assert not questions.answer(2, "") and not questions.refuse("1", ValueError()) and not questions.answer(None, "")
    assert questions.answer(1, "first") and not questions.answer(1, "second")
    assert await task == "first"
    task = asyncio.ensure_future(ask(questions))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert not questions.answer(2, "") and len(questions) == 0
    with pytest.raises(TypeError):
        questions.answer([], "")


@asking
async def test_no_answer_comes_any_more(questions: Questions) -> None:
    both = asyncio.gather(ask(questions), ask(questions), return_exceptions=True)
    await asyncio.sleep(0)
    questions.answer(1, "in time")
    questions.lose()
    first, second = await both
    assert first == "in time" and isinstance(second, Gone)
