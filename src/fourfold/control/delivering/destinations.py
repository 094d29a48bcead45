"""Where events go that were given up: another service of the app, or an SQS queue. Pure but for `send`.

The record is AWS's (Lambda developer guide, "Capturing records of Lambda asynchronous invocations").
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fourfold.clock import rfc3339
from fourfold.control.triggers.aws import REGION, Aws, access, region_of
from fourfold.store.tables.queue import EventRow

ACCOUNT = "000000000000"
SOURCE = "on_failure"


def destination(row: EventRow, on_failure: str | None, is_service: bool, now: float) -> EventRow | None:
    """The event that tells of one that was given up. None: nobody is told; what tells of another is not told again.

    `is_service`: `on_failure` names a service of the app, not a queue.
    """
    if on_failure is None or row.source == SOURCE:
        return None
    service, target = (on_failure, "") if is_service else (row.service, on_failure)
    return EventRow(0, str(uuid.uuid4()), row.app, service, record(row, now), SOURCE, now, now, target=target)


def record(row: EventRow, now: float) -> bytes:
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{row.app}-{row.service}:$LATEST"
    body: dict[str, Any] = {
        "version": "1.0",
        "timestamp": rfc3339(round(now, 3)),
        "requestContext": {
            "requestId": row.id,
            "functionArn": arn,
            "condition": row.reason,
            "approximateInvokeCount": row.attempts,
        },
        "requestPayload": _json(row.payload),
    }
    if row.attempts:
        context = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": row.error}
        body |= {"responseContext": context, "responsePayload": _json(row.answer)}
    return json.dumps(body, separators=(",", ":")).encode()


def _json(payload: bytes) -> Any:
    """As it is; text when it is no JSON."""
    try:
        return json.loads(payload) if payload else None
    except (ValueError, RecursionError):
        return payload.decode(errors="replace")


@dataclass(frozen=True)
class _Anywhere:
    """An SQS queue has no trigger that says where it is."""

    endpoint: str | None = None
    region: str | None = None


async def send(aws: Aws, target: str, payload: bytes, environ: Mapping[str, str]) -> None:
    """To an SQS queue (name, url or ARN), with credentials, region and endpoint of `environ`. AwsError: not."""
    who = access(_Anywhere(environ.get("AWS_ENDPOINT_URL_SQS") or None), environ, region_of(target))
    url = target
    if "://" not in target:
        url = (await aws.call(who, "sqs", "get_queue_url", QueueName=target.rpartition(":")[2]))["QueueUrl"]
    await aws.call(who, "sqs", "send_message", QueueUrl=url, MessageBody=payload.decode(errors="replace"))
