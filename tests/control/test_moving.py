"""A service moves between patterns as it moves between releases: by one rolling deployment, there and back."""

from __future__ import annotations

import pytest

from fourfold.control.goals import goal_of, pattern_of, revision
from fourfold.plan import model as m
from tests.control.life import Life, Want, lived

KEY = "shop.web"


def patterns(life: Life) -> list[str]:
    return sorted(row.pattern for row in life.registry.of_service(KEY))


def deployed(life: Life, *wants: Want) -> None:
    life.up(*(wants or (Want("web", ("/",)),)))
    life.settle()


@lived
def test_there_and_back_is_a_rolling_deployment_like_any_other(life: Life) -> None:
    """The same release answers at every moment, and while it moves instances of both patterns do."""
    deployed(life)
    life.rescale("web", 2)
    life.settle()
    seen: list[list[str]] = []

    def look() -> None:
        assert life.answers("/") == "web 1"
        seen.append(patterns(life))

    life.move("web", "container")
    assert goal_of(life.registry, KEY).rollout.strategy == "rolling"
    life.settle(look)
    assert seen[0] == ["process", "process"] and ["container", "process", "process"] in seen
    assert patterns(life) == ["container", "container"]
    assert {len(each) for each in seen} <= {2, 3, 4}, "one more than wanted, and those that drain"

    life.move("web", "process")
    life.settle(look)
    assert patterns(life) == ["process", "process"]
    deployments = life.registry.store.deployments.of("shop", "web")
    assert [(row.state, row.release) for row in deployments] == [("done", 1)] * 4
    assert [row.pattern for row in deployments] == ["process", "container", "process", "process"]
    told = [event.message for event in life.bus.since(0, "shop", None) if event.kind == "deploy.started"]
    assert told[2:] == ["release 1 as container is being deployed", "release 1 as process is being deployed"]


@lived
def test_a_move_that_fails_leaves_it_where_it_was(life: Life) -> None:
    deployed(life)
    before = life.registry.services[KEY]
    (old,) = life.registry.of_service(KEY)
    life.broken.add(("web", 1))
    life.move("web", "container")
    life.settle(lambda: None if life.answers("/") == "web 1" else pytest.fail("nobody answered"))
    assert life.registry.services[KEY] == before and life.deployment(KEY).state == "rolled-back"
    assert [row.id for row in life.registry.of_service(KEY)] == [old.id]


@lived
def test_the_pattern_that_it_runs_under_is_part_of_its_revision(life: Life) -> None:
    deployed(life)
    life.move("web", "container")
    life.settle()
    row = life.registry.services[KEY]
    assert (row.pattern, pattern_of(row)) == ("process", "container")
    assert revision(row).startswith("1.container.")


FIXED = Want("web", ("/",), port={"fixed": 9000})


def strategy(life: Life) -> str:
    return goal_of(life.registry, KEY).rollout.strategy


@lived
def test_only_who_must_wait_for_a_port_of_the_host_waits(life: Life) -> None:
    """A container has the port at an address of its own: moving there and back loses nothing."""
    deployed(life, FIXED)
    answered: list[str] = []
    life.move("web", "container")
    assert strategy(life) == "rolling"
    life.settle(lambda: answered.append(life.answers("/")))
    life.move("web", "process")
    assert strategy(life) == "rolling"
    life.settle(lambda: answered.append(life.answers("/")))
    assert set(answered) == {"web 1"}
    life.up(FIXED)
    assert strategy(life) == "recreate", "the process of the release before has the port"
    life.settle()
    assert life.deployment(KEY).state == "done"


@lived
def test_a_move_that_is_overtaken_waits_for_the_port_too(life: Life) -> None:
    """The way back is to a container, but an instance of the move that was given up has the port."""
    deployed(life, FIXED)
    life.move("web", "container")
    life.settle()
    life.slow.add("web")
    life.move("web", "process")
    life.step()
    assert patterns(life) == ["container", "process"]
    life.slow.clear()
    life.up(FIXED)
    assert strategy(life) == "recreate"
    life.settle()
    assert life.deployment(KEY).state == "done" and patterns(life) == ["process"]


@lived
def test_the_gateway_is_a_process(life: Life) -> None:
    deployed(life)
    life.executor.execute([m.Start("fourfold.gateway")])
    (gateway,) = life.registry.of_service("fourfold.gateway")
    assert gateway.pattern == "process"
