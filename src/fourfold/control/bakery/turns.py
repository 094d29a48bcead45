"""Whose build is next. Pure: round robin between users, first come first served for each."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

from fourfold.store.tables.bakes import Bake


def in_turn(queued: Sequence[Bake], served: Mapping[str, float]) -> list[Bake]:
    """In the order in which they will be made, if nobody asks for more.

    `queued`: oldest first. `served`: actor -> when one of theirs was begun last; who never had one comes first.
    """
    waiting: dict[str, deque[Bake]] = defaultdict(deque)
    for bake in queued:
        waiting[bake.actor].append(bake)
    # By the time of the last turn, then by how long they wait.
    circle = deque(sorted(waiting, key=lambda actor: (served.get(actor, float("-inf")), waiting[actor][0].created_at)))
    order = []
    while circle:
        actor = circle.popleft()
        order.append(waiting[actor].popleft())
        if waiting[actor]:
            circle.append(actor)
    return order
