"""Records of a Kinesis stream, as functions get them (AWS Lambda Developer Guide, "Using Lambda with Kinesis")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.control.triggers.shapes.common import ACCOUNT, plain


def record(raw: Mapping[str, Any], shard: str, arn: str, region: str) -> dict[str, Any]:
    """`raw`: one of `Records` of GetRecords, as boto3 gives it: Data is bytes, times are moments."""
    sequence = str(raw["SequenceNumber"])
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": raw["PartitionKey"],
            "sequenceNumber": sequence,
            "data": plain(raw["Data"]),
            "approximateArrivalTimestamp": plain(raw["ApproximateArrivalTimestamp"]),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": f"arn:aws:iam::{ACCOUNT}:role/fourfold",
        "awsRegion": region,
        "eventSourceARN": arn,
    }
