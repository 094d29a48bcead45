"""AWS's client for Node.js, unmodified, as npm has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.functions_api.conftest import zipped
from tests.functions_api.world import KEY, SECRET, World

CLIENT = "@aws-sdk/client-lambda@3.1164.0"
SCRIPT = Path(__file__).parent / "node_client.mjs"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


@pytest.mark.full
def test_the_client_for_node(world: World, tmp_path: Path) -> None:
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(tmp_path), CLIENT]
    subprocess.run(install, check=True, timeout=170)
    shutil.copy(SCRIPT, tmp_path)
    environ = os.environ | {
        "AWS_ENDPOINT_URL_LAMBDA": world.url, "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
    }  # fmt: skip
    run = subprocess.run(
        ["node", "--no-warnings", str(tmp_path / SCRIPT.name)], input=zipped(), env=environ, capture_output=True,
        timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr.decode()
    assert [json.loads(line) for line in run.stdout.splitlines()] == [
        [201, "Zip"],
        [200, "$LATEST", '{"a":"ü"}', "bG9n"],
        [202],
        [204],
        [f"{ARN}made:live", "1"],
        ["[1]"],
        [["InvokeComplete"]],
        [["made"]],
        [{"a b": "ü/+"}, True],
        ["NONE"],
        ["InvalidParameterValueException",
         "Could not unzip uploaded file. Please check your file, then try to upload again.", 400],
        ["ResourceNotFoundException", f"Function not found: {ARN}nobody", 404],
        ["UnrecognizedClientException", "The security token included in the request is invalid.", 403],
        [204],
    ]  # fmt: skip
