"""Ids of operations, builds, instances and runs."""

from __future__ import annotations

import secrets

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters and digits that people mix up."""


def letters(count: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(count))
