"""FunctionConfiguration and its kin, as the service model (2015-03-31) has them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from fourfold.api.aws.call import Site
from fourfold.api.aws.specs import ARCHITECTURE, DEFAULT_MEMORY, MIB, their_runtime
from fourfold.control.lambdas import code
from fourfold.control.lambdas.lambdas import revision
from fourfold.control.lambdas.model import LATEST, Function
from fourfold.store.tables.functions import AliasRow, VersionRow


def moment(epoch: float) -> str:
    """`2026-11-25T22:00:00.000+0000`, as LastModified has it."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def configuration(site: Site, function: Function, version: str = LATEST, qualifier: str = "") -> dict[str, Any]:
    """`qualifier`: what the ARN ends in."""
    spec, settings, state = function.spec, function.row.settings, function.condition
    described = code.describe(function.source, site.sources)
    shown: dict[str, Any] = {
        "FunctionName": function.name,
        "FunctionArn": site.lambdas.arn(function.name, qualifier),
        "Runtime": their_runtime(spec, settings.get("Runtime")),
        "Role": settings.get("Role"),
        "Handler": spec.function.handler,
        "CodeSize": described.size,
        "Description": settings.get("Description", ""),
        "Timeout": max(1, round(spec.function.timeout)),
        "MemorySize": (spec.resources.memory or DEFAULT_MEMORY) // MIB,
        "LastModified": moment(function.modified_at),
        "CodeSha256": described.sha256,
        "Version": version,
        "Environment": {"Variables": dict(spec.env)} if spec.env else None,
        "DeadLetterConfig": settings.get("DeadLetterConfig"),
        "TracingConfig": settings.get("TracingConfig", {"Mode": "PassThrough"}),
        "RevisionId": revision(function, "" if version == LATEST else version),
        "State": state.state,
        "StateReason": state.reason or None,
        "StateReasonCode": state.code or None,
        "LastUpdateStatus": state.update,
        "LastUpdateStatusReason": state.update_reason or None,
        "LastUpdateStatusReasonCode": state.update_code or None,
        "PackageType": "Zip",
        "Architectures": [ARCHITECTURE],
        "EphemeralStorage": {"Size": spec.function.tmp // MIB},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{function.name}"},
    }
    return {name: value for name, value in shown.items() if value is not None}


def version_configuration(site: Site, function: Function, row: VersionRow) -> dict[str, Any]:
    number = str(row.number)
    shown = configuration(site, site.lambdas.as_version(function, row), number, number)
    return shown | {"Description": row.description}


def alias_configuration(site: Site, function: Function, alias: AliasRow) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "AliasArn": site.lambdas.arn(function.name, alias.name),
        "Name": alias.name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias_revision(function, alias),
    }
    if alias.weights:
        shown["RoutingConfig"] = {"AdditionalVersionWeights": alias.weights}
    return shown


def alias_revision(function: Function, alias: AliasRow) -> str:
    """Of the alias alone: the function's changes are none of it."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{function.key} {alias.name} {alias.changes}"))
