"""Plans and reports as JSON, one a line: the generator's standard input and output."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from typing import Any

from fourfold.load.model import Plan, Report, Request

STOP = b'{"stop": true}\n'
"""Instead of a plan: the run under way is to send no more."""


def plan_line(plan: Plan) -> bytes:
    requests = [asdict(each) | {"body": base64.b64encode(each.body).decode()} for each in plan.requests]
    return json.dumps({"plan": asdict(plan) | {"requests": requests}}).encode() + b"\n"


def read_line(line: bytes) -> Plan | None:
    """None: `STOP`."""
    told: dict[str, Any] = json.loads(line)
    if "plan" not in told:
        return None
    requests = tuple(
        Request(**each | {"body": base64.b64decode(each["body"]), "headers": tuple(map(tuple, each["headers"]))})
        for each in told["plan"]["requests"]
    )
    return Plan(**told["plan"] | {"requests": requests})


def report_line(report: Report) -> bytes:
    return json.dumps(asdict(report)).encode() + b"\n"


def read_report(line: bytes) -> Report:
    told: dict[str, Any] = json.loads(line)
    return Report(**told | {"curve": tuple((share, seconds) for share, seconds in told["curve"])})
