"""Changes of a DynamoDB table, as functions get them (AWS Lambda Developer Guide, "Using AWS Lambda with DynamoDB")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fourfold.control.triggers.shapes.common import plain


def record(raw: Mapping[str, Any], arn: str, region: str) -> dict[str, Any]:
    """`raw`: one of `Records` of GetRecords, as boto3 gives it: binary values are bytes, times are moments.

    The Streams API calls its records version 1.0, or 1.1; what functions get is 1.1.
    """
    made = {
        "eventID": raw["eventID"],
        "eventName": raw["eventName"],
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": region,
        "dynamodb": plain(raw["dynamodb"]),
        "eventSourceARN": arn,
    }
    if identity := raw.get("userIdentity"):  # a record that the table's time to live removed
        made["userIdentity"] = {"type": identity.get("Type"), "principalId": identity.get("PrincipalId")}
    return made


def key(raw: Mapping[str, Any]) -> str:
    """What is in order: changes of one item."""
    return json.dumps(plain(raw["dynamodb"]["Keys"]), sort_keys=True)
