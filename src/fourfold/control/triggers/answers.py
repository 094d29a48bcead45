"""What a service's answer means for the batch it was given, and what is told of a batch that was given up: pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fourfold.control.triggers.shapes.common import encoded, timestamp
from fourfold.control.triggers.streams import GivenUp, Outcome, Record
from fourfold.functions.model import Answer

BUSY = (429, 503)
SHOWN = 200
"""Characters of an answer, in reasons."""


def outcome_of(answer: Answer, batch: Sequence[Record], partial: bool) -> Outcome:
    """`partial`: the answer names what failed, as AWS has it (Developer Guide, "Report batch item failures").

    An empty answer, or an empty list, is success. An answer that cannot be understood fails the whole batch.
    """
    if answer.status in BUSY:
        return Outcome("busy", f"answered with {answer.status}")
    if answer.error or not 200 <= answer.status < 300:
        said = answer.payload[: 4 * SHOWN].decode(errors="replace")[:SHOWN]
        what = answer.error or f"answered with {answer.status}"
        return Outcome("failed", f"{what}: {said}" if said else what, error=answer.error, version=answer.version)
    if not partial or not answer.payload.strip():
        return Outcome("done", version=answer.version)
    try:
        failed = _failed(json.loads(answer.payload), {str(record.number): record.number for record in batch})
    except (ValueError, RecursionError) as error:
        reason = f"cannot understand its answer, so all of the batch failed: {error}"
        return Outcome("failed", reason, version=answer.version)
    if not failed:
        return Outcome("done", version=answer.version)
    reason = f"named {len(failed)} of {len(batch)} records as failed"
    return Outcome("failed", reason, min(failed), version=answer.version)


def _failed(answer: Any, known: dict[str, int]) -> list[int]:
    """The sequence numbers that it names. Raises ValueError."""
    if answer is None:
        return []
    if not isinstance(answer, dict):
        raise ValueError("not an object with batchItemFailures")
    items = answer.get("batchItemFailures")
    if items is None:
        return []
    if not isinstance(items, list):
        raise ValueError("batchItemFailures is not a list")
    names = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in items]
    if unknown := [name for name in names if not isinstance(name, str) or name not in known]:
        raise ValueError(f"itemIdentifier {unknown[0]!r} is none of the batch's sequence numbers")
    return [known[str(name)] for name in names]


def given_up(gone: GivenUp, kind: str, shard: str, stream: str, function: str, request: str, now: float) -> bytes:
    """What the failure destination gets: no records, but where they are (Developer Guide, "On-failure destinations").

    `kind`: kinesis or dynamodb; `stream`, `function`: ARNs; `request`: a UUID.
    """
    first, last = gone.records[0], gone.records[-1]
    told: dict[str, Any] = {
        "requestContext": {
            "requestId": request,
            "functionArn": function,
            "condition": gone.condition,
            "approximateInvokeCount": gone.invoked,
        }
    }
    if gone.last is not None and gone.invoked:
        context = {"statusCode": 200, "executedVersion": gone.last.version, "functionError": gone.last.error or None}
        told["responseContext"] = {name: value for name, value in context.items() if value is not None}
    told |= {
        "version": "1.0",
        "timestamp": timestamp(now),
        "KinesisBatchInfo" if kind == "kinesis" else "DDBStreamBatchInfo": {
            "shardId": shard,
            "startSequenceNumber": str(first.number),
            "endSequenceNumber": str(last.number),
            "approximateArrivalOfFirstRecord": timestamp(first.arrived),
            "approximateArrivalOfLastRecord": timestamp(last.arrived),
            "batchSize": len(gone.records),
            "streamArn": stream,
        },
    }
    return encoded(told)
