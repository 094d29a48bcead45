"""examples/photos from an uploaded image to the count of a second function, with boto3 inside and moto as AWS."""

from __future__ import annotations

import base64
import os
import runpy
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.home import Home
from tests.support.moto import Moto, moto_outside
from tests.support.wait import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "photos"
DOT = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
"""A PNG of one pixel."""


@pytest.fixture
def aws() -> Iterator[Moto]:
    with moto_outside() as server:
        yield server


@pytest.mark.containers
def test_from_an_image_to_the_count(home: Home, aws: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home.root / "photos"
    shutil.copytree(EXAMPLE, folder)
    environ = {**aws.environ, "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    runpy.run_path(str(folder / "resources.py"), run_name="__main__")  # here, where boto3 is loaded already
    s3, dynamodb = aws.client("s3"), aws.client("dynamodb")
    file = str(folder / "fourfold.yaml")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        home.run("secrets", "set", name, "-f", file, stdin=environ[name])
    home.environ |= environ
    home.run("up", "-f", file, patience=600)

    def item(table: str, key: str) -> dict[str, Any]:
        found: dict[str, Any] = dynamodb.get_item(TableName=table, Key={"id": {"S": key}}).get("Item", {})
        return found

    def photos(user: str) -> list[str]:
        return sorted(item("users", user).get("photos", {}).get("SS", []))

    s3.put_object(Bucket="photos", Key="in/ada/a dot.png", Body=DOT)
    until(lambda: photos("ada") == ["in/ada/a dot.png"], 60, "the count")
    made = s3.get_object(Bucket="photos", Key="out/ada/a dot.jpg")
    assert made["ContentType"] == "image/jpeg" and made["Body"].read().startswith(b"\xff\xd8")
    assert item("images", "in/ada/a dot.png")["width"] == {"N": "1"}

    pids = {name: home.instances(name, "photos")[0]["pid"] for name in ("thumbnail", "counter")}
    wanted = [f"in/ada/{number}.png" for number in range(8)]
    for number, key in enumerate(wanted):
        s3.put_object(Bucket="photos", Key=key, Body=DOT)
        if number == 3:
            home.kill_daemon()
            for service in ("thumbnail", "counter"):
                with suppress(ProcessLookupError):
                    os.kill(pids[service], signal.SIGKILL)
            home.start_daemon()
    # What was under way comes again after a minute, the queue's visibility timeout: perhaps more than once.
    until(lambda: photos("ada") == sorted([*wanted, "in/ada/a dot.png"]), 300, "all to be counted")

    home.run("deploy", "counter", "--as", "process", "-f", file, patience=300)
    s3.put_object(Bucket="photos", Key="in/bela/1.png", Body=DOT)
    until(lambda: photos("bela") == ["in/bela/1.png"], 60, "the count of a handler in a process")
