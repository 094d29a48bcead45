"""Which candidates are there: looked for at each start of a daemon, so that nothing more is imported for it."""

from __future__ import annotations

from fourfold.control.parts import Parts

TO_TAKE_AWAY = "candidate."
"""And the name of its app: the name in `meta` of a candidate that is there, or about to be."""


def left(parts: Parts) -> list[str]:
    """Names of the apps, or of what there is of them."""
    kept = {name.removeprefix(TO_TAKE_AWAY) for name in parts.store.meta.beginning(TO_TAKE_AWAY)}
    return sorted(kept | {name for name, row in parts.registry.apps.items() if row.candidate_of is not None})
