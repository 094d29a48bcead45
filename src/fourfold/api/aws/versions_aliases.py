"""Published versions, and aliases that point at them."""

from __future__ import annotations

import re
from typing import Any

from fourfold.api.aws import shapes
from fourfold.api.aws.call import Call, Route, answer, page, within
from fourfold.api.aws.errors import ApiError, conflict, constraint, invalid, not_found, stale
from fourfold.api.aws.http import Response
from fourfold.api.aws.reference import is_number
from fourfold.control.lambdas import code
from fourfold.control.lambdas.model import LATEST, Function
from fourfold.store.tables.functions import AliasRow

_ALIAS = re.compile(r"(?!^[0-9]+$)([a-zA-Z0-9-_]{1,128})")


async def publish(call: Call) -> Response:
    function = call.managed
    call.unchanged_since(function)
    if function.condition.state == "Failed" or (function.release == 0 and function.condition.state != "Pending"):
        raise conflict(f"The operation cannot be performed at this time. The function is currently in the following "
                       f"state: {function.condition.state}")  # fmt: skip
    if function.condition.update == "InProgress":
        raise conflict(
            "The operation cannot be performed at this time. An update is in progress for resource: "
            f"{call.lambdas.arn(function.name)}"
        )
    wanted = call.text("CodeSha256")
    found = code.describe(function.source, call.site.sources).sha256
    if wanted and wanted != found:
        raise invalid(f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({found}). Please try "
                      "again with the CodeSHA256 in $LATEST.")  # fmt: skip
    row = call.lambdas.publish(function, call.text("Description", most=256))
    return answer(201, shapes.version_configuration(call.site, function, row))


async def list_versions(call: Call) -> Response:
    function = call.function
    rows = [None, *call.lambdas.versions_of(function)]
    part, marker = page(call, rows)
    listed = [
        shapes.configuration(call.site, function, LATEST, LATEST)
        if row is None
        else shapes.version_configuration(call.site, function, row)
        for row in part
    ]
    body: dict[str, Any] = {"Versions": listed}
    return answer(200, body | {"NextMarker": marker} if marker else body)


async def create_alias(call: Call) -> Response:
    function, name = call.managed, call.need_text("Name")
    if not _ALIAS.fullmatch(name):
        raise constraint(name, "name", f"Member must satisfy regular expression pattern: {_ALIAS.pattern}")
    if name in call.lambdas.aliases_of(function):
        raise conflict(f"Alias already exists: {call.lambdas.arn(function.name, name)}")
    version = call.need_text("FunctionVersion")
    alias = AliasRow(
        function.app, function.service, name, version, call.text("Description", most=256) or "", _weights(call, version)
    )
    return answer(201, _kept(call, function, alias))


def _kept(call: Call, function: Function, alias: AliasRow) -> dict[str, Any]:
    """What it points at is started, if it does not run yet."""
    for number in (alias.version, *alias.weights):
        if number != LATEST:
            call.version(number)
    call.lambdas.put_alias(alias)
    call.lambdas.run_versions(alias)
    return shapes.alias_configuration(call.site, function, alias)


def _weights(call: Call, version: str) -> dict[str, float]:
    weights = within(call.map("RoutingConfig"), "AdditionalVersionWeights", dict) or {}
    if len(weights) > 1:
        raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
    for number, weight in weights.items():
        if version == LATEST or not is_number(number):
            raise invalid("$LATEST is not supported for an alias pointing to more than 1 version")
        if number == version:
            raise invalid(f"Invalid function version {number}. Function version {number} is already included in "
                          "routing configuration.")  # fmt: skip
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1:
            raise constraint(weight, "routingConfig.additionalVersionWeights", "Member must have value between 0 and 1")
    return {number: float(weight) for number, weight in weights.items()}


def _need(call: Call) -> AliasRow:
    name = call.path["alias"]
    alias = call.lambdas.aliases_of(call.function).get(name)
    if alias is None:
        raise not_found(f"Cannot find alias arn: {call.lambdas.arn(call.function.name, name)}")
    return alias


async def get_alias(call: Call) -> Response:
    return answer(200, shapes.alias_configuration(call.site, call.function, _need(call)))


async def list_aliases(call: Call) -> Response:
    function, version = call.function, call.one("FunctionVersion")
    aliases = [
        alias
        for _, alias in sorted(call.lambdas.aliases_of(function).items())
        if version is None or version in (alias.version, *alias.weights)
    ]
    part, marker = page(call, aliases)
    body: dict[str, Any] = {"Aliases": [shapes.alias_configuration(call.site, function, alias) for alias in part]}
    return answer(200, body | {"NextMarker": marker} if marker else body)


async def update_alias(call: Call) -> Response:
    function, alias = call.managed, _need(call)
    told = call.text("RevisionId")
    if told and told != shapes.alias_revision(function, alias):
        raise stale("The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API "
                    "to retrieve the latest Revision Id")  # fmt: skip
    version = call.text("FunctionVersion") or alias.version
    said = call.text("Description", most=256)
    changed = AliasRow(
        alias.app, alias.service, alias.name, version,
        alias.description if said is None else said,
        alias.weights if call.map("RoutingConfig") is None else _weights(call, version),
        alias.changes + 1,
    )  # fmt: skip
    return answer(200, _kept(call, function, changed))


async def delete_alias(call: Call) -> Response:
    """One that is not there is fine, as AWS has it."""
    alias = call.lambdas.aliases_of(call.managed).get(call.path["alias"])
    if alias is not None:
        call.lambdas.remove_alias(alias)
    return answer(204)


async def no_code_signing(call: Call) -> Response:
    return answer(200, {"CodeSigningConfigArn": "", "FunctionName": call.function.name})


async def no_layers(call: Call) -> Response:
    raise ApiError(400, "InvalidParameterValueException", "cannot keep layers: put what is in them into the zip")


_FUNCTION = "/2015-03-31/functions/{name}"
ROUTES = [
    Route("POST", f"{_FUNCTION}/versions", publish),
    Route("GET", f"{_FUNCTION}/versions", list_versions),
    Route("POST", f"{_FUNCTION}/aliases", create_alias),
    Route("GET", f"{_FUNCTION}/aliases", list_aliases),
    Route("GET", f"{_FUNCTION}/aliases/{{alias}}", get_alias),
    Route("PUT", f"{_FUNCTION}/aliases/{{alias}}", update_alias),
    Route("DELETE", f"{_FUNCTION}/aliases/{{alias}}", delete_alias),
    Route("GET", "/2020-06-30/functions/{name}/code-signing-config", no_code_signing),
    Route("POST", "/2018-10-31/layers/{layer}/versions", no_layers),
]
