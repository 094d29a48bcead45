"""The blocks `job` and `triggers`: services that run to their end, and what events come from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from fourfold.spec import fields as f
from fourfold.spec.base import Model
from fourfold.spec.cron import parse_when, zone_of


class Job(Model):
    """A service that runs to its end: on its triggers, or by `fourfold run`."""

    timeout: f.Duration = Field(default=3600.0, gt=0, description="How long a run may take; it is then ended")
    retries: f.Whole = Field(default=0, ge=0, le=100, description="How often a run that failed is tried again")


class Schedule(Model):
    """Fires at times: exactly one of `cron` and `rate`."""

    cron: str | None = Field(
        default=None,
        min_length=1,
        description='"*/5 * * * *", or as AWS has it: cron(0 18 * * ? *), rate(5 minutes)',
    )
    rate: f.Duration | None = Field(default=None, ge=1, description="Every so often, such as 5m")
    timezone: str = Field(default="UTC", min_length=1, description="Of `cron`, such as Asia/Seoul")
    overlap: Literal["skip", "queue", "replace", "allow"] = Field(
        default="skip", description="When the last one still runs: leave this one out, wait, end the last one, or both"
    )

    @field_validator("cron")
    @classmethod
    def _is_a_time(cls, value: str | None) -> str | None:
        if value is not None:
            parse_when(value, None)
        return value

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        zone_of(value)
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Schedule:
        if (self.cron is None) == (self.rate is None):
            raise ValueError("give one of cron and rate")
        return self


class _Remote(Model):
    """Something of AWS, or of what speaks like it. Credentials: AWS_… among the service's env and secrets."""

    endpoint: str | None = Field(
        default=None, pattern=r"^https?://", description="Where it is; left out: AWS_ENDPOINT_URL of its env, or AWS"
    )
    region: str | None = Field(default=None, min_length=1, description="Left out: AWS_REGION of its env, or us-east-1")


class S3(_Remote):
    """Objects that come into a bucket, or go, by way of a queue that the bucket notifies."""

    bucket: str = Field(min_length=3, description="Its name")
    queue: str = Field(min_length=1, description="The SQS queue that the bucket notifies: name, url or ARN")
    prefix: str = Field(default="", description="Only keys that begin so")
    suffix: str = Field(default="", description="Only keys that end so")
    events: list[str] = Field(default=["s3:ObjectCreated:*"], min_length=1, description="Which of its events")


class _Stream(_Remote):
    batch: f.Whole = Field(default=100, ge=1, le=10_000, description="Records in one event, at most")
    window: f.Duration = Field(default=0.0, ge=0, le=300, description="How long to wait for a batch to fill")
    start: Literal["trim-horizon", "latest"] = Field(default="latest", description="Where to begin: the oldest, or now")
    parallel: f.Whole = Field(default=1, ge=1, le=10, description="Batches of one shard at once, by partition key")
    retries: f.Whole | None = Field(default=None, ge=0, le=10_000, description="Of a batch that failed; left out: on")
    max_age: f.Duration | None = Field(default=None, ge=60, description="Older records are given up")
    bisect: bool = Field(default=False, description="Halve a batch that failed")
    partial: bool = Field(default=False, description="Answers name the records that failed: batchItemFailures")
    on_failure: str | None = Field(
        default=None, min_length=1, description="Where a batch that was given up is told: a service, or an SQS queue"
    )


class Kinesis(_Stream):
    """Records of a Kinesis stream."""

    stream: str = Field(min_length=1, description="Its name or ARN")


class DynamoDb(_Stream):
    """Changes of a DynamoDB table that has a stream."""

    table: str = Field(min_length=1, description="Its name, or the ARN of its stream")
    batch: f.Whole = Field(default=100, ge=1, le=10_000, description="Records in one event, at most")


class Ses(Model):
    """Mail that arrives by SMTP, as SES tells of it."""

    recipient: str = Field(min_length=1, description="in@example.com, or example.com for all of a domain")


class Trigger(Model):
    """What an event comes from: exactly one."""

    schedule: Schedule | None = Field(default=None, description="At times")
    s3: S3 | None = Field(default=None, description="Objects in a bucket")
    kinesis: Kinesis | None = Field(default=None, description="Records of a stream")
    dynamodb: DynamoDb | None = Field(default=None, description="Changes of a table")
    ses: Ses | None = Field(default=None, description="Mail")

    @model_validator(mode="after")
    def _one_kind(self) -> Trigger:
        if sum(kind is not None for kind in (self.schedule, self.s3, self.kinesis, self.dynamodb, self.ses)) != 1:
            raise ValueError("give exactly one of schedule, s3, kinesis, dynamodb and ses")
        return self
