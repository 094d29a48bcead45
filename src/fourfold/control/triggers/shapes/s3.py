"""Notifications of S3 buckets, as a queue gives them and as functions get them.

Amazon S3 User Guide, "Event message structure". What stores that speak like S3 leave out is filled in, so that programs
which read it find it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any
from urllib.parse import unquote_plus

UNKNOWN = "unknown"
NOWHERE = "0.0.0.0"
"""Where the request came from, when the notification does not say."""


def notification(body: str) -> list[dict[str, Any]]:
    """The records in a message of the queue; none in what S3 sends to try the queue (s3:TestEvent).

    A message that came by way of an SNS topic has the notification in its envelope. Raises ValueError when it is none.
    """
    told = _object(body)
    if told.get("Type") == "Notification" and isinstance(told.get("Message"), str):
        told = _object(told["Message"])
    if told.get("Event") == "s3:TestEvent":
        return []
    records = told.get("Records")
    if not isinstance(records, list) or not records or not all(map(_is_of_s3, records)):
        raise ValueError("no Records of a bucket in it")
    return records


def _object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _is_of_s3(record: Any) -> bool:
    """With all that decides whether it is wanted."""
    try:
        return all(
            isinstance(each, str)
            for each in (record["eventName"], record["s3"]["bucket"]["name"], record["s3"]["object"]["key"])
        )
    except (KeyError, TypeError):
        return False


def wanted(record: Mapping[str, Any], bucket: str, prefix: str, suffix: str, events: Iterable[str]) -> bool:
    """`events` as buckets have them: `s3:ObjectCreated:*`, `s3:ObjectRemoved:Delete`."""
    s3 = record["s3"]
    key = unquote_plus(s3["object"]["key"])
    name = record["eventName"].removeprefix("s3:")
    return (
        s3["bucket"]["name"] == bucket
        and key.startswith(prefix)
        and key.endswith(suffix)
        and any(fnmatchcase(name, each.removeprefix("s3:")) for each in events)
    )


def complete(record: Mapping[str, Any], message: str, received: str) -> dict[str, Any]:
    """`record` with what is not in it. `message`: what it came in; `received`: when, for one that has no time."""
    s3 = record["s3"]
    request = sha256(f"{message} {s3['object']['key']}".encode()).hexdigest().upper()
    at = record.get("eventTime") or received
    bucket = {"arn": f"arn:aws:s3:::{s3['bucket']['name']}", "ownerIdentity": {"principalId": UNKNOWN}} | s3["bucket"]
    key = s3["object"]["key"].replace("%2F", "/")  # S3 does not encode these, some others do
    thing = {"sequencer": _sequencer(at)} | s3["object"] | {"key": key}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": at,
        "userIdentity": {"principalId": UNKNOWN},
        "requestParameters": {"sourceIPAddress": NOWHERE},
        "responseElements": {"x-amz-request-id": request[:16], "x-amz-id-2": request},
        **record,
        "s3": {"s3SchemaVersion": "1.0", "configurationId": UNKNOWN} | s3 | {"bucket": bucket, "object": thing},
    }


def _sequencer(at: str) -> str:
    """Hexadecimal, greater for what happened later: so are S3's own, for one key."""
    try:
        moment = datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return "0" * 18
    return f"{int(moment * 1_000_000):018X}"
