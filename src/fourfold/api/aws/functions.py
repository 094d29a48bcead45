"""Functions: create, read, list, change, delete."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import quote

from fourfold.api.aws import policy_tags, shapes, specs
from fourfold.api.aws.call import Call, Route, answer, page
from fourfold.api.aws.errors import ApiError, conflict, constraint, invalid
from fourfold.api.aws.http import Response
from fourfold.api.aws.reference import LONGEST_NAME, is_number, parse
from fourfold.control.lambdas import code
from fourfold.control.lambdas.model import LATEST, Function
from fourfold.control.lambdas.names import service_name
from fourfold.errors import NotFoundError

_ROLE = re.compile(r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+")


async def create(call: Call) -> Response:
    reference = parse(call.lambdas, call.need_text("FunctionName"))
    name = reference.name
    if len(name) > LONGEST_NAME:
        raise constraint(name, "functionName", f"Member must have length less than or equal to {LONGEST_NAME}")
    role = call.need_text("Role")
    if not _ROLE.fullmatch(role):
        raise constraint(role, "role", f"Member must satisfy regular expression pattern: {_ROLE.pattern}")
    given = call.map("Code")
    if given is None:
        raise constraint(None, "code", "Member must not be null")
    spec = specs.described(call, {})
    for member in ("Runtime", "Handler"):
        if call.text(member) is None:
            raise invalid(f"{member} is mandatory for functions created with deployment packages")
    if call.lambdas.is_taken(name):
        raise conflict(f"Function already exist: {name}")
    source = await _source(call, given)
    settings = specs.settings(call, {})
    if (tags := call.map("Tags")) is not None:
        settings["Tags"] = policy_tags.merged({}, tags)
    await _check(call, service_name(name, ()), spec, source)
    function = call.lambdas.create(name, spec, source, settings)  # ConflictError: somebody else was quicker
    if call.flag("Publish"):
        version = call.lambdas.publish(function, None)
        return answer(201, shapes.version_configuration(call.site, function, version))
    return answer(201, shapes.configuration(call.site, function))


async def _source(call: Call, given: dict[str, Any]) -> str:
    """The zip, kept. Raises ApiError."""
    for name in ("S3Bucket", "S3Key", "ImageUri"):
        if given.get(name):
            raise invalid(f"cannot take code from {name}: send it as ZipFile")
    content = await asyncio.to_thread(call.content, "ZipFile", given)
    if content is None:
        raise invalid("Please provide a source for function code.")
    try:
        return await asyncio.to_thread(code.keep, content, call.site.sources, call.site.blobs)
    except code.BadZipError as error:
        status = 413 if error.code == "RequestEntityTooLargeException" else 400
        raise ApiError(status, error.code, error.what, kind="User") from error


async def _check(call: Call, service: str, spec: dict[str, Any], source: str) -> None:
    await call.site.deploying.check(service, spec, source)


async def get(call: Call) -> Response:
    function, version = call.as_qualified()
    shown: dict[str, Any] = {
        "Configuration": _configuration(call, function, version),
        "Code": {"RepositoryType": "S3", "Location": _location(call, function)},
    }
    if tags := function.row.settings.get("Tags"):
        shown["Tags"] = tags
    if (reserved := function.row.settings.get("Reserved")) is not None:
        shown["Concurrency"] = {"ReservedConcurrentExecutions": reserved}
    return answer(200, shown)


async def get_configuration(call: Call) -> Response:
    return answer(200, _configuration(call, *call.as_qualified()))


def _configuration(call: Call, function: Function, version: str) -> dict[str, Any]:
    shown = shapes.configuration(call.site, function, version, call.reference.qualifier)
    if version != LATEST:
        shown["Description"] = call.version(version).description
    return shown


def _location(call: Call, function: Function) -> str:
    return f"{call.site.url}/code/{function.source}/{quote(function.name)}.zip?{call.site.sign(function.source)}"


async def list_all(call: Call) -> Response:
    which = call.one("FunctionVersion")
    if which not in (None, "", "ALL"):
        raise constraint(which, "functionVersion", "Member must satisfy enum value set: [ALL]")
    shown: list[tuple[Function, str]] = []
    for function in call.lambdas.all():
        shown.append((function, LATEST))
        if which == "ALL":
            shown += [(function, str(row.number)) for row in call.lambdas.versions_of(function)]
    part, marker = page(call, shown)
    listed = []
    for function, number in part:
        if number == LATEST:
            listed.append(shapes.configuration(call.site, function, qualifier=LATEST if which == "ALL" else ""))
        else:
            row = call.lambdas.version(function, int(number))
            assert row is not None
            listed.append(shapes.version_configuration(call.site, function, row))
    body: dict[str, Any] = {"Functions": listed}
    return answer(200, body | {"NextMarker": marker} if marker else body)


async def update_code(call: Call) -> Response:
    function = call.settled()
    source = await _source(call, call.body)
    await _check(call, function.service, _changed(call, function), source)
    function = call.settled()  # the zip was looked at for a while
    if call.flag("DryRun"):
        return answer(200, shapes.configuration(call.site, function))
    function = call.lambdas.change(function, spec=_changed(call, function), source=source)
    if call.flag("Publish"):
        version = call.lambdas.publish(function, None)
        return answer(200, shapes.version_configuration(call.site, function, version))
    return answer(200, shapes.configuration(call.site, function))


def _changed(call: Call, function: Function) -> dict[str, Any]:
    return specs.described(call, function.spec.model_dump(mode="json"))


async def update_configuration(call: Call) -> Response:
    function = call.settled()
    spec = _changed(call, function)
    same = spec == function.spec.model_dump(mode="json")
    if not same:
        await _check(call, function.service, spec, function.source)
        function = call.settled()
        spec = _changed(call, function)
    settings = specs.settings(call, function.row.settings)
    function = call.lambdas.change(function, spec=None if same else spec, settings=settings)
    return answer(200, shapes.configuration(call.site, function))


async def delete(call: Call) -> Response:
    function, qualifier = call.managed, call.reference.qualifier
    if not qualifier:
        call.lambdas.delete(function)
        return answer(204)
    if not is_number(qualifier):
        raise invalid("$LATEST version cannot be deleted without deleting the function." if qualifier == LATEST
                      else "Deletion of aliases is not currently supported.")  # fmt: skip
    row = call.version(qualifier)
    for alias in call.lambdas.aliases_of(function).values():
        if qualifier in (alias.version, *alias.weights):
            raise conflict(f"Version was not able to be deleted because the alias {alias.name} points at it.")
    call.lambdas.delete_version(row)
    return answer(204)


async def download(call: Call) -> Response:
    """The zip, for whoever has the link that GetFunction gave."""
    try:
        content = await asyncio.to_thread(code.give, call.path["source"], call.site.sources, call.site.blobs)
    except (NotFoundError, FileNotFoundError):
        raise ApiError(404, "NoSuchKey", "The specified key does not exist.") from None
    return Response(200, content, (("Content-Type", "application/zip"),))


ROUTES = [
    Route("POST", "/2015-03-31/functions", create),
    Route("GET", "/2015-03-31/functions", list_all),
    Route("GET", "/2015-03-31/functions/{name}", get),
    Route("DELETE", "/2015-03-31/functions/{name}", delete),
    Route("PUT", "/2015-03-31/functions/{name}/code", update_code),
    Route("GET", "/2015-03-31/functions/{name}/configuration", get_configuration),
    Route("PUT", "/2015-03-31/functions/{name}/configuration", update_configuration),
]
