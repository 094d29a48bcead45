"""Invoke in all its forms, streaming, and requests to function URLs."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from fourfold.functions.model import Answer
from tests.functions_api.world import KEY, SECRET, World, refusal


def test_answers(world: World, client: Any, create: Any) -> None:
    create()
    context = base64.b64encode(b'{"custom": {"a": 1}}').decode()
    got = client.invoke(FunctionName="f", Payload=b'{"a": 1}', LogType="Tail", ClientContext=context)
    assert (got["StatusCode"], got["Payload"].read(), got["ExecutedVersion"]) == (200, b'{"a": 1}', "$LATEST")
    assert base64.b64decode(got["LogResult"]) == b"log"
    assert "FunctionError" not in got
    service, asked = world.functions.asked[-1]
    assert service == "lambda.f"
    assert (asked.client_context, asked.tail) == ('{"custom": {"a": 1}}', True)
    assert asked.request_id == got["ResponseMetadata"]["RequestId"]
    assert asked.arn == "arn:aws:lambda:us-east-1:000000000000:function:f"
    assert client.invoke(FunctionName="f")["Payload"].read() == b"{}"
    world.functions.answers["lambda.f"] = Answer(200, b'{"errorType": "E"}', error="Unhandled")
    failed = client.invoke(FunctionName="f:$LATEST")
    assert (failed["StatusCode"], failed["FunctionError"]) == (200, "Unhandled")


def test_later_and_not_at_all(world: World, client: Any, create: Any) -> None:
    create()
    later = client.invoke(FunctionName="f", InvocationType="Event", Payload=b"[1]")
    assert later["StatusCode"] == 202
    assert later["Payload"].read() == b""
    assert world.functions.stored == [("lambda.f", b"[1]", "", later["ResponseMetadata"]["RequestId"])]
    assert client.invoke(FunctionName="f", InvocationType="DryRun")["StatusCode"] == 204
    assert world.functions.asked == []
    world.functions.full = True
    status, code, message = refusal(client.invoke, FunctionName="f", InvocationType="Event")
    assert (status, code) == (500, "ServiceException")
    assert "disk is full" in message


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"Payload": b"{"}, 400, "InvalidRequestContentException"),
        ({"Payload": b"\xff"}, 400, "InvalidRequestContentException"),
        ({"ClientContext": "?"}, 400, "InvalidRequestContentException"),
        ({"InvocationType": "Never"}, 400, "ValidationException"),
        ({"FunctionName": "g"}, 404, "ResourceNotFoundException"),
        ({"Qualifier": "7"}, 404, "ResourceNotFoundException"),
        ({"Qualifier": "live"}, 404, "ResourceNotFoundException"),
        ({"FunctionName": "f:1", "Qualifier": "2"}, 400, "InvalidParameterValueException"),
        ({"FunctionName": "arn:aws:lambda:eu-west-1:000000000000:function:f"}, 404, "ResourceNotFoundException"),
        ({"FunctionName": "arn:aws:s3:::f"}, 400, "ValidationException"),
        ({"Payload": b'"' + b"x" * 6_291_556 + b'"'}, 413, "RequestTooLargeException"),
        ({"Payload": b'"' + b"x" * 1_048_576 + b'"', "InvocationType": "Event"}, 413, "RequestTooLargeException"),
    ],
)
def test_what_is_refused(client: Any, create: Any, given: dict[str, Any], status: int, code: str) -> None:
    create()
    assert refusal(client.invoke, **({"FunctionName": "f"} | given))[:2] == (status, code)


def test_who_cannot_answer(world: World, client: Any, create: Any) -> None:
    create()
    world.functions.answers["lambda.f"] = Answer(429, b"")
    assert refusal(client.invoke, FunctionName="f") == (429, "TooManyRequestsException", "Rate Exceeded.")
    world.functions.gone.add("lambda.f")
    assert refusal(client.invoke, FunctionName="f")[:2] == (503, "ServiceException")
    world.functions.gone.clear()
    world.functions.answers.clear()
    assert client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)[
        "ReservedConcurrentExecutions"
    ] == 0  # fmt: skip
    assert refusal(client.invoke, FunctionName="f")[0] == 429
    world.hold()
    create("g", wait=False)
    world.functions.gone.add("lambda.g")
    assert refusal(client.invoke, FunctionName="g") == (
        409, "ResourceConflictException",
        "The operation cannot be performed at this time. The function is currently in the following state: Pending",
    )  # fmt: skip


def test_streams(world: World, client: Any, create: Any) -> None:
    create()
    big = json.dumps("x" * 150_000).encode()
    got = client.invoke_with_response_stream(FunctionName="f", Payload=big, LogType="Tail")
    events = list(got["EventStream"])
    assert b"".join(each["PayloadChunk"]["Payload"] for each in events[:-1]) == big
    assert (len(events), events[-1]) == (4, {"InvokeComplete": {"LogResult": "bG9n"}})
    assert got["ExecutedVersion"] == "$LATEST"
    world.functions.answers["lambda.f"] = Answer(200, b'{"errorType": "Oops"}', error="Unhandled")
    (ended,) = client.invoke_with_response_stream(FunctionName="f")["EventStream"]
    assert ended == {"InvokeComplete": {"ErrorCode": "Oops", "ErrorDetails": '{"errorType": "Oops"}'}}


def test_a_function_url(world: World, client: Any, create: Any) -> None:
    create()
    made = client.create_function_url_config(
        FunctionName="f", AuthType="NONE", Cors={"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET"]}
    )
    assert refusal(client.create_function_url_config, FunctionName="f", AuthType="NONE")[0] == 409
    url = made["FunctionUrl"]
    host = url.removeprefix("http://").rstrip("/")
    assert host.endswith(f".lambda-url.us-east-1.localhost:{world.port}")
    world.functions.answers["lambda.f"] = Answer(
        200, json.dumps({"statusCode": 201, "headers": {"x-a": "b"}, "cookies": ["c=d"], "body": "hello"}).encode()
    )
    with httpx.Client(base_url=world.url, headers={"Host": host}) as http:
        got = http.post("/a%20b?x=1&x=2", content=b"\x00\xff", headers={"Content-Type": "image/png"})
        assert (got.status_code, got.text, got.headers["x-a"], got.headers["set-cookie"]) == (201, "hello", "b", "c=d")
        event = json.loads(world.functions.asked[-1][1].payload)
        assert (event["rawPath"], event["rawQueryString"], event["isBase64Encoded"]) == ("/a%20b", "x=1&x=2", True)
        assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"
        assert event["requestContext"]["domainName"] == host.rpartition(":")[0]
        assert http.post("/", content=b"\xff" * 5_000_000).status_code == 413, "as base64 it is too large"
        asks = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
        preflight = http.options("/", headers=asks)
        assert preflight.headers["access-control-allow-origin"] == "https://a.example"
        assert preflight.headers["access-control-allow-methods"] == "GET"
        assert "access-control-allow-origin" not in http.get("/", headers={"Origin": "https://b.example"}).headers
        world.functions.answers["lambda.f"] = Answer(200, b"{}", error="Unhandled")
        assert http.get("/").status_code == 502
        client.update_function_url_config(FunctionName="f", AuthType="AWS_IAM")
        assert http.get("/").status_code == 403
        world.functions.answers["lambda.f"] = Answer(200, b'{"a": 1}')
        signed = AWSRequest("GET", url)
        SigV4Auth(Credentials(KEY, SECRET), "lambda", "us-east-1").add_auth(signed)
        got = http.get("/", headers=dict(signed.headers))
        assert (got.status_code, got.json()) == (200, {"a": 1})
        client.delete_function_url_config(FunctionName="f")
        assert http.get("/").status_code == 404
    assert refusal(client.get_function_url_config, FunctionName="f")[0] == 404


def test_an_event_waits_while_its_version_is_deployed(world: World, client: Any, create: Any) -> None:
    create(Publish=True)
    client.invoke(FunctionName="f", Qualifier="1", Payload=b"1")  # it has a service of its own from now on
    target = world.on_loop(lambda: world.lambdas.target(("lambda", "f"), "f", "1"))
    assert target.service == "f-v1"
    done = world.registry.deployments["lambda.f-v1"]

    def told(state: Any) -> None:
        with world.registry.transaction():
            world.registry.put_deployment(replace(done, state=state))

    async def there(seconds: float) -> None:
        await asyncio.wait_for(world.lambdas.until_there(target), seconds)

    world.on_loop(lambda: told("running"))
    with pytest.raises(TimeoutError):
        world.await_(there(0.1))
    world.on_loop(lambda: told("done"))
    world.await_(there(10))
