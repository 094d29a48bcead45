"""What happens, one step after the other, from a seed. Pure: the same seed gives the same steps."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

T = TypeVar("T", bound=str)
What = Literal[
    "deploy", "failing", "slow", "promote", "abort", "overtake",
    "scale", "auto", "rollback", "restart", "stop", "move", "gc", "nothing",
]  # fmt: skip
Strategy = Literal["rolling", "canary", "blue-green"]
Fault = Literal["", "daemon", "spawner", "both", "instance", "gateway", "disk", "clock"]

CHANGES: dict[What, int] = {
    "deploy": 6, "failing": 2, "slow": 1, "promote": 2, "abort": 2, "overtake": 2,
    "scale": 2, "auto": 1, "rollback": 2, "restart": 2, "stop": 1, "gc": 1, "nothing": 2,
}  # fmt: skip
"""How often each comes, relative to the others. `slow`: health checks begin to take as long as they may; `promote`,
`abort`, `overtake`: a deployment waits for somebody, who says go on, go back, or deploys something else; `auto`: the
load says how many again; `stop`: of the service that depends on the other, or its start."""
STRATEGIES: dict[Strategy, int] = {"rolling": 2, "canary": 1, "blue-green": 1}
FAULTS: dict[Fault, int] = {
    "": 4, "daemon": 4, "spawner": 2, "both": 2, "instance": 3, "gateway": 1, "disk": 2, "clock": 2,
}  # fmt: skip
LEAST, MOST = 2, 4
"""Instances: with less than two, the death of one loses requests by itself."""
LATEST = 12
"""Events of a change after which its fault comes at the latest; a change that has fewer is over by then."""
JUMPS = (-7200.0, -90.0, 90.0, 7200.0)
"""Seconds by which the clock is set: more and less than any timeout, to and fro."""


@dataclass(frozen=True)
class Step:
    number: int
    what: What
    fault: Fault
    strategy: Strategy
    """Of a deployment; of one that waits for somebody, canary or blue-green."""
    after: int
    """Events of the change after which the fault comes."""
    count: int
    """Instances, for `scale`."""
    jump: float
    """Seconds, for `clock`."""
    victim: int
    """Which instance, for `instance`: an index, modulo how many there are."""

    def __str__(self) -> str:
        what = f"scale to {self.count}" if self.what == "scale" else self.what
        what += f" ({self.strategy})" if self.what in ("deploy", "failing", "promote", "abort", "overtake") else ""
        fault = f"clock {self.jump:+g} s" if self.fault == "clock" else self.fault
        return f"step {self.number}: {what}" + (f", with {fault} after {self.after} events" if fault else "")


def steps(seed: int, patterns: int = 1) -> Iterator[Step]:
    """Without end. `patterns`: how many the service can move between."""
    chance = random.Random(seed)
    changes = CHANGES | ({"move": 3} if patterns > 1 else {})
    number = 0
    while True:
        number += 1
        what = _one(chance, changes)
        by_hand = what in ("promote", "abort", "overtake")
        strategies = {each: often for each, often in STRATEGIES.items() if not (by_hand and each == "rolling")}
        yield Step(
            number,
            what=what,
            fault=_one(chance, FAULTS),
            strategy=_one(chance, strategies),
            after=chance.randint(0, LATEST),
            count=chance.randint(LEAST, MOST),
            jump=chance.choice(JUMPS),
            victim=chance.randrange(MOST),
        )


def _one(chance: random.Random, weighted: dict[T, int]) -> T:
    return chance.choices(list(weighted), list(weighted.values()))[0]
