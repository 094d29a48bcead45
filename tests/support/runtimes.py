"""What this machine has, by the names that `runtime` takes: Debian 12 comes with others than Debian 13."""

from __future__ import annotations

import os
from functools import cache

from fourfold.build.host import find_host


def python() -> str:
    """`python3.11`"""
    return _default("python")


def java() -> str:
    """`java17`"""
    return _default("java")


@cache
def _default(language: str) -> str:
    return find_host(os.environ).family(language)[0].name
