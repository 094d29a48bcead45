from __future__ import annotations

from pathlib import Path

from fourfold.functions import environment
from tests.functions.rig import make_config


def test_what_the_environment_says() -> None:
    config = make_config(Path("/tmp"), "app.handler", argv=("/usr/bin/python3.11",), provisioned=1)
    own = {
        "PATH": "/mine",
        "AWS_REGION": "eu-west-1",
        "_HANDLER": "no",
        "PYTHONPATH": "/extra",
        "AWS_ACCESS_KEY_ID": "k",
    }
    made = environment.of_sandboxes(config, own, "2026/11/25", ".venv/lib/python3.11/site-packages")
    assert made["PATH"] == "/mine" and made["AWS_REGION"] == "eu-west-1" and made["AWS_ACCESS_KEY_ID"] == "k"
    assert made["_HANDLER"] == "app.handler" and made["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.11"
    assert made["PYTHONPATH"] == (
        "/extra:/var/task:/var/task/.venv/lib/python3.11/site-packages:/opt/python:/var/runtime"
    )
    assert made["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
    assert "AWS_SECRET_ACCESS_KEY" not in made and "NODE_PATH" not in made
    assert environment.own({"fn.A": "1", "B": "2"}) == {"A": "1"}
