"""Kind of trigger -> what makes its source.

Schedules are not here: one timer serves all of them (`schedule.py`).
"""

from __future__ import annotations

from functools import partial

from fourfold.clock import Clock
from fourfold.control.triggers import dynamodb, kinesis, s3
from fourfold.control.triggers.aws import Aws
from fourfold.control.triggers.smtp import Listener, SesSource
from fourfold.control.triggers.source import Maker


def makers(smtp_listen: str, clock: Clock, aws: Aws) -> dict[str, Maker]:
    """Sources share clients of AWS, and the listener for mail; neither is there before the first one needs it."""
    listener = Listener(smtp_listen, clock)
    return {
        "s3": partial(s3.source, aws=aws),
        "kinesis": partial(kinesis.source, aws=aws),
        "dynamodb": partial(dynamodb.source, aws=aws),
        "ses": partial(SesSource, listener=listener),
    }
