"""What answers mean, and what a failure destination is told."""

from __future__ import annotations

import json

import pytest
from aws_lambda_powertools.utilities.parser.models import (
    DynamoDBStreamLambdaOnFailureDestinationModel,
)

from fourfold.control.triggers.answers import given_up, outcome_of
from fourfold.control.triggers.streams import GivenUp, Outcome, Record
from fourfold.functions.model import Answer

BATCH = tuple(Record(number, "k", 10.5 + number, b"{}") for number in (9, 10, 11))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", "done"),
        ("null", "done"),
        ("{}", "done"),
        ('{"batchItemFailures": []}', "done"),
        ('{"batchItemFailures": null}', "done"),
        ('{"batchItemFailures": [{"itemIdentifier": "10"}]}', 10),
        ('{"batchItemFailures": [{"itemIdentifier": "11"}, {"itemIdentifier": "9"}]}', 9),
        ('{"batchItemFailures": [{"itemIdentifier": ""}]}', "failed"),
        ('{"batchItemFailures": [{"itemIdentifier": null}]}', "failed"),
        ('{"batchItemFailures": [{"itemIdentifier": "12"}]}', "failed"),
        ('{"batchItemFailures": [{"itemIdentifier": 10}]}', "failed"),
        ('{"batchItemFailures": [{"id": "10"}]}', "failed"),
        ('{"batchItemFailures": ["10"]}', "failed"),
        ('{"batchItemFailures": {"itemIdentifier": "10"}}', "failed"),
        ('"done"', "failed"),
        ("not json", "failed"),
        ("[" * 100_000, "failed"),
    ],
)
def test_partial_answers(said: str, expected: str | int) -> None:
    outcome = outcome_of(Answer(200, said.encode()), BATCH, partial=True)
    assert (outcome.failed_at or outcome.kind) == expected
    assert outcome_of(Answer(200, said.encode()), BATCH, partial=False).kind == "done"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(429, b""), "busy"),
        (Answer(503, b""), "busy"),
        (Answer(500, b"oh"), "failed"),
        (Answer(200, b'{"errorMessage": "boom"}', error="Unhandled"), "failed"),
        (Answer(204, b""), "done"),
    ],
)
def test_other_answers(answer: Answer, kind: str) -> None:
    assert outcome_of(answer, BATCH, partial=True).kind == kind


def test_what_a_failure_destination_is_told() -> None:
    gone = GivenUp(BATCH, "RetryAttemptsExhausted", 3, Outcome("failed", error="Unhandled"))
    arguments = (gone, "shardId-1", "arn:stream", "arn:function", "f3b5c9aa-0000-4000-8000-000000000000", 100.0)
    told = json.loads(given_up(arguments[0], "dynamodb", *arguments[1:]))
    DynamoDBStreamLambdaOnFailureDestinationModel.model_validate(told)
    info = told["DDBStreamBatchInfo"]
    assert (info["startSequenceNumber"], info["endSequenceNumber"], info["batchSize"]) == ("9", "11", 3)
    assert told["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    assert json.loads(given_up(arguments[0], "kinesis", *arguments[1:]))["KinesisBatchInfo"] == info


def test_what_was_never_tried_has_no_response() -> None:
    gone = GivenUp(BATCH, "RecordAgeExceeded", 0, None)
    assert "responseContext" not in json.loads(given_up(gone, "kinesis", "s", "a", "f", "r", 1.0))
