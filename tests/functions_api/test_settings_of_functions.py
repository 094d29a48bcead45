"""Versions, aliases, event sources, policies, tags, concurrency and asynchronous settings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fourfold.control.triggers.source import identity
from fourfold.functions.model import Answer
from fourfold.store.model import InstanceRow
from tests.functions_api.conftest import SOON, zipped
from tests.functions_api.world import World, refusal
from tests.support.wait import until

STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks"
TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/things/stream/2026-11-25T00:00:00.000"


def updated(client: Any) -> None:
    client.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig=SOON)


def ready(world: World, service: str, release: int) -> None:
    def put() -> None:
        with world.registry.transaction():
            world.registry.put_instance(
                InstanceRow(f"lambda.{service}-1", "lambda", service, release, "r", "serve", "ready", 1.0, 1.0)
            )

    world.on_loop(put)


def test_versions_stay_as_they_were(world: World, client: Any, create: Any) -> None:
    create(Publish=True, Description="one")
    assert client.get_function_configuration(FunctionName="f", Qualifier="1")["Description"] == "one"
    first = client.publish_version(FunctionName="f")  # nothing has changed since
    assert (first["Version"], first["FunctionArn"].rpartition(":")[2]) == ("1", "1")
    client.update_function_code(FunctionName="f", ZipFile=zipped("2"))
    updated(client)
    assert refusal(client.publish_version, FunctionName="f", CodeSha256="x")[1] == "InvalidParameterValueException"
    second = client.publish_version(FunctionName="f", Description="two")
    assert (second["Version"], second["Description"]) == ("2", "two")
    assert first["CodeSha256"] != second["CodeSha256"]
    listed = client.list_versions_by_function(FunctionName="f")["Versions"]
    assert [each["Version"] for each in listed] == ["$LATEST", "1", "2"]
    assert client.get_function(FunctionName="f", Qualifier="1")["Configuration"]["CodeSha256"] == first["CodeSha256"]
    client.delete_function(FunctionName="f", Qualifier="2")
    assert refusal(client.get_function, FunctionName="f", Qualifier="2")[0] == 404
    client.update_function_configuration(FunctionName="f", Timeout=5)
    updated(client)
    assert client.publish_version(FunctionName="f")["Version"] == "3"  # numbers are not used again


def test_aliases_lead_to_versions_that_run_by_themselves(world: World, client: Any, create: Any) -> None:
    create(Publish=True)
    made = client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    assert made["AliasArn"].endswith(":function:f:live")
    assert refusal(client.create_alias, FunctionName="f", Name="live", FunctionVersion="1")[0] == 409
    assert refusal(client.create_alias, FunctionName="f", Name="2", FunctionVersion="1")[1] == "ValidationException"
    assert refusal(client.create_alias, FunctionName="f", Name="x", FunctionVersion="7")[0] == 404
    until(lambda: "lambda.f-v1" in world.registry.services, 20, "a service of the version's own")
    assert world.spec("f-v1").function.handler == "app.handler"
    ready(world, "f-v1", 1)
    client.update_function_code(FunctionName="f", ZipFile=zipped("2"), Publish=True)
    updated(client)
    got = client.invoke(FunctionName="f", Qualifier="live")
    assert (got["ExecutedVersion"], world.functions.asked[-1][0]) == ("1", "lambda.f-v1")
    assert world.functions.asked[-1][1].arn.endswith(":function:f:live")
    routing = {"AdditionalVersionWeights": {"2": 1.0}}
    changed = client.update_alias(FunctionName="f", Name="live", RoutingConfig=routing, RevisionId=made["RevisionId"])
    assert changed["RoutingConfig"] == routing
    assert client.invoke(FunctionName="f:live")["ExecutedVersion"] == "2"
    assert refusal(client.update_alias, FunctionName="f", Name="live", RevisionId=made["RevisionId"])[0] == 412
    assert refusal(client.delete_function, FunctionName="f", Qualifier="1")[0] == 409
    assert [each["Name"] for each in client.list_aliases(FunctionName="f", FunctionVersion="2")["Aliases"]] == ["live"]
    client.delete_alias(FunctionName="f", Name="live")
    client.delete_alias(FunctionName="f", Name="live")
    assert refusal(client.get_alias, FunctionName="f", Name="live")[0] == 404
    client.delete_function(FunctionName="f", Qualifier="1")
    until(lambda: "lambda.f-v1" not in world.registry.services, 20, "the version's service to go")
    client.delete_function(FunctionName="f")
    until(lambda: not world.registry.of_app("lambda"), 20, "all services to go")


def test_a_version_is_answered_by_its_function_while_it_is_the_same(world: World, client: Any, create: Any) -> None:
    create(Publish=True)
    ready(world, "f", 1)
    world.functions.answers["lambda.f"] = Answer(200, b"1")
    got = client.invoke(FunctionName="f", Qualifier="1")
    assert (got["ExecutedVersion"], world.functions.asked[-1][0]) == ("1", "lambda.f")
    until(lambda: "lambda.f-v1" in world.registry.services, 20, "a service of the version's own")


def test_a_version_that_nobody_asked_for_is_waited_for(world: World, client: Any, create: Any) -> None:
    create(Publish=True)
    client.update_function_code(FunctionName="f", ZipFile=zipped("2"), Publish=True)
    updated(client)
    assert "lambda.f-v1" not in world.registry.services
    got = client.invoke(FunctionName="f", Qualifier="1")
    assert (got["ExecutedVersion"], world.functions.asked[-1][0]) == ("1", "lambda.f-v1")
    world.on_loop(lambda: setattr(world.deploys, "fails", "its disk is full"))
    status, code, message = refusal(client.invoke, FunctionName="f", Qualifier="2")
    assert (status, code) == (503, "ServiceException")
    assert "its disk is full" in message


def test_event_sources_are_triggers(world: World, client: Any, create: Any) -> None:
    create()
    made = client.create_event_source_mapping(
        FunctionName="f", EventSourceArn=STREAM, StartingPosition="TRIM_HORIZON", BatchSize=7, MaximumRetryAttempts=3,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )  # fmt: skip
    expected = {
        "BatchSize": 7, "MaximumBatchingWindowInSeconds": 0, "MaximumRecordAgeInSeconds": -1, "MaximumRetryAttempts": 3,
        "ParallelizationFactor": 1, "BisectBatchOnFunctionError": False, "StateTransitionReason": "User action",
        "EventSourceArn": STREAM, "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
    }  # fmt: skip
    assert expected.items() <= made.items()
    assert (made["State"], made["ResponseMetadata"]["HTTPStatusCode"]) == ("Creating", 202)
    uuid = made["UUID"]
    until(lambda: client.get_event_source_mapping(UUID=uuid)["State"] == "Enabled", 20, "it to be enabled")

    def triggers() -> list[dict[str, Any]]:
        return [each.model_dump(exclude_none=True) for each in world.spec("f").triggers]

    (trigger,) = triggers()
    assert trigger["kinesis"] == {
        "stream": STREAM, "region": "us-east-1", "batch": 7, "window": 0.0, "start": "trim-horizon", "parallel": 1,
        "retries": 3, "bisect": False, "partial": True,
    }  # fmt: skip
    assert client.get_event_source_mapping(UUID=uuid)["LastProcessingResult"] == "No records processed"
    shard = ("lambda", "f", identity(world.spec("f").triggers[0]), "shard:shardId-000000000000", "[]")
    world.on_loop(lambda: world.registry.store.trigger_states.put(*shard))
    assert client.get_event_source_mapping(UUID=uuid)["LastProcessingResult"] == "OK"
    assert refusal(client.create_event_source_mapping, FunctionName="f", EventSourceArn=STREAM,
                   StartingPosition="LATEST")[0] == 409  # fmt: skip
    client.create_event_source_mapping(FunctionName="f", EventSourceArn=TABLE, StartingPosition="LATEST")
    updated(client)
    assert [next(iter(each)) for each in triggers()] == ["kinesis", "dynamodb"]
    client.update_event_source_mapping(UUID=uuid, Enabled=False)
    updated(client)
    assert client.get_event_source_mapping(UUID=uuid)["State"] == "Disabled"
    assert [next(iter(each)) for each in triggers()] == ["dynamodb"]
    assert len(client.list_event_source_mappings(FunctionName="f")["EventSourceMappings"]) == 2
    assert len(client.list_event_source_mappings(EventSourceArn=STREAM)["EventSourceMappings"]) == 1
    assert client.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"
    updated(client)
    assert refusal(client.get_event_source_mapping, UUID=uuid)[0] == 404
    assert [next(iter(each)) for each in triggers()] == ["dynamodb"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q"}, "must be kinesis, dynamodb stream"),
        ({"StartingPosition": "AT_TIMESTAMP"}, "TRIM_HORIZON and LATEST"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}, "not filtered"),
        ({"BatchSize": 10_001}, "10000"),
        ({"FunctionName": "f:1"}, "to the function itself"),
        ({"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::b"}}}, "SQS queues and functions"),
    ],
)
def test_event_sources_that_are_refused(client: Any, create: Any, given: dict[str, Any], told: str) -> None:
    create()
    whole = {"FunctionName": "f", "EventSourceArn": STREAM, "StartingPosition": "LATEST"} | given
    status, _, message = refusal(client.create_event_source_mapping, **whole)
    assert status == 400
    assert told in message
    assert client.list_event_source_mappings()["EventSourceMappings"] == []


def test_what_is_purged_is_forgotten(world: World, client: Any, create: Any) -> None:
    create(Publish=True)
    client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    client.create_event_source_mapping(FunctionName="f", EventSourceArn=STREAM, StartingPosition="LATEST")
    client.create_function_url_config(FunctionName="f", AuthType="NONE")
    updated(client)
    world.on_loop(lambda: world.lambdas.forget("lambda"))
    store = world.registry.store.functions
    assert world.on_loop(lambda: [store.all(), store.versions(), store.aliases(), store.mappings()]) == [[], [], [], []]
    assert client.list_event_source_mappings()["EventSourceMappings"] == []


def test_policies_and_tags(client: Any, create: Any) -> None:
    create()
    given = {"FunctionName": "f", "StatementId": "s", "Action": "lambda:InvokeFunction",
             "Principal": "s3.amazonaws.com", "SourceArn": "arn:aws:s3:::b"}  # fmt: skip
    statement = json.loads(client.add_permission(**given)["Statement"])
    assert statement == {
        "Sid": "s", "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "lambda:InvokeFunction",
        "Resource": "arn:aws:lambda:us-east-1:000000000000:function:f",
        "Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"}},
    }  # fmt: skip
    assert refusal(client.add_permission, **given)[0] == 409
    assert json.loads(client.get_policy(FunctionName="f")["Policy"])["Statement"] == [statement]
    client.remove_permission(FunctionName="f", StatementId="s")
    assert refusal(client.remove_permission, FunctionName="f", StatementId="s")[0] == 404
    assert refusal(client.get_policy, FunctionName="f")[0] == 404
    arn = "arn:aws:lambda:us-east-1:000000000000:function:f"
    client.tag_resource(Resource=arn, Tags={"a": "1", "b": "2"})
    client.untag_resource(Resource=arn, TagKeys=["a"])
    assert client.list_tags(Resource=arn)["Tags"] == {"b": "2"}
    assert refusal(client.list_tags, Resource=arn + "g")[0] == 404


def test_concurrency_and_the_account(world: World, client: Any, create: Any) -> None:
    create()
    assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName="f")
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=3)
    updated(client)
    assert world.spec("f").function.concurrency == 3
    assert client.get_function(FunctionName="f")["Concurrency"] == {"ReservedConcurrentExecutions": 3}
    told = client.get_account_settings()
    assert told["AccountLimit"]["UnreservedConcurrentExecutions"] == 997
    assert told["AccountUsage"] == {"TotalCodeSize": len(zipped()), "FunctionCount": 1}
    client.delete_function_concurrency(FunctionName="f")
    updated(client)
    assert world.spec("f").function.concurrency == 10


def test_asynchronous_settings(world: World, client: Any, create: Any) -> None:
    create()
    create("g")
    assert refusal(client.get_function_event_invoke_config, FunctionName="f")[0] == 404
    failures = {"OnFailure": {"Destination": "arn:aws:lambda:us-east-1:000000000000:function:g"}}
    told = client.put_function_event_invoke_config(
        FunctionName="f", MaximumRetryAttempts=0, MaximumEventAgeInSeconds=60, DestinationConfig=failures
    )
    assert (told["MaximumRetryAttempts"], told["MaximumEventAgeInSeconds"]) == (0, 60)
    assert told["FunctionArn"].endswith(":f:$LATEST")
    updated(client)
    said = world.spec("f").function
    assert (said.retries, said.max_age, said.on_failure) == (0, 60.0, "g")
    told = client.update_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=1)
    assert (told["MaximumRetryAttempts"], told["MaximumEventAgeInSeconds"]) == (1, 60)
    updated(client)
    success = {"OnSuccess": {"Destination": "arn:aws:sqs:us-east-1:000000000000:q"}}
    assert refusal(client.put_function_event_invoke_config, FunctionName="f", DestinationConfig=success)[0] == 400
    client.delete_function_event_invoke_config(FunctionName="f")
    assert refusal(client.get_function_event_invoke_config, FunctionName="f")[0] == 404
