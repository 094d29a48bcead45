"""Functions through boto3, unmodified: made, read, listed, changed, deleted, with the states that waiters look at."""

from __future__ import annotations

import base64
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.functions_api.conftest import ROLE, SOON, zipped
from tests.functions_api.world import World, refusal
from tests.support.wait import until


def test_a_function_from_its_making_to_its_end(world: World, client: Any, create: Any) -> None:
    world.hold()
    made = create(
        "my_Func", wait=False, Timeout=7, MemorySize=256, Description="what", Environment={"Variables": {"A_B": "1"}},
        Tags={"team": "a"}, EphemeralStorage={"Size": 1024},
    )  # fmt: skip
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (made["State"], made["StateReasonCode"]) == ("Pending", "Creating")
    assert made["StateReason"] == "The function is being created."
    arn = "arn:aws:lambda:us-east-1:000000000000:function:my_Func"
    digest = base64.b64encode(hashlib.sha256(zipped()).digest()).decode()
    expected = {
        "FunctionName": "my_Func", "FunctionArn": arn, "Runtime": "python3.11", "Role": ROLE, "Handler": "app.handler",
        "CodeSize": len(zipped()), "CodeSha256": digest, "Timeout": 7, "MemorySize": 256, "Description": "what",
        "Environment": {"Variables": {"A_B": "1"}}, "Version": "$LATEST", "PackageType": "Zip",
        "EphemeralStorage": {"Size": 1024}, "TracingConfig": {"Mode": "PassThrough"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/my_Func"},
    }  # fmt: skip
    assert expected.items() <= made.items()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", made["LastModified"])
    assert refusal(client.create_function, FunctionName="my_Func", Runtime="python3.11", Role=ROLE, Handler="a.b",
                   Code={"ZipFile": zipped()}) == (409, "ResourceConflictException",
                                                   "Function already exist: my_Func")  # fmt: skip
    world.go_on()
    client.get_waiter("function_active_v2").wait(FunctionName=arn, WaiterConfig=SOON)
    got = client.get_function(FunctionName="my_Func")
    assert expected.items() <= got["Configuration"].items()
    assert (got["Configuration"]["State"], got["Configuration"]["LastUpdateStatus"]) == ("Active", "Successful")
    assert got["Tags"] == {"team": "a"}
    assert httpx.get(got["Code"]["Location"]).content == zipped()
    assert httpx.get(got["Code"]["Location"] + "0").status_code == 403
    (service,) = world.registry.of_app("lambda")
    assert re.fullmatch(r"my-func-[0-9a-f]{4}", service.name)
    client.delete_function(FunctionName="my_Func")
    assert refusal(client.get_function, FunctionName="my_Func") == (
        404, "ResourceNotFoundException", f"Function not found: {arn}"
    )  # fmt: skip
    until(lambda: not world.registry.of_app("lambda"), 20, "the service to go")


def test_code_and_configuration_are_changed(world: World, client: Any, create: Any) -> None:
    create()
    world.hold()
    before = client.get_function_configuration(FunctionName="f")
    other = zipped("def handler(event, context): return 2\n")
    dry = client.update_function_code(FunctionName="f", ZipFile=other, DryRun=True)
    assert (dry["CodeSha256"], dry["LastUpdateStatus"]) == (before["CodeSha256"], "Successful")
    changed = client.update_function_code(FunctionName="f", ZipFile=other)
    assert changed["CodeSha256"] != before["CodeSha256"]
    assert (changed["State"], changed["LastUpdateStatus"]) == ("Active", "InProgress")
    for call, given in (
        (client.update_function_code, {"ZipFile": other}),
        (client.update_function_configuration, {"Timeout": 9}),
        (client.publish_version, {}),
        (client.put_function_concurrency, {"ReservedConcurrentExecutions": 3}),
    ):
        status, code, message = refusal(call, FunctionName="f", **given)
        assert (status, code) == (409, "ResourceConflictException"), call
        assert "An update is in progress for resource: arn:aws:lambda" in message
    world.go_on()
    waiter = client.get_waiter("function_updated_v2")
    waiter.wait(FunctionName="f", WaiterConfig=SOON)
    client.update_function_configuration(FunctionName="f", MemorySize=512, Handler="other.h", Environment={})
    waiter.wait(FunctionName="f", WaiterConfig=SOON)
    now = client.get_function_configuration(FunctionName="f")
    assert (now["MemorySize"], now["Handler"], now["Timeout"], now["CodeSha256"]) == (
        512, "other.h", 3, changed["CodeSha256"]
    )  # fmt: skip
    assert now["RevisionId"] != before["RevisionId"]
    status, code, _ = refusal(client.update_function_code, FunctionName="f", ZipFile=other,
                              RevisionId=before["RevisionId"])  # fmt: skip
    assert (status, code) == (412, "PreconditionFailedException")
    deployed = len(world.deploys.asked)
    told = client.update_function_configuration(FunctionName="f", Description="d", RevisionId=now["RevisionId"])
    assert (told["Description"], told["LastUpdateStatus"]) == ("d", "Successful")
    assert len(world.deploys.asked) == deployed  # nothing that a release has was changed


def test_what_cannot_be_deployed_is_told(world: World, client: Any, create: Any) -> None:
    world.on_loop(lambda: setattr(world.deploys, "fails", "app.py: no module named x"))
    create(wait=False)
    until(lambda: client.get_function_configuration(FunctionName="f")["State"] == "Failed", 20, "the failure")
    assert client.get_function_configuration(FunctionName="f")["StateReason"] == "app.py: no module named x"
    world.on_loop(lambda: setattr(world.deploys, "fails", None))
    client.update_function_code(FunctionName="f", ZipFile=zipped("x"))
    client.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig=SOON)
    world.on_loop(lambda: setattr(world.deploys, "fails", "it crashed"))
    good = client.get_function_configuration(FunctionName="f")
    client.update_function_code(FunctionName="f", ZipFile=zipped("y"))
    until(
        lambda: client.get_function_configuration(FunctionName="f")["LastUpdateStatus"] == "Failed", 20, "the failure"
    )
    now = client.get_function_configuration(FunctionName="f")
    assert (now["State"], now["LastUpdateStatusReason"]) == ("Active", "it crashed")
    assert now["CodeSha256"] == good["CodeSha256"]  # what runs


GIVEN = {"FunctionName": "g", "Runtime": "python3.11", "Role": ROLE, "Handler": "a.b", "Code": {"ZipFile": zipped()}}


@pytest.mark.parametrize(
    ("given", "status", "code", "told"),
    [
        ({"FunctionName": "a b"}, 400, "ValidationException", "Value 'a b' at 'functionName' failed to satisfy"),
        ({"FunctionName": "x" * 65}, 400, "ValidationException", "less than or equal to 64"),
        ({"Role": "me"}, 400, "ValidationException", "Value 'me' at 'role' failed to satisfy constraint"),
        ({"Role": None}, 400, "ValidationException", "Value null at 'role'"),
        ({"Runtime": "python2"}, 400, "InvalidParameterValueException", "Value python2 at 'runtime'"),
        ({"Runtime": "python3.99"}, 400, "InvalidParameterValueException", "there is no python3.99 here"),
        ({"Handler": None}, 400, "InvalidParameterValueException", "Handler is mandatory"),
        ({"Timeout": 901}, 400, "ValidationException", "Value '901' at 'timeout' failed to satisfy constraint: Member "
                                                       "must have value less than or equal to 900"),
        ({"Timeout": "x"}, 400, "InvalidRequestContentException", "Timeout must be a number"),
        ({"MemorySize": 127}, 400, "ValidationException", "greater than or equal to 128"),
        ({"EphemeralStorage": {"Size": 5}}, 400, "ValidationException", "512"),
        ({"Environment": {"Variables": {"A_B": "x" * 5000}}}, 400, "InvalidParameterValueException", "4KB"),
        ({"Environment": {"Variables": {"_HANDLER": "x"}}}, 400, "ValidationException", "environment.variables"),
        ({"Environment": {"Variables": {"AWS_LAMBDA_X": "x"}}}, 400, "InvalidParameterValueException", "reserved keys"),
        ({"Code": {"ZipFile": b"no zip"}}, 400, "InvalidParameterValueException", "Could not unzip uploaded file"),
        ({"Code": {"S3Bucket": "b", "S3Key": "k"}}, 400, "InvalidParameterValueException", "send it as ZipFile"),
        ({"Code": {}}, 400, "InvalidParameterValueException", "Please provide a source"),
        ({"PackageType": "Image"}, 400, "InvalidParameterValueException", "functions are zips here"),
        ({"Layers": ["arn:aws:lambda:x"]}, 400, "InvalidParameterValueException", "put what is in them into the zip"),
        ({"Architectures": ["riscv"]}, 400, "InvalidParameterValueException", "this host is"),
    ],
)  # fmt: skip
def test_what_is_refused(client: Any, given: dict[str, Any], status: int, code: str, told: str) -> None:
    whole = {name: value for name, value in (GIVEN | given).items() if value is not None}
    refused = refusal(client.create_function, **whole)
    assert refused[:2] == (status, code)
    assert told in refused[2]
    assert client.list_functions()["Functions"] == []


def test_lists_have_pages(client: Any, create: Any) -> None:
    for name in "abcde":
        create(name)
    client.publish_version(FunctionName="c")
    pages = list(client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}))
    assert [[each["FunctionName"] for each in page["Functions"]] for page in pages] == [["a", "b"], ["c", "d"], ["e"]]
    every = client.list_functions(FunctionVersion="ALL")["Functions"]
    assert [(each["FunctionName"], each["Version"]) for each in every if each["FunctionName"] == "c"] == [
        ("c", "$LATEST"), ("c", "1"),
    ]  # fmt: skip
    assert refusal(client.list_functions, Marker="?")[1] == "InvalidParameterValueException"
    assert refusal(client.list_functions, MaxItems=0)[1] == "ValidationException"


def test_functions_of_files_are_there_and_are_changed_in_their_file(world: World, client: Any) -> None:
    spec = {"source": "./x", "runtime": "nodejs20", "function": {"handler": "index.handler"}, "port": 8080}
    source = "0" * 64

    def deployed() -> None:
        with world.registry.transaction():
            world.deploys.add("shop", "thumb", spec, source)
            world.deploys.add("shop", "web", {"source": "./x", "run": "x", "port": 8080}, source, "process")
            world.deploys.add("other", "thumb-2", spec, source, "container")

    world.on_loop(deployed)
    names = [each["FunctionName"] for each in client.list_functions()["Functions"]]
    assert names == ["other-thumb-2", "shop-thumb"]
    for name in ("thumb", "shop-thumb", "arn:aws:lambda:us-east-1:000000000000:function:thumb"):
        found = client.get_function_configuration(FunctionName=name)
        assert (found["FunctionName"], found["Runtime"], found["State"]) == ("shop-thumb", "nodejs20.x", "Active")
    client.invoke(FunctionName="thumb", Payload=b"1")
    assert world.functions.asked[-1][0] == "shop.thumb"
    for call, given in (
        (client.update_function_code, {"ZipFile": zipped()}),
        (client.update_function_configuration, {"Timeout": 9}),
        (client.delete_function, {}),
        (client.publish_version, {}),
        (client.put_function_concurrency, {"ReservedConcurrentExecutions": 1}),
    ):
        status, code, message = refusal(call, FunctionName="thumb", **given)
        assert (status, code) == (409, "ResourceConflictException")
        assert "the service file of app shop describes it" in message
    assert refusal(client.get_function, FunctionName="web")[0] == 404
    client.tag_resource(Resource=found["FunctionArn"], Tags={"a": "b"})
    assert client.list_tags(Resource=found["FunctionArn"])["Tags"] == {"a": "b"}


def test_what_changes_while_a_request_is_judged_is_seen(world: World, client: Any, create: Any) -> None:
    made = create()
    world.hold()
    world.on_loop(world.deploys.judges.clear)
    before = world.deploys.judging
    with ThreadPoolExecutor() as pool:
        asked = [
            pool.submit(refusal, client.update_function_configuration, FunctionName="f", Timeout=9),
            pool.submit(refusal, client.update_function_code, FunctionName="f", ZipFile=zipped("x = 1\n")),
        ]
        until(lambda: world.deploys.judging == before + 2, 20)
        client.tag_resource(Resource=made["FunctionArn"], Tags={"a": "b"})
        world.on_loop(world.deploys.judges.set)
        ended = [str(each.exception() or each.result()) for each in asked]
    assert sorted("not refused" in each for each in ended) == [False, True], "one update after the other"
    assert any("An update is in progress" in each for each in ended)
    assert client.list_tags(Resource=made["FunctionArn"])["Tags"] == {"a": "b"}


def test_signatures_are_asked_for(world: World, client: Any) -> None:
    assert refusal(world.client(key="AKIAX").list_functions) == (
        403, "UnrecognizedClientException", "The security token included in the request is invalid."
    )  # fmt: skip
    assert refusal(world.client(secret="x").list_functions)[:2] == (403, "InvalidSignatureException")
    bare = httpx.get(f"{world.url}/2015-03-31/functions")
    assert (bare.status_code, bare.headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")
    assert bare.json() == {"message": "Missing Authentication Token"}


def test_a_daemon_that_starts_again_goes_on_with_what_was_wanted(tmp_path: Any) -> None:
    with World(tmp_path) as world:
        world.hold()
        world.client().create_function(**(GIVEN | {"FunctionName": "g"}))
        until(lambda: world.deploys.asked != [], 20)
    with World(tmp_path) as world:
        waiter = world.client().get_waiter("function_active_v2")
        waiter.wait(FunctionName="g", WaiterConfig=SOON)
