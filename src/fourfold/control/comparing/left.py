"""Which candidates are there: looked for at each start of a daemon, so that nothing more is imported for it."""

from __future__ import annotations

from fourfold.store.store import Store

TO_TAKE_AWAY = "candidate."
"""And the name of its app: the name in `meta` of a candidate that is there, or about to be; its value is the app that
it runs beside. Nothing else says that an app is to be deleted, so that no user's ever is."""


def left(store: Store) -> list[str]:
    """Names of the apps, or of what there is of them."""
    return sorted(name.removeprefix(TO_TAKE_AWAY) for name in store.meta.beginning(TO_TAKE_AWAY))
