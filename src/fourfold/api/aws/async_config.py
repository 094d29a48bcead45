"""What becomes of asynchronous events that fail: retries, age, and where they go."""

from __future__ import annotations

from typing import Any

from fourfold.api.aws.call import Call, Route, answer, page, within
from fourfold.api.aws.errors import invalid, not_found
from fourfold.api.aws.http import Response
from fourfold.api.aws.specs import destination, failures
from fourfold.control.lambdas.model import LATEST, Function
from fourfold.spec.function import Function as Block

_FIELDS = Block.model_fields


async def put(call: Call) -> Response:
    return _set(call, {})


async def update(call: Call) -> Response:
    return _set(call, _stored(call.function) or {})


def _set(call: Call, before: dict[str, Any]) -> Response:
    """A new release: how events are delivered is part of it. Of the function as a whole, as its queue is one."""
    function = call.settled()
    if call.reference.qualifier not in ("", LATEST):
        raise invalid(
            "cannot configure asynchronous invocation of a version or alias: it holds for the whole function; leave "
            "Qualifier out"
        )
    config = dict(before)
    for name, low, high in (("MaximumRetryAttempts", 0, 2), ("MaximumEventAgeInSeconds", 60, 21_600)):
        if (value := call.number(name, low, high)) is not None:
            config[name] = value
    if (destinations := call.map("DestinationConfig")) is not None:
        config["DestinationConfig"] = destinations
    config["LastModified"] = call.lambdas.now()
    _apply(call, function, config)
    return answer(200, _shown(call, call.function, config))


def _apply(call: Call, function: Function, config: dict[str, Any]) -> None:
    """Into the function's spec, and its settings."""
    spec = function.spec.model_dump(mode="json")
    told = config.get("DestinationConfig")
    if within(within(told, "OnSuccess", dict), "Destination", str):
        raise invalid("cannot use OnSuccess: events that were handled are told to nobody; leave it out")
    letters = (function.row.settings.get("DeadLetterConfig") or {}).get("TargetArn")
    spec["function"] |= {
        "retries": config.get("MaximumRetryAttempts", _FIELDS["retries"].default),
        "max_age": float(config.get("MaximumEventAgeInSeconds", _FIELDS["max_age"].default)),
        "on_failure": failures(call, told) or (destination(call, letters) if letters else None),
    }
    kept = function.row.settings | {"Async": config}
    if not config:
        del kept["Async"]
    same = spec == function.spec.model_dump(mode="json")
    call.lambdas.change(function, spec=None if same else spec, settings=kept)
    del call.__dict__["function"]


async def get(call: Call) -> Response:
    config = _stored(call.function)
    if config is None:
        arn = call.lambdas.arn(call.function.name, LATEST)
        raise not_found(f"The function {arn} doesn't have an EventInvokeConfig")
    return answer(200, _shown(call, call.function, config))


async def list_all(call: Call) -> Response:
    config = _stored(call.function)
    part, _ = page(call, [] if config is None else [config])
    return answer(200, {"FunctionEventInvokeConfigs": [_shown(call, call.function, each) for each in part]})


async def delete(call: Call) -> Response:
    function = call.settled()
    if _stored(function) is None:
        arn = call.lambdas.arn(function.name, LATEST)
        raise not_found(f"The function {arn} doesn't have an EventInvokeConfig")
    _apply(call, function, {})
    return answer(204)


def _stored(function: Function) -> dict[str, Any] | None:
    """Of a function that a file describes: what stands there."""
    if not function.managed:
        said = function.spec.function
        return {
            "MaximumRetryAttempts": said.retries,
            "MaximumEventAgeInSeconds": int(said.max_age),
            "LastModified": function.modified_at,
        }
    return function.row.settings.get("Async")


def _shown(call: Call, function: Function, config: dict[str, Any]) -> dict[str, Any]:
    shown = {"DestinationConfig": {"OnSuccess": {}, "OnFailure": {}}} | config
    return shown | {"FunctionArn": call.lambdas.arn(function.name, LATEST)}


_PATH = "/2019-09-25/functions/{name}/event-invoke-config"
ROUTES = [
    Route("PUT", _PATH, put),
    Route("POST", _PATH, update),
    Route("GET", _PATH, get),
    Route("DELETE", _PATH, delete),
    Route("GET", f"{_PATH}/list", list_all),
]
