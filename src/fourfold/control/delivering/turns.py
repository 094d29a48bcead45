"""Whose turn it is to have an event while a release is deployed in steps; and what became of those events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fourfold.control.deploying.stages import NONE
from fourfold.control.goals import shares
from fourfold.control.registry import Registry, key_of
from fourfold.store.model import InstanceRow


class Turns:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._weights: dict[str, Mapping[str, int]] = {}
        """Service -> weights that `_taken` has been counted under."""
        self._taken: dict[str, dict[str, int]] = {}
        self.answers: dict[str, tuple[int, int]] = {}
        """Instance -> events and errors, of services that are deployed in steps."""

    def next(self, key: str, ready: Sequence[InstanceRow]) -> InstanceRow | None:
        """By the weights that the gateway has; None: it is at no step, or nothing is ready that is to have any."""
        weights = shares(self._registry, key)
        open_ones = [row for row in ready if weights.get(row.id)]
        if not open_ones:
            if not weights:
                self._forget(key)
            return None
        if self._weights.get(key) != weights:
            self._weights[key], self._taken[key] = weights, {}
        taken = self._taken[key]
        # Halves, so that the first turn is not the one of whoever has the least weight.
        chosen = min(open_ones, key=lambda row: ((taken.get(row.id, 0) + 0.5) / weights[row.id], row.id))
        taken[chosen.id] = taken.get(chosen.id, 0) + 1
        return chosen

    def ended(self, row: InstanceRow, failed: bool) -> None:
        if key_of(row) in self._weights:
            events, errors = self.answers.get(row.id, NONE)
            self.answers[row.id] = (events + 1, errors + failed)

    def _forget(self, key: str) -> None:
        if self._weights.pop(key, None) is not None:
            self._taken.pop(key)
            mine = {row.id for row in self._registry.of_service(key)}
            self.answers = {name: each for name, each in self.answers.items() if name not in mine}
