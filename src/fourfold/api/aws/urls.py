"""Function URLs: their settings, and the requests that come to them at `ID.lambda-url.REGION.localhost`.

Source: Lambda developer guide, "Invoking Lambda function URLs" and "Cross-origin resource sharing (CORS)".
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Mapping, Sequence
from typing import Any

from fourfold.api.aws import shapes
from fourfold.api.aws.call import Call, Route, Site, answer, page, texts_within, within
from fourfold.api.aws.errors import ApiError, conflict, constraint, invalid, not_found
from fourfold.api.aws.http import Request, Response
from fourfold.api.aws.invoke import MOST, ask
from fourfold.api.aws.reference import is_number
from fourfold.api.aws.sigv4 import Signed, Verifier
from fourfold.control.lambdas.model import ACCOUNT, LATEST, Function
from fourfold.functions import httpevents, httpresults
from fourfold.functions.model import Invocation

HOST = ".lambda-url."
_LETTERS = string.ascii_lowercase + string.digits
_CORS = ("AllowCredentials", "AllowHeaders", "AllowMethods", "AllowOrigins", "ExposeHeaders", "MaxAge")
_FORBIDDEN = b'{"Message":"Forbidden"}'
_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "upgrade", "content-length")


# -- settings -----------------------------------------------------------------------------------------------------


def _urls(function: Function) -> dict[str, dict[str, Any]]:
    return dict(function.row.settings.get("Urls", {}))


def _qualifier(call: Call) -> str:
    qualifier = call.reference.qualifier
    if is_number(qualifier) or qualifier == LATEST:
        raise constraint(qualifier, "qualifier", "Member must satisfy regular expression pattern: "
                         "((?!^\\d+$)^[0-9a-zA-Z-_]+$)")  # fmt: skip
    call.must_exist(qualifier)
    return qualifier or LATEST


def _given(call: Call, before: dict[str, Any]) -> dict[str, Any]:
    found = dict(before)
    if (kind := call.choice("AuthType", ("NONE", "AWS_IAM"))) is not None:
        found["AuthType"] = kind
    if call.choice("InvokeMode", ("BUFFERED", "RESPONSE_STREAM")) == "RESPONSE_STREAM":
        raise invalid("cannot use InvokeMode RESPONSE_STREAM: answers are sent whole; leave it out")
    if (cors := call.map("Cors")) is not None:
        if unknown := set(cors) - set(_CORS):
            raise invalid(f"cannot use {', '.join(sorted(unknown))} in Cors: it has {', '.join(_CORS)}")
        for name in ("AllowHeaders", "AllowMethods", "AllowOrigins", "ExposeHeaders"):
            if any("\r" in each or "\n" in each for each in texts_within(cors, name) or ()):
                raise invalid(f"cannot use that in {name} of Cors: it goes over several lines")
        within(cors, "AllowCredentials", bool)
        within(cors, "MaxAge", int)
        found["Cors"] = cors
    return found


async def create(call: Call) -> Response:
    function, qualifier = call.function, _qualifier(call)
    urls = _urls(function)
    if qualifier in urls:
        raise conflict("Failed to create function url config for [functionArn = "
                       f"{_arn(call, function, qualifier)}]. Error message:  FunctionUrlConfig exists for this Lambda "
                       "function")  # fmt: skip
    made = _given(call, {})
    if "AuthType" not in made:
        raise constraint(None, "authType", "Member must not be null")
    now = shapes.moment(call.lambdas.now())
    made |= {"Id": "".join(random.SystemRandom().choices(_LETTERS, k=32)), "CreationTime": now, "LastModifiedTime": now}
    call.lambdas.set(function, "Urls", urls | {qualifier: made})
    return answer(201, _shown(call, function, qualifier, made))


def _need(call: Call) -> tuple[Function, str, dict[str, Any]]:
    function, qualifier = call.function, _qualifier(call)
    url = _urls(function).get(qualifier)
    if url is None:
        raise not_found("The resource you requested does not exist.")
    return function, qualifier, url


async def get(call: Call) -> Response:
    return answer(200, _shown(call, *_need(call)))


async def list_all(call: Call) -> Response:
    function = call.function
    part, marker = page(call, sorted(_urls(function).items()))
    body: dict[str, Any] = {"FunctionUrlConfigs": [_shown(call, function, *each) for each in part]}
    return answer(200, body | {"NextMarker": marker} if marker else body)


async def update(call: Call) -> Response:
    function, qualifier, url = _need(call)
    changed = _given(call, url) | {"LastModifiedTime": shapes.moment(call.lambdas.now())}
    call.lambdas.set(function, "Urls", _urls(function) | {qualifier: changed})
    return answer(200, _shown(call, function, qualifier, changed))


async def delete(call: Call) -> Response:
    function, qualifier, _ = _need(call)
    urls = {key: each for key, each in _urls(function).items() if key != qualifier}
    call.lambdas.set(function, "Urls", urls or None)
    return answer(204)


def _arn(call: Call, function: Function, qualifier: str) -> str:
    return call.lambdas.arn(function.name, "" if qualifier == LATEST else qualifier)


def _shown(call: Call, function: Function, qualifier: str, url: Mapping[str, Any]) -> dict[str, Any]:
    port = call.site.url.rpartition(":")[2]
    shown = {
        "FunctionUrl": f"http://{url['Id']}{HOST}{call.lambdas.region}.localhost:{port}/",
        "FunctionArn": _arn(call, function, qualifier),
        "AuthType": url["AuthType"],
        "CreationTime": url["CreationTime"],
        "LastModifiedTime": url["LastModifiedTime"],
        "InvokeMode": "BUFFERED",
    }
    return shown | {"Cors": url["Cors"]} if "Cors" in url else shown


_PATH = "/2021-10-31/functions/{name}/url"
ROUTES = [
    Route("POST", _PATH, create),
    Route("GET", _PATH, get),
    Route("PUT", _PATH, update),
    Route("DELETE", _PATH, delete),
    Route("GET", f"{_PATH}s", list_all),
]


# -- requests -----------------------------------------------------------------------------------------------------


async def serve(site: Site, request: Request, verifier: Verifier, host: str, request_id: str) -> Response:
    """An HTTP request for a function. Never raises ApiError: whoever asks knows nothing of Lambda."""
    id = host.partition(HOST)[0]
    located = site.lambdas.by_url(id)
    if located is None:
        return _plain(404, {"Message": "there is no function URL of that name"})
    key, qualifier = located
    row = site.lambdas.rows[key]
    url = row.settings["Urls"][qualifier]
    cors = _cors_headers(url.get("Cors"), request)
    if request.method == "OPTIONS" and url.get("Cors") and request.header("access-control-request-method"):
        return Response(200, b"", cors)
    path, _, query = request.target.partition("?")
    if url["AuthType"] == "AWS_IAM":
        try:
            verifier.verify(Signed(request.method, path, query, request.headers, request.body), site.lambdas.now())
        except ApiError:
            return Response(403, _FORBIDDEN, (("Content-Type", "application/json"), *cors))
    response = await _invoke(site, request, key, row.name, "" if qualifier == LATEST else qualifier, id, request_id)
    response.headers = (*response.headers, *cors, ("x-amzn-RequestId", request_id))
    return response


async def _invoke(
    site: Site, request: Request, key: tuple[str, str], name: str, qualifier: str, id: str, request_id: str
) -> Response:
    headers = [(n, v) for n, v in request.headers if n not in ("x-forwarded-for", "x-forwarded-host")]
    headers.append(("x-forwarded-for", request.peer))
    asked = httpevents.Asked(
        request.method,
        request.target.encode("latin-1"),
        [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers],
        request.body,
    )
    place = httpevents.Place(ACCOUNT, id, "v2")
    event = httpevents.event(asked, place, request_id, site.lambdas.now())
    if len(event) > MOST:  # as base64 a body takes more
        return _plain(413, {"Message": "Request Too Long"})
    try:
        target = site.lambdas.target(key, name, qualifier)
        answered = await ask(site, key, target, Invocation(event, request_id, arn=target.arn))
        if answered.error:
            return _plain(502, {"Message": "Internal Server Error"})
        given = httpresults.answer(answered.payload, place)
    except ApiError as error:
        return _plain(error.status if error.status in (429, 503) else 502, {"Message": error.message})
    except httpresults.MalformedError:
        return _plain(502, {"Message": "Internal Server Error"})
    lines = [line.partition(": ") for line in given.headers.decode("utf-8").split("\r\n") if line]
    return Response(given.status, given.body, tuple((n, v) for n, _, v in lines if n.lower() not in _HOP_BY_HOP))


def _plain(status: int, body: Mapping[str, Any]) -> Response:
    return Response(status, json.dumps(body).encode(), (("Content-Type", "application/json"),))


def _cors_headers(cors: Mapping[str, Any] | None, request: Request) -> tuple[tuple[str, str], ...]:
    origin = request.header("origin")
    if not cors or not origin:
        return ()
    allowed: Sequence[str] = cors.get("AllowOrigins") or ()
    if "*" not in allowed and origin not in allowed:
        return ()
    found = [("Access-Control-Allow-Origin", "*" if "*" in allowed and not cors.get("AllowCredentials") else origin)]
    if cors.get("AllowCredentials"):
        found.append(("Access-Control-Allow-Credentials", "true"))
    if request.method == "OPTIONS":
        for key in ("Methods", "Headers"):
            if cors.get(f"Allow{key}"):
                found.append((f"Access-Control-Allow-{key}", ",".join(cors[f"Allow{key}"])))
        if cors.get("MaxAge"):
            found.append(("Access-Control-Max-Age", str(cors["MaxAge"])))
    elif cors.get("ExposeHeaders"):
        found.append(("Access-Control-Expose-Headers", ",".join(cors["ExposeHeaders"])))
    return tuple(found)
