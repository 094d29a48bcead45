"""`--since`: how long ago, or a moment."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

import click

from fourfold.cli.options import duration
from fourfold.cli.parameters import Option


def _moment(text: str) -> str:
    """`10m` ago, or a moment, as RFC 3339. Raises click.BadParameter."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC) if "-" in text else None
        moment = moment or datetime.fromtimestamp(time.time() - duration(text), UTC)
    except (ValueError, OverflowError, click.BadParameter):
        raise click.BadParameter(f"expected 10m, 2h or 2026-11-22T08:00:00Z, got {text!r}") from None
    return moment.isoformat().replace("+00:00", "Z")


Since = Annotated[
    str | None, Option("--since", metavar="TIME", parser=_moment, help="Only newer: 10m, 2h, or 2026-11-22T08:00:00Z.")
]
