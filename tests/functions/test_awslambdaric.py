"""The official runtime client for Python, unmodified: every way in which an invocation can end."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from fourfold.functions.endings import MAX_PAYLOAD
from fourfold.functions.invoker import InitError
from tests.functions.rig import Rig, in_loop, make_config, running

ID = "8f5b1f2c-0a51-4b7e-9b1e-0c2f3a4d5e6f"
CRASHES = {
    "sys.exit 0": ({"do": "sys.exit", "code": 0}, "Runtime exited without providing a reason"),
    "sys.exit 5": ({"do": "sys.exit", "code": 5}, "Runtime exited with error: exit status 5"),
    "os._exit 127": ({"do": "os._exit", "code": 127}, "Runtime exited with error: exit status 127"),
    "SIGKILL": ({"do": "kill"}, "Runtime exited with error: signal: killed"),
}


def test_what_a_handler_is_told_and_what_its_caller_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        config = make_config(tmp_path, "app.told")
        async with running(tmp_path, config, variables={"MY_OWN": "value"}) as rig:
            answer = await rig.invoke(
                {"k": "ü"},
                tail=True,
                request_id=ID,
                client_context='{"custom":\n{"who": "ü"}}',
                trace="Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
                arn="arn:aws:lambda:us-east-1:000000000000:function:shop-made:live",
            )
            told = json.loads(answer.payload)
            assert (answer.status, answer.error, answer.version) == (200, "", "$LATEST")
            assert told["event"] == {"k": "ü"} and told["request_id"] == ID and told["custom"] == {"who": "ü"}
            assert told["arn"].endswith(":shop-made:live") and told["trace"].startswith("Root=1-5759e988-")
            assert told["name"] == "shop-made" and told["memory"] == "128" and 0 < told["left"] <= 60_000
            assert (
                told["env"]["MY_OWN"] == "value" and told["env"]["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/shop-made"
            )
            lines = base64.b64decode(answer.log).decode().splitlines()
            assert lines[0] == f"START RequestId: {ID} Version: $LATEST"
            assert lines[1] == "said by the function"
            assert lines[2] == f"END RequestId: {ID}"
            assert lines[3].startswith(f"REPORT RequestId: {ID}\tDuration: ") and "\tInit Duration: " in lines[3]
            warm = await rig.invoke({}, tail=True)
            assert "Init Duration" not in base64.b64decode(warm.log).decode()
            first, second = rig.usage()
            assert first.request_id == ID and first.init_ms > 0 and first.billed_ms >= first.init_ms
            assert second.init_ms == 0 and first.used > 1024 * 1024 and {first.ended, second.ended} == {"ok"}
            assert "said by the function" in await rig.log(f"END RequestId: {ID}")

    in_loop(work())


def test_every_way_to_fail_is_told_as_aws_tells_it_and_the_next_event_is_served(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, make_config(tmp_path)) as rig:
            await handled_error(rig)
            for event, why in CRASHES.values():
                await fails(rig, event, "Runtime.ExitError", why, "crash")
            too_large = await rig.invoke({"do": "size", "size": MAX_PAYLOAD})
            assert too_large.payload == (
                b'{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).",'
                b'"errorType":"Function.ResponseSizeTooLarge"}'
            )
            assert rig.usage()[-1].ended == "error"
            closed = await rig.invoke({"do": "close"})
            assert json.loads(closed.payload) == "closed"
            assert json.loads((await rig.invoke({"do": "echo"})).payload) == {"do": "echo"}
        async with running(tmp_path, make_config(tmp_path, timeout=1.0)) as rig:
            late = {"do": "sleep", "seconds": 60}
            await fails(rig, late, "Sandbox.Timedout", "Task timed out after 1.00 seconds", "timeout", again=False)

    in_loop(work())


async def handled_error(rig: Rig) -> None:
    answer = await rig.invoke({"do": "fail"})
    body = json.loads(answer.payload)
    assert (answer.status, answer.error) == (200, "Unhandled")
    assert body["errorType"] == "ValueError" and body["errorMessage"] == "of no use" and body["stackTrace"]
    not_json = json.loads((await rig.invoke({"do": "not json"})).payload)
    assert not_json["errorType"] == "Runtime.MarshalError"
    assert [usage.ended for usage in rig.usage()] == ["error", "error"]


async def fails(rig: Rig, event: Any, kind: str, why: str, ended: str, again: bool = True) -> None:
    answer = await rig.invoke(event, request_id=ID, tail=True)
    assert (answer.status, answer.error) == (200, "Unhandled")
    assert json.loads(answer.payload) == {"errorType": kind, "errorMessage": f"RequestId: {ID} Error: {why}"}
    assert rig.usage()[-1].ended == ended
    report = base64.b64decode(answer.log).decode().splitlines()[-1]
    assert ("Status: timeout" if ended == "timeout" else f"Status: error\tError Type: {kind}") in report
    if again:
        assert json.loads((await rig.invoke({"do": "echo"})).payload) == {"do": "echo"}


def test_six_megabytes_both_ways(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path, make_config(tmp_path, "app.echo")) as rig:
            payload = json.dumps("x" * (6 * 1024 * 1024 - 2)).encode()
            assert (await rig.invoke(payload)).payload == payload
            refused = await rig.invoke(payload + b" ")
            assert refused.status == 413 and refused.headers["x-amzn-errortype"] == "RequestTooLargeException"

    in_loop(work())


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        ("broken.handler", "Runtime.ImportModuleError: Unable to import module 'broken'"),
        ("app.nothing", "Runtime.HandlerNotFound: Handler 'nothing' missing on module 'app'"),
        ("ends.handler", "Runtime exited with error: exit status 3"),
    ],
)
def test_a_function_that_does_not_start_says_why(tmp_path: Path, handler: str, why: str) -> None:
    async def work() -> None:
        with pytest.raises(InitError) as caught:
            async with running(tmp_path, make_config(tmp_path, handler)):
                raise AssertionError("it started")
        assert why in str(caught.value)
        assert (tmp_path / "log").read_text().count("INIT_REPORT") == 2  # tried again, as AWS does

    in_loop(work())
