"""What shared libraries remember of guests that have ended: their `functools.lru_cache`s hold functions and classes."""

from __future__ import annotations

import functools
import sys
import typing
from typing import Any


def forget(folder: str) -> None:
    """Empty the caches of the modules below `folder`, and those of `typing`. They fill again as they are used."""
    for module in list(sys.modules.values()):
        if (getattr(module, "__file__", None) or "").startswith(f"{folder}/"):
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()
    anything: Any = typing
    for clean in anything._cleanups:
        clean()
