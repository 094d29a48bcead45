"""Kind of trigger -> what makes its source. Imported when the first one is made: boto3 takes a second.

Schedules are not here: one timer serves all of them (`schedule.py`).
"""

from __future__ import annotations

from fourfold.control.triggers.source import Maker

MAKERS: dict[str, Maker] = {}
"""s3, kinesis, dynamodb, ses -> maker."""
