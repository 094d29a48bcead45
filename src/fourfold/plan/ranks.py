"""Which instance is worth more than another."""

from __future__ import annotations

from fourfold.plan.model import Instance


def serves(instance: Instance) -> bool:
    return instance.state == "ready" and instance.routed and instance.sick is None


def worth(instance: Instance) -> tuple[bool, bool, float]:
    """Least worth keeping first: ended, then not serving, then youngest."""
    return (serves(instance), instance.state != "exited", -instance.since)
