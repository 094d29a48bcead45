"""What events of all sources share: names, and values that JSON does not have."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

ACCOUNT = "000000000000"
"""Of everything of ours that AWS would give an account: there is none."""


def function_arn(app: str, service: str, region: str) -> str:
    return f"arn:aws:lambda:{region}:{ACCOUNT}:function:{app}-{service}"


def timestamp(epoch: float) -> str:
    """`2019-09-03T19:37:27.192Z`: always with milliseconds, as AWS has them in events."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """As JSON has it: bytes as base64, moments as seconds since the epoch (whole ones as an integer)."""
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(each) for each in value]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return epoch_of(value)
    return value


def epoch_of(moment: datetime) -> float:
    seconds = round(moment.timestamp(), 3)
    return int(seconds) if seconds == int(seconds) else seconds


def encoded(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
