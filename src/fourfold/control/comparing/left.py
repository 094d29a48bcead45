"""Which candidates are there: looked for at each start of a daemon, so that nothing more is imported for it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fourfold.store.model import AppRow
from fourfold.store.store import Store

PREFIX = "compare-"
"""Of the names of their apps."""
TO_TAKE_AWAY = "candidate."
"""And the name of its app: the name in `meta` of a candidate that is there, or about to be; its value is the app that
it runs beside. Nothing else says that an app is to be deleted, so that no user's ever is."""


def is_candidate(name: str, apps: Mapping[str, AppRow]) -> bool:
    """Also one that is gone already, or is not there yet; a user's app may have such a name too."""
    if (row := apps.get(name)) is not None:
        return row.candidate_of is not None
    return re.fullmatch(rf"{PREFIX}[0-9a-f]{{4}}-[a-z]+", name) is not None


def left(store: Store) -> list[str]:
    """Names of the apps, or of what there is of them."""
    return sorted(name.removeprefix(TO_TAKE_AWAY) for name in store.meta.beginning(TO_TAKE_AWAY))
