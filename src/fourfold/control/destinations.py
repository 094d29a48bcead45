"""Where events go that were given up: another service of the app, or an SQS queue. Pure but for `send`.

The record is AWS's (Lambda developer guide, "Capturing records of Lambda asynchronous invocations").
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from fourfold.clock import rfc3339
from fourfold.errors import WorldError
from fourfold.store.queue import EventRow

REGION = "us-east-1"
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
    except ValueError:
        return payload.decode(errors="replace")


async def send(target: str, payload: bytes, environ: Mapping[str, str]) -> None:
    """To an SQS queue (name, url or ARN), with credentials, region and endpoint of `environ`. WorldError: not."""
    await asyncio.to_thread(_send, target, payload, environ)


def _send(target: str, payload: bytes, environ: Mapping[str, str]) -> None:
    import boto3  # it takes half a second, and few need it
    from botocore.exceptions import BotoCoreError, ClientError

    arn = re.fullmatch(r"arn:[^:]*:sqs:([^:]*):[^:]*:(.+)", target)
    region = arn[1] if arn else environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or REGION
    try:
        client = boto3.client(
            "sqs",
            region_name=region,
            endpoint_url=environ.get("AWS_ENDPOINT_URL_SQS") or environ.get("AWS_ENDPOINT_URL"),
            aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=environ.get("AWS_SESSION_TOKEN"),
        )
        url = target if "://" in target else client.get_queue_url(QueueName=arn[2] if arn else target)["QueueUrl"]
        client.send_message(QueueUrl=url, MessageBody=payload.decode(errors="replace"))
    except (BotoCoreError, ClientError, ValueError) as error:
        raise WorldError(f"cannot tell the SQS queue {target}: {error}") from error
