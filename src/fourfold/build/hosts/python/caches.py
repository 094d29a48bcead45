"""What outlives guests that have ended: shared libraries' `functools.lru_cache`s, which hold functions and classes, and
what Python itself keeps of each folder that it has imported from, and of each file that a traceback has quoted.
"""

from __future__ import annotations

import functools
import linecache
import sys
import typing
from typing import Any


def forget(shared: str, tree: str) -> None:
    """Empty the caches of the modules below the folder `shared`, and those of `typing`, which fill again as they are
    used; and take out what is of the folder `tree`."""
    kept: tuple[dict[str, Any], ...] = (sys.path_importer_cache, linecache.cache)
    for cache in kept:
        for name in [name for name in list(cache) if f"{name}/".startswith(f"{tree}/")]:
            cache.pop(name, None)
    for module in list(sys.modules.values()):
        if (getattr(module, "__file__", None) or "").startswith(f"{shared}/"):
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()
    anything: Any = typing
    for clean in anything._cleanups:
        clean()
