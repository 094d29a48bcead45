"""What the rows ask of the gateway itself."""

from __future__ import annotations

from fourfold.control.goals import GATEWAY, goal_of
from fourfold.plan.restart import delay
from tests.control.life import Life, Want, lived


@lived
def test_however_often_the_gateway_dies_it_is_back_within_a_second(life: Life) -> None:
    rules = goal_of(life.registry, GATEWAY).restarting
    assert [delay(failures, rules) for failures in range(1, 7)] == [0, 0.1, 0.2, 0.4, 0.5, 0.5]


@lived
def test_the_gateway_runs_while_anything_is_to_be_reached(life: Life) -> None:
    assert goal_of(life.registry, GATEWAY).count == 0
    life.up(Want("web", ("/",)))
    life.settle()
    assert goal_of(life.registry, GATEWAY).count == 1
    life.slow.add("web")
    life.up(Want("web", port=None))
    life.settle()
    assert goal_of(life.registry, GATEWAY).count == 1  # the release before still serves
    life.slow.clear()
    life.settle()
    assert goal_of(life.registry, GATEWAY).count == 0
