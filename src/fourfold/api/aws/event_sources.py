"""Event source mappings: triggers of a service, as its file would have them, while they are enabled."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from typing import Any

from fourfold.api.aws.call import Call, Route, answer, page
from fourfold.api.aws.errors import conflict, constraint, invalid, not_found
from fourfold.api.aws.http import Response
from fourfold.api.aws.reference import parse
from fourfold.api.aws.specs import failures
from fourfold.control.lambdas.model import LATEST, Function
from fourfold.store.tables.functions import MappingRow

_STREAM = re.compile(r"arn:aws[a-zA-Z-]*:kinesis:([a-z0-9-]+):\d{12}:stream/[a-zA-Z0-9_.-]+")
_TABLE = re.compile(r"arn:aws[a-zA-Z-]*:dynamodb:([a-z0-9-]+):\d{12}:table/[a-zA-Z0-9_.-]+/stream/[^\s/]+")
_NUMBERS: dict[str, tuple[int, int, int]] = {
    "BatchSize": (1, 10_000, 100),
    "MaximumBatchingWindowInSeconds": (0, 300, 0),
    "ParallelizationFactor": (1, 10, 1),
    "MaximumRecordAgeInSeconds": (-1, 604_800, -1),
    "MaximumRetryAttempts": (-1, 10_000, -1),
}
"""Member -> least, most, default: CreateEventSourceMapping of the API reference."""
_NOT_HERE = {
    "FilterCriteria": "events are not filtered here",
    "TumblingWindowInSeconds": "there are no tumbling windows here",
    "SelfManagedEventSource": "Kinesis streams and DynamoDB streams are taken",
    "Topics": "Kinesis streams and DynamoDB streams are taken",
    "Queues": "Kinesis streams and DynamoDB streams are taken",
    "SourceAccessConfigurations": "credentials are those of the function's environment",
    "ScalingConfig": "Kinesis streams and DynamoDB streams are taken",
    "ProvisionedPollerConfig": "leave it out",
}


async def create(call: Call) -> Response:
    call.only(**_NOT_HERE)
    reference = parse(call.lambdas, call.need_text("FunctionName"))
    function = call.need(reference.name)
    if reference.qualifier not in ("", LATEST):
        raise invalid("cannot map an event source to a version or alias: it delivers to the function itself")
    source = call.need_text("EventSourceArn")
    settings = {"EventSourceArn": source} | _settings(call, {name: each[2] for name, each in _NUMBERS.items()})
    start = call.choice("StartingPosition", ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"))
    if start is None:
        raise invalid("1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
                      "Member must not be null.")  # fmt: skip
    if start == "AT_TIMESTAMP":
        raise invalid("cannot start AT_TIMESTAMP: TRIM_HORIZON and LATEST are taken")
    settings["StartingPosition"] = start
    for other in _mappings_of(call, function):
        if other.settings["EventSourceArn"] == source:
            raise conflict(
                f'An event source mapping with a function (" {function.name} ") and event source (" {source} ") '
                f"already exists. Please update or delete the existing mapping with UUID {other.id}"
            )
    enabled = call.flag("Enabled") is not False
    row = MappingRow(str(uuid.uuid4()), function.app, function.service, settings, enabled, call.lambdas.now())
    _deploy(call, function, row)
    return answer(202, _shown(call, row, "Creating"))


def _settings(call: Call, before: dict[str, Any]) -> dict[str, Any]:
    found = dict(before)
    for name, (low, high, _) in _NUMBERS.items():
        if (value := call.number(name, low, high)) is not None:
            found[name] = value
    if 0 <= found["MaximumRecordAgeInSeconds"] < 60:
        raise invalid("MaximumRecordAgeInSeconds must be -1, or from 60 to 604800")
    if (bisect := call.flag("BisectBatchOnFunctionError")) is not None:
        found["BisectBatchOnFunctionError"] = bisect
    if (kinds := call.texts("FunctionResponseTypes")) is not None:
        if not set(kinds) <= {"ReportBatchItemFailures"}:
            raise constraint(kinds, "functionResponseTypes", "Member must satisfy enum value set: "
                             "[ReportBatchItemFailures]")  # fmt: skip
        found["FunctionResponseTypes"] = kinds
    if (destinations := call.map("DestinationConfig")) is not None:
        found["DestinationConfig"] = destinations
    return found


def trigger(call: Call, settings: dict[str, Any]) -> dict[str, Any]:
    """As the service file has it. Raises ApiError for other sources than streams."""
    arn = settings["EventSourceArn"]
    stream, table = _STREAM.fullmatch(arn), _TABLE.fullmatch(arn)
    found = stream or table
    if found is None:
        raise invalid(
            f"Unrecognized event source, must be kinesis, dynamodb stream: {arn} (a bucket's queue can be an `s3` "
            "trigger of a service file)"
        )
    age, retries = settings["MaximumRecordAgeInSeconds"], settings["MaximumRetryAttempts"]
    made = {
        "region": found[1],
        "batch": settings["BatchSize"],
        "window": float(settings["MaximumBatchingWindowInSeconds"]),
        "start": "latest" if settings["StartingPosition"] == "LATEST" else "trim-horizon",
        "parallel": settings["ParallelizationFactor"],
        "retries": None if retries < 0 else retries,
        "max_age": None if age < 0 else float(age),
        "bisect": settings.get("BisectBatchOnFunctionError", False),
        "partial": bool(settings.get("FunctionResponseTypes")),
        "on_failure": failures(call, settings.get("DestinationConfig")),
    }
    return {"kinesis": made | {"stream": arn}} if stream else {"dynamodb": made | {"table": arn}}


def _deploy(call: Call, function: Function, row: MappingRow, *, gone: bool = False) -> None:
    """The function with the triggers of all its mappings, this one as it is to be; then the mapping itself."""
    others = [each for each in _mappings_of(call, function) if each.id != row.id]
    wanted = [trigger(call, each.settings) for each in others if each.enabled]
    mine = trigger(call, row.settings)
    if row.enabled and not gone:
        wanted.append(mine)
    if not function.managed:
        raise conflict(
            f"cannot change {function.name} here: the service file of app {function.app} describes its triggers; "
            "change it there, then: fourfold up"
        )
    spec = function.spec.model_dump(mode="json")
    if function.condition.update == "InProgress" and spec.get("triggers") != wanted and function.row.wanted is None:
        raise conflict("The operation cannot be performed at this time. An update is in progress for resource: "
                       f"{call.lambdas.arn(function.name)}")  # fmt: skip
    with call.lambdas.together():
        call.lambdas.change(function, spec=spec | {"triggers": wanted})
        if gone:
            call.lambdas.remove_mapping(row)
        else:
            call.lambdas.put_mapping(row)


def _mappings_of(call: Call, function: Function) -> list[MappingRow]:
    key = (function.app, function.service)
    return [each for each in call.lambdas.mappings.values() if (each.app, each.service) == key]


def _need(call: Call) -> MappingRow:
    row = call.lambdas.mappings.get(call.path["uuid"])
    if row is None:
        raise not_found("The resource you requested does not exist.")
    return row


def _has_read(call: Call, row: MappingRow) -> bool:
    """Whether its trigger has come past a record: it remembers how far, shard by shard."""
    kept = call.lambdas.remembered(row.app, row.service, trigger(call, row.settings))
    return any(key.startswith("shard") for key in kept)


def _function_of(call: Call, row: MappingRow) -> Function:
    return call.lambdas.function((row.app, row.service), call.lambdas.rows[row.app, row.service].name)


async def get(call: Call) -> Response:
    return answer(200, _shown(call, _need(call)))


async def list_all(call: Call) -> Response:
    wanted, name = call.one("EventSourceArn"), call.one("FunctionName")
    located = call.lambdas.locate(parse(call.lambdas, name).name) if name else None
    rows = [
        row
        for row in call.lambdas.mappings.values()
        if (wanted is None or row.settings["EventSourceArn"] == wanted)
        and (not name or (located is not None and (row.app, row.service) == located[0]))
    ]
    part, marker = page(call, rows, 100)
    body: dict[str, Any] = {"EventSourceMappings": [_shown(call, row) for row in part]}
    return answer(200, body | {"NextMarker": marker} if marker else body)


async def update(call: Call) -> Response:
    call.only(**_NOT_HERE)
    row = _need(call)
    told = call.text("FunctionName")
    if told and parse(call.lambdas, told).name != _function_of(call, row).name:
        raise invalid("cannot give a mapping to another function: delete it, and create one there")
    enabled = call.flag("Enabled")
    changed = replace(
        row,
        settings=_settings(call, row.settings),
        enabled=row.enabled if enabled is None else enabled,
        modified_at=call.lambdas.now(),
    )
    _deploy(call, _function_of(call, row), changed)
    return answer(202, _shown(call, changed, "Updating"))


async def delete(call: Call) -> Response:
    row = _need(call)
    _deploy(call, _function_of(call, row), row, gone=True)
    return answer(202, _shown(call, row, "Deleting"))


def _shown(call: Call, row: MappingRow, state: str | None = None) -> dict[str, Any]:
    function = _function_of(call, row)
    if state is None:
        going = function.condition.update == "InProgress"
        state = ("Enabling" if row.enabled else "Disabling") if going else "Enabled" if row.enabled else "Disabled"
    shown: dict[str, Any] = {
        "UUID": row.id,
        "EventSourceMappingArn": f"arn:aws:lambda:{call.lambdas.region}:000000000000:event-source-mapping:{row.id}",
        "FunctionArn": call.lambdas.arn(function.name),
        "LastModified": row.modified_at,
        "LastProcessingResult": "OK" if _has_read(call, row) else "No records processed",
        "State": state,
        "StateTransitionReason": "User action",
        "BisectBatchOnFunctionError": False,
        "TumblingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
        "DestinationConfig": {"OnFailure": {}},
    }
    return shown | row.settings


_PATH = "/2015-03-31/event-source-mappings"
ROUTES = [
    Route("POST", _PATH, create),
    Route("GET", _PATH, list_all),
    Route("GET", f"{_PATH}/{{uuid}}", get),
    Route("PUT", f"{_PATH}/{{uuid}}", update),
    Route("DELETE", f"{_PATH}/{{uuid}}", delete),
]
