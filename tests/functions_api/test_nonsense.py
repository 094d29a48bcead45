"""Every operation, every member of its request, with values that nobody expects: refused in AWS's words."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.session
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from fourfold.api.aws.api import ROUTES
from tests.functions_api.conftest import ROLE
from tests.functions_api.world import KEY, SECRET, World

STRANGE: tuple[Any, ...] = (
    0, -1, 1e30, True, "", "\ud800", "x" * 5000, [], [None], {}, {"a": None}, {"": 5}, [{"a": [1]}],
)  # fmt: skip
NESTED = {
    "Code": ("ZipFile", "S3Bucket"),
    "Environment": ("Variables",),
    "EphemeralStorage": ("Size",),
    "DeadLetterConfig": ("TargetArn",),
    "SnapStart": ("ApplyOn",),
    "RoutingConfig": ("AdditionalVersionWeights",),
    "DestinationConfig": ("OnFailure", "OnSuccess"),
    "Cors": ("AllowOrigins", "MaxAge"),
}
ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"
EMPTY_ZIP = "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="
VALID: dict[str, Any] = {
    "FunctionName": "g", "Role": ROLE, "Runtime": "python3.11", "Handler": "a.b",
    "Code": {"ZipFile": EMPTY_ZIP},
    "Name": "live", "FunctionVersion": "$LATEST", "StatementId": "s", "Action": "lambda:*", "Principal": "*",
    "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s", "StartingPosition": "LATEST",
    "AuthType": "NONE", "Tags": {"a": "b"},
}  # fmt: skip


def bodies() -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and body of each."""
    model: Any = botocore.session.get_session().get_service_model("lambda")
    ways = {}
    for name in model.operation_names:
        http = model.operation_model(name).http
        ways[http["method"], "/".join("{}" if "{" in p else p for p in http["requestUri"].split("/"))] = name
    found = []
    for route in ROUTES:
        pattern = "/".join("{}" if "{" in part else part for part in route.path.split("/"))
        if (name := ways.get((route.method, pattern))) is None or route.method == "GET":
            continue
        shape = model.operation_model(name).input_shape
        path = route.path.replace("{name}", "f").replace(
            "{arn}", quote("arn:aws:lambda:us-east-1:000000000000:function:f", safe="")
        )
        path = (
            path.replace("{alias}", "live")
            .replace("{statement}", "s")
            .replace("{uuid}", "none")
            .replace("{layer}", "l")
        )
        members = [key for key, member in shape.members.items() if "location" not in member.serialization]
        whole = {key: VALID[key] for key in members if key in VALID}
        for key in members:
            found += [(route.method, path, whole | {key: value}) for value in STRANGE]
            for inner in NESTED.get(key, ()):
                found += [(route.method, path, whole | {key: {inner: value}}) for value in STRANGE]
    return found


def test_nothing_is_a_fault_of_ours(world: World, create: Any) -> None:
    create()
    credentials, faults, refused = Credentials(KEY, SECRET), [], 0
    with httpx.Client(base_url=world.url, timeout=20) as http:
        for method, path, body in bodies():
            signed = AWSRequest(method, world.url + path, data=json.dumps(body).encode())
            signer: Any = SigV4Auth(credentials, "lambda", "us-east-1")
            signer.add_auth(signed)
            parts = urlsplit(signed.url)
            got = http.request(method, parts.path, content=signed.data, headers=dict(signed.headers))
            if got.status_code >= 500:
                faults.append((method, path, body, got.text))
            elif got.status_code >= 400:
                refused += 1
                assert got.headers["x-amzn-errortype"], body
                assert got.json().get("message") or got.json().get("Message")
    assert not faults, faults[:20]
    assert refused > 500


def test_queries_and_paths_too(world: World, create: Any) -> None:
    create()
    credentials = Credentials(KEY, SECRET)
    with httpx.Client(base_url=world.url, timeout=20) as http:
        for route in ROUTES:
            for value in ("%00", "x" * 3000, "%ff", "..", "%2e%2e%2f", "f%3a%24LATEST", "9" * 400, "%E0%A4%A"):
                path = "/".join(value if "{" in part else part for part in route.path.split("/"))
                for query in ("", f"?Qualifier={value}&Marker={value}&MaxItems={value}", "?" + "&" * 300):
                    signed = AWSRequest(route.method, world.url + path + query, data=b"")
                    signer: Any = SigV4Auth(credentials, "lambda", "us-east-1")
                    signer.add_auth(signed)
                    request = http.build_request(route.method, "/", headers=dict(signed.headers))
                    request.url = request.url.copy_with(raw_path=(path + query).encode())
                    got = http.send(request)
                    assert got.status_code < 500, (route.method, path, query, got.text)
