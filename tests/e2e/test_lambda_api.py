"""Lambda's API with real functions: the session of the page, and boto3 while daemons die."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.e2e.home import Home
from tests.functions_api.conftest import ROLE, SOON, zipped
from tests.support.runtimes import python
from tests.support.transcript import play
from tests.support.wait import until

pytestmark = pytest.mark.containers

PAGE = Path(__file__).parents[2] / "docs/functions.md"
CODE = """\
import os
def handler(event, context):
    print("got", event)
    if event == "boom":
        raise ValueError("boom")
    if isinstance(event, dict) and "rawPath" in event:
        return {"statusCode": 201, "body": event["rawPath"]}
    return [%d, event, context.function_name, context.function_version, os.environ.get("COLOUR")]
"""


@pytest.fixture
def running() -> Iterator[Home]:
    home = Home(pattern="function")
    port = 12_000 + os.getpid() % 400 * 20
    home.environ |= {"FOURFOLD_LAMBDA_LISTEN": f"127.0.0.1:{port}"}
    try:
        home.start_daemon()
        yield home
    finally:
        home.close()


def client_of(home: Home) -> Any:
    with home.api() as api:
        url = api.get("/v1/info").json()["lambda_api"]
    keys = home.home / "lambda-keys.json"
    assert keys.stat().st_mode & 0o777 == 0o600
    config = Config(retries={"total_max_attempts": 1})
    pair = json.loads(keys.read_text())
    return boto3.client("lambda", endpoint_url=url, region_name="us-east-1", config=config, **pair)


def test_the_session_of_the_page_works_as_printed(running: Home, tmp_path: Path) -> None:
    tools = Path(sys.executable).parent
    environ = running.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "AWS_PAGER": "", "HOME": str(tmp_path)}
    play(PAGE.read_text().replace("python3.11", python()), tmp_path, environ)


def wait(client: Any, name: str, kind: str = "function_active_v2") -> None:
    client.get_waiter(kind).wait(FunctionName=name, WaiterConfig=SOON | {"Delay": 0.1})


def answer(client: Any, event: Any, **given: Any) -> Any:
    got = client.invoke(Payload=json.dumps(event).encode(), **({"FunctionName": "f"} | given))
    return json.loads(got["Payload"].read())


def test_functions_are_services_that_outlive_daemons(running: Home) -> None:
    client = client_of(running)
    given = {"Runtime": python(), "Role": ROLE, "Handler": "app.handler"}
    client.create_function(FunctionName="f", Code={"ZipFile": zipped(CODE % 1)}, **given, Publish=True)
    running.kill_daemon()  # in the middle of the build: what was accepted is done
    running.start_daemon()
    client = client_of(running)
    wait(client, "f")
    assert answer(client, 5) == [1, 5, "f", "$LATEST", None]
    failed = client.invoke(FunctionName="f", Payload=b'"boom"')
    assert failed["FunctionError"] == "Unhandled"
    assert json.loads(failed["Payload"].read())["errorType"] == "ValueError"

    client.update_function_code(FunctionName="f", ZipFile=zipped(CODE % 2))
    wait(client, "f", "function_updated_v2")
    assert [answer(client, 0)[0], answer(client, 0, Qualifier="1")[0]] == [2, 1]
    assert running.run("rollback", "f", "-a", "lambda").returncode == 0
    assert answer(client, 0)[0] == 1
    assert client.get_function_configuration(FunctionName="f")["LastUpdateStatus"] == "Successful"

    client.update_function_code(FunctionName="f", ZipFile=zipped("import nothing_of_that_name\n"))
    until(lambda: _update(client) == "Failed", 60, "the code that cannot be imported to be refused")
    assert answer(client, 0)[0] == 1
    told = client.get_function_configuration(FunctionName="f")["LastUpdateStatusReason"]
    assert told

    url = client.create_function_url_config(FunctionName="f", AuthType="NONE")["FunctionUrl"]
    base, host = client.meta.endpoint_url, url.removeprefix("http://").rstrip("/")
    got = httpx.get(f"{base}/a/b", headers={"Host": host})
    assert (got.status_code, got.text) == (201, "/a/b")

    client.invoke(FunctionName="f", InvocationType="Event", Payload=b'"later"')
    until(lambda: "got later" in running.run("logs", "-a", "lambda", "f").stdout, 60, "the event to be handled")

    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError, match="TooManyRequests"):
        client.invoke(FunctionName="f")
    wait(client, "f", "function_updated_v2")
    client.delete_function(FunctionName="f")
    until(lambda: not running.has_app("lambda") or not running.status("lambda")["services"], 60, "its services to go")
    client.create_function(FunctionName="f", Code={"ZipFile": zipped(CODE % 3)}, **given)
    client.create_function(FunctionName="Two", Code={"ZipFile": zipped(CODE % 4)}, **given)
    wait(client, "f")
    wait(client, "Two")
    assert [answer(client, 0)[0], answer(client, 0, FunctionName="Two")[0]] == [3, 4]
    status = running.status("lambda")
    assert (len(status["services"]), status["not_in_file"]) == (2, [])
    assert status["lambda_api"] == base


def _update(client: Any) -> str:
    return str(client.get_function_configuration(FunctionName="f")["LastUpdateStatus"])
