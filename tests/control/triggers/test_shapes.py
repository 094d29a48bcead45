"""Events are as AWS gives them: the models of aws-lambda-powertools take them, and values arrive as they were sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from aws_lambda_powertools.utilities.parser.models import (
    DynamoDBStreamModel,
    KinesisDataStreamModel,
    S3Model,
    SesModel,
)

from fourfold.control.triggers.shapes import dynamodb, kinesis, s3, ses
from fourfold.control.triggers.shapes.common import encoded

MOMENT = datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC)
ARN = "arn:aws:lambda:us-east-1:000000000000:function:app-web"


def through_json(value: Any) -> Any:
    return json.loads(encoded(value))


def of_bucket(key: str = "in/a+b%C3%A9.png", event: str = "ObjectCreated:Put", **others: Any) -> dict[str, Any]:
    """As moto has it, which leaves out all that it can."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-03-01T12:00:00.250Z",
        "eventName": event,
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "1",
            "bucket": {"name": "photos", "arn": "arn:aws:s3:::photos"},
            "object": {"key": key, "size": 10, "eTag": "0123"},
        },
        **others,
    }


def test_s3_is_completed() -> None:
    event = through_json({"Records": [s3.complete(of_bucket(), "m-1", "2026-03-01T12:00:01.000Z")]})
    S3Model.model_validate(event, strict=False)
    record = event["Records"][0]
    assert record["s3"]["object"]["key"] == "in/a+b%C3%A9.png"
    assert record["s3"]["bucket"]["ownerIdentity"] == {"principalId": "unknown"}
    later = s3.complete(of_bucket(eventTime="2026-03-01T12:00:00.251Z"), "m-2", "")
    assert later["s3"]["object"]["sequencer"] > record["s3"]["object"]["sequencer"]


def test_s3_keeps_what_the_store_says() -> None:
    told = of_bucket(userIdentity={"principalId": "AWS:AIDA"}, requestParameters={"sourceIPAddress": "192.0.2.1"})
    told["s3"]["object"]["sequencer"] = "0055AED6DCD90281E5"
    made = s3.complete(told, "m-1", "")
    assert made["userIdentity"] == {"principalId": "AWS:AIDA"}
    assert made["requestParameters"] == {"sourceIPAddress": "192.0.2.1"}
    assert made["s3"]["object"]["sequencer"] == "0055AED6DCD90281E5"


def test_s3_in_an_envelope_and_when_it_is_tried() -> None:
    body = json.dumps({"Records": [of_bucket()]})
    assert s3.notification(body) == s3.notification(json.dumps({"Type": "Notification", "Message": body}))
    assert s3.notification(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos"})) == []


@pytest.mark.parametrize(
    "body", ["", "hello", "[]", "{}", '{"Records": []}', '{"Records": [{"s3": 1}]}', '{"Records": 1}']
)
def test_what_is_no_notification(body: str) -> None:
    with pytest.raises(ValueError):
        s3.notification(body)


@pytest.mark.parametrize(
    ("rule", "is_wanted"),
    [
        ({}, True),
        ({"prefix": "in/a bé", "suffix": ".png"}, True),  # keys are compared decoded
        ({"prefix": "out/"}, False),
        ({"suffix": ".jpg"}, False),
        ({"bucket": "others"}, False),
        ({"events": ["s3:ObjectRemoved:*"]}, False),
        ({"events": ["s3:ObjectRemoved:*", "s3:ObjectCreated:Put"]}, True),
        ({"events": ["s3:ObjectCreated:Copy"]}, False),
    ],
)
def test_s3_filters(rule: dict[str, Any], is_wanted: bool) -> None:
    rules = {"bucket": "photos", "prefix": "", "suffix": "", "events": ["s3:ObjectCreated:*"]} | rule
    assert s3.wanted(of_bucket(), **rules) is is_wanted


def test_kinesis() -> None:
    raw = {
        "SequenceNumber": "49590338271490256608559692538361571095921575989136588898",
        "ApproximateArrivalTimestamp": MOMENT,
        "Data": b"\x00binary\xff",
        "PartitionKey": "user-1",
    }
    arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
    event = through_json({"Records": [kinesis.record(raw, "shardId-000000000006", arn, "eu-west-1")]})
    parsed = KinesisDataStreamModel.model_validate(event).Records[0]
    assert parsed.kinesis.data == b"\x00binary\xff"
    assert parsed.kinesis.approximateArrivalTimestamp == MOMENT.timestamp()
    assert parsed.eventID == f"shardId-000000000006:{raw['SequenceNumber']}"


def test_dynamodb() -> None:
    raw = {
        "eventID": "1f",
        "eventName": "MODIFY",
        "eventVersion": "1.0",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": MOMENT.replace(microsecond=0),
            "Keys": {"Id": {"N": "101"}, "Part": {"B": b"\xff\x00"}},
            "NewImage": {"Id": {"N": "101"}, "Part": {"B": b"\xff\x00"}, "In": {"L": [{"BS": [b"1"]}]}},
            "SequenceNumber": "222",
            "SizeBytes": 26,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "userIdentity": {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"},
    }  # fmt: skip
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/images/stream/2026-03-01T00:00:00.000"
    event = through_json({"Records": [dynamodb.record(raw, arn, "us-east-1")]})
    DynamoDBStreamModel.model_validate(event)
    assert event["Records"][0]["eventVersion"] == "1.1"
    assert event["Records"][0]["dynamodb"]["Keys"]["Part"] == {"B": "/wA="}
    assert event["Records"][0]["dynamodb"]["NewImage"]["In"] == {"L": [{"BS": ["MQ=="]}]}
    assert event["Records"][0]["dynamodb"]["ApproximateCreationDateTime"] == 1_772_366_400
    assert dynamodb.key(raw) == dynamodb.key({"dynamodb": {"Keys": dict(reversed(raw["dynamodb"]["Keys"].items()))}})  # type: ignore[index]


MAIL = b"""\
Return-Path: <ada@example.com>
From: "Lovelace, Ada" <ada@example.com>
To: in@example.com,
 =?utf-8?q?B=C3=A9la?= <bela@example.com>
Reply-To: reply@example.com
Subject: =?utf-8?b?xZF6?= long
\tsubject
Date: Sun, 1 Mar 2026 12:00:00 +0000
Message-ID: <1@example.com>
X-Odd: \xff\xfe

The body is not told.
""".replace(b"\n", b"\r\n")


def mail(raw: bytes, sender: str = "ada@example.com") -> ses.Mail:
    return ses.Mail("0" * 40, sender, ("in@example.com", "bela@example.com"), raw, MOMENT.timestamp())


def test_ses() -> None:
    event = through_json(ses.event(mail(MAIL), ["in@example.com"], ARN, MOMENT.timestamp() + 0.5))
    SesModel.model_validate(event)
    told = event["Records"][0]["ses"]
    assert told["receipt"]["recipients"] == ["in@example.com"]
    assert told["receipt"]["processingTimeMillis"] == 500
    assert told["receipt"]["action"] == {"type": "Lambda", "functionArn": ARN, "invocationType": "Event"}
    assert told["mail"]["destination"] == ["in@example.com", "bela@example.com"]
    assert told["mail"]["headersTruncated"] is False
    assert told["mail"]["commonHeaders"] == {
        "returnPath": "ada@example.com",
        "from": ['"Lovelace, Ada" <ada@example.com>'],
        "to": ["in@example.com", "Béla <bela@example.com>"],
        "replyTo": ["reply@example.com"],
        "subject": "őz long subject",
        "date": "Sun, 1 Mar 2026 12:00:00 +0000",
        "messageId": "<1@example.com>",
    }
    assert "not told" not in json.dumps(event)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\r\nbody", b"no colon here", b"Subject: =?nonsense?q?=ff?=\r\n\r\n", b"From: \xff\r\nTo: <<(\r\n\r\n"],
)
def test_ses_of_whatever_comes(raw: bytes) -> None:
    SesModel.model_validate(through_json(ses.event(mail(raw, sender=""), ["in@example.com"], ARN, 0)))


def test_ses_truncates_headers() -> None:
    raw = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 900) for number in range(20)) + b"\r\nbody"
    told = ses.event(mail(raw), ["in@example.com"], ARN, 0)["Records"][0]["ses"]["mail"]
    assert told["headersTruncated"] is True
    assert 10 <= len(told["headers"]) < 20
