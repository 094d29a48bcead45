"""`init` from SAM templates and serverless.yml: what it writes is valid, and says the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.spec.app import App
from fourfold.spec.parse import parse
from fourfold.spec.starting.draft import draft
from fourfold.spec.starting.finds import Listing

SAM = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {Timeout: 20, Runtime: python3.12, Environment: {Variables: {LEVEL: info}}}}
Resources:
  Photos: {Type: AWS::S3::Bucket}
  ThumbnailFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: thumbnail/
      Handler: app.lambda_handler
      MemorySize: 512
      EphemeralStorage: {Size: 1024}
      ReservedConcurrentExecutions: 20
      ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 2}
      Layers: [!Ref Pillow]
      Environment: {Variables: {TABLE: !Ref Images, PRICE: "$5", ON: true}}
      Events:
        Put:
          Type: S3
          Properties:
            Bucket: !Ref Photos
            Events: s3:ObjectCreated:*
            Filter: {S3Key: {Rules: [{Name: prefix, Value: in/}]}}
        Nightly: {Type: Schedule, Properties: {Schedule: cron(0 18 * * ? *)}}
        Queue: {Type: SQS, Properties: {Queue: !GetAtt Q.Arn}}
  ListFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: ./list
      Handler: index.handler
      Runtime: nodejs20.x
      Events:
        All: {Type: Api, Properties: {Path: /items, Method: get}}
        One: {Type: Api, Properties: {Path: "/items/{id}", Method: get}}
        Any: {Type: HttpApi}
  ReaderFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: shop.Orders::place
      Runtime: java17
      Events:
        Table:
          Type: DynamoDB
          Properties: {Stream: !GetAtt Images.StreamArn, BatchSize: 10, StartingPosition: TRIM_HORIZON}
        Clicks: {Type: Kinesis, Properties: {Stream: "arn:aws:kinesis:us-east-1:1:stream/clicks"}}
        More: {Type: Api, Properties: {Path: /items, Method: get}}
"""
SERVERLESS = """
service: shop
provider: {name: aws, runtime: nodejs20.x, memorySize: 256, environment: {STAGE: "${opt:stage}"}}
functions:
  hello:
    handler: src/handler.hello
    events:
      - httpApi: GET /hello
      - http: {path: "users/{id}", method: post}
      - schedule: rate(5 minutes)
  worker:
    handler: worker.run
    timeout: 90
    provisionedConcurrency: 12
    environment: {A: 1}
    events:
      - s3: {bucket: photos, event: "s3:ObjectCreated:Put", rules: [{suffix: .jpg}]}
      - stream: {type: kinesis, arn: "arn:aws:kinesis:us-east-1:1:stream/clicks", batchSize: 50}
      - sns: topic
"""


def drafted(name: str, text: str) -> tuple[App, str]:
    made = draft(Listing("shop", frozenset({name}), {name: text}))
    return parse([("fourfold.yaml", made)], {}), made


def test_a_sam_template() -> None:
    app, text = drafted("template.yaml", SAM)
    thumbnail, list_, reader = (app.services[name] for name in ("thumbnail", "list", "reader"))
    assert (thumbnail.source, thumbnail.pattern, thumbnail.runtime) == ("./thumbnail", "function", "python3.12")
    assert (thumbnail.function.handler, thumbnail.function.timeout) == ("app.lambda_handler", 20)
    assert (thumbnail.resources.memory, thumbnail.function.tmp) == (512 * 1024**2, 1024**3)
    assert (thumbnail.function.concurrency, thumbnail.function.provisioned) == (20, 2)
    assert "# its layer !Ref Pillow: put it into the source" in text
    assert thumbnail.env == {"LEVEL": "info", "PRICE": "$5", "ON": "true"}
    s3, schedule = thumbnail.triggers
    assert s3.s3 is not None and schedule.schedule is not None
    assert (s3.s3.bucket, s3.s3.prefix, s3.s3.events) == ("photos", "in/", ["s3:ObjectCreated:*"])
    assert schedule.schedule.cron == "cron(0 18 * * ? *)"
    assert "# env TABLE: !Ref Images" in text and "the event SQS" in text and "say its real name" in text
    assert (list_.runtime, list_.function.payload) == ("nodejs20", "v1")
    assert [(route.path, route.methods) for route in list_.route] == [("/items", ("GET",)), ("/", ())]
    assert list_.function.paths == ["GET /items", "GET /items/{id}"]
    assert reader.function.handler == "shop.Orders::place" and reader.source == "."
    table, clicks = reader.triggers
    assert table.dynamodb is not None and (table.dynamodb.batch, table.dynamodb.start) == (10, "trim-horizon")
    assert clicks.kinesis is not None and clicks.kinesis.stream.endswith("stream/clicks")
    assert not reader.route and "another one has it already" in text


def test_a_serverless_file() -> None:
    app, text = drafted("serverless.yml", SERVERLESS)
    hello, worker = app.services["hello"], app.services["worker"]
    assert (hello.function.handler, hello.function.timeout, hello.runtime) == ("src/handler.hello", 6, "nodejs20")
    assert [(route.path, route.methods) for route in hello.route] == [("/hello", ("GET",)), ("/users", ("POST",))]
    assert hello.function.paths == ["GET /hello", "POST /users/{id}"]
    assert hello.triggers[0].schedule is not None
    assert (worker.function.concurrency, worker.function.provisioned) == (12, 12)
    assert worker.env == {"A": "1"} and worker.function.timeout == 90 and worker.resources.memory == 256 * 1024**2
    assert worker.triggers[0].s3 is not None and worker.triggers[0].s3.suffix == ".jpg"
    assert worker.triggers[1].kinesis is not None and worker.triggers[1].kinesis.batch == 50
    assert "# env STAGE: ${opt:stage}" in text and "the event sns" in text


ASKED_SAM = """
Globals: {Api: {Auth: {DefaultAuthorizer: Pool}}}
Resources:
  Shop: {Type: AWS::Serverless::HttpApi, Properties: {Auth: {DefaultAuthorizer: Tokens}}}
  AFunction:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: esbuild}
    Properties:
      Handler: a.b
      Events:
        All: {Type: Api, Properties: {Path: /all, Method: get}}
        Own: {Type: Api, Properties: {Path: /own, Method: get, Auth: {Authorizer: Own}}}
        Key: {Type: Api, Properties: {Path: /key, Method: get, Auth: {ApiKeyRequired: true}}}
        None: {Type: Api, Properties: {Path: /open, Method: get, Auth: {Authorizer: NONE}}}
        Shop: {Type: HttpApi, Properties: {Path: /shop, Method: get, ApiId: !Ref Shop}}
"""
ASKED_SERVERLESS = """
plugins: [serverless-offline, serverless-esbuild]
functions:
  a:
    handler: a.b
    events:
      - http: {path: all, method: get, authorizer: {name: Pool, type: COGNITO_USER_POOLS}}
      - http: {path: own, method: get, authorizer: Own}
      - http: {path: key, method: get, private: true}
      - http: {path: open, method: get}
      - httpApi: {path: /shop, method: get, authorizer: {type: Tokens}}
"""


@pytest.mark.parametrize(("name", "text"), [("template.yaml", ASKED_SAM), ("serverless.yml", ASKED_SERVERLESS)])
def test_who_is_let_in_and_what_builds_it_there_are_told(name: str, text: str) -> None:
    _, said = drafted(name, text)
    asked = re.findall(r"# /?(\w+) asks for (a key|\w+) there, and nobody is asked here", said)
    assert asked == [("all", "Pool"), ("own", "Own"), ("key", "a key"), ("shop", "Tokens")]
    assert "esbuild builds it there: say how in `build`" in said


OFF_SAM = """
Globals: {Function: {Layers: [!Ref Common]}}
Resources:
  AFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: a.b
      MemorySize: !Ref Size
      Layers: [!Ref Own]
      FunctionUrlConfig: {AuthType: NONE}
      Events:
        One: {Type: Schedule, Properties: {Schedule: rate(5 minutes), Enabled: false}}
        Two: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(5 minutes), State: DISABLED}}
        List: {Type: HttpApi, Properties: {Path: /items, Method: get}}
        Item: {Type: HttpApi, Properties: {Path: "/items/{id}", Method: ANY}}
"""
OFF_SERVERLESS = """
functions:
  a:
    handler: a.b
    memorySize: ${self:custom.size}
    url: true
    layers: [Common, Own]
    events:
      - schedule: {rate: rate(5 minutes), enabled: false}
      - httpApi: GET /items
      - httpApi: {path: "/items/{id}", method: "*"}
"""


@pytest.mark.parametrize(("name", "text"), [("template.yaml", OFF_SAM), ("serverless.yml", OFF_SERVERLESS)])
def test_what_is_off_fires_no_trigger_and_what_cannot_be_known_is_told(name: str, text: str) -> None:
    app, said = drafted(name, text)
    function = app.services["a"]
    assert not function.triggers and "chedule" in said and "is off there" in said
    assert "its memory is" in said and "its function URL" in said and "Common" in said and "Own" in said
    assert [(route.path, route.methods) for route in function.route] == [("/items", ())]


@pytest.mark.parametrize("text", ["", "- a", "Resources: 5", "{", "a: &a [*a]", "functions: {a: 1, b: [x]}", "!X y"])
@pytest.mark.parametrize("name", ["template.yaml", "serverless.yml"])
def test_what_describes_no_function_is_left_alone(name: str, text: str) -> None:
    assert "web:" in draft(Listing("shop", frozenset({name}), {name: text}))


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=20))
@settings(max_examples=60, deadline=None)
def test_whatever_stands_in_a_template_what_is_written_is_valid(handler: str, value: str, name: str) -> None:
    import json

    path = {"Type": "Api", "Properties": {"Path": value, "Method": name}}
    rate = {"Type": "Schedule", "Properties": {"Schedule": value}}
    bucket = {"Type": "S3", "Properties": {"Bucket": value, "Events": name}}
    said = {"Handler": handler, "Environment": {"Variables": {"A": value}}, "CodeUri": value, "Runtime": name}
    said["Events"] = {"a": path, "b": rate, "c": bucket}
    template = {"Resources": {name or "F": {"Type": "AWS::Serverless::Function", "Properties": said}}}
    drafted("template.yaml", json.dumps(template))
