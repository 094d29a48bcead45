"""Events of streams and buckets reach a service over deaths of all that is in between."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.home import Home
from tests.support.moto import Moto, moto_server
from tests.support.ports import free_port
from tests.support.wait import until

TAKER = """\
import base64, json, os, pathlib
from http.server import BaseHTTPRequestHandler, HTTPServer

class Taker(BaseHTTPRequestHandler):
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open("/data/taken", "a") as file:
            for record in event["Records"]:
                if "kinesis" in record:
                    said = base64.b64decode(record["kinesis"]["data"]).decode()
                    if said == "poison":
                        os._exit(1)
                else:
                    said = record["s3"]["object"]["key"]
                file.write(said + "\\n")
        self.send_response(204)
        self.end_headers()

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(pathlib.Path("/data/taken").read_bytes())

    def log_message(self, *args):
        pass

pathlib.Path("/data/taken").touch()
HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Taker).serve_forever()
"""

FILE = """\
app: app
services:
  taker:
    source: ./taker
    run: exec /usr/bin/python3 taker.py
    port: 8080
    route: {{path: /}}
    volumes: [{{name: taken, path: /data}}]
    restart: {{backoff: {{min: 100ms, max: 500ms}}}}
    env: {env}
    triggers:
      - kinesis: {{stream: clicks, batch: 5, start: trim-horizon, bisect: true, retries: 1, on_failure: lost}}
      - s3: {{bucket: photos, queue: photos-events}}
gateway: {{listen: LISTEN}}
"""


@pytest.fixture
def moto() -> Iterator[Moto]:
    with moto_server(free_port()) as server:
        yield server


def test_over_deaths_of_the_daemon_and_the_service(home: Home, moto: Moto) -> None:
    moto.stream("clicks")
    moto.bucket_with_queue("photos", "photos-events")
    sqs, kinesis, s3 = (moto.client(name) for name in ("sqs", "kinesis", "s3"))
    lost = sqs.create_queue(QueueName="lost")["QueueUrl"]
    file = home.app(FILE.format(env=json.dumps(moto.environ)))
    taker = Path(file).parent / "taker"
    taker.mkdir()
    (taker / "taker.py").write_text(TAKER)
    home.run("up", "-f", str(file))

    def put(*items: str) -> None:
        for item in items:
            kinesis.put_record(StreamName="clicks", PartitionKey=item[0], Data=item.encode())

    def taken() -> list[str]:
        return home.get("/").raise_for_status().text.split()

    put(*(f"a{number:02d}" for number in range(20)))
    s3.put_object(Bucket="photos", Key="one.png", Body=b"1")
    home.kill_daemon()
    put("poison", *(f"a{number:02d}" for number in range(20, 30)))
    s3.put_object(Bucket="photos", Key="two.png", Body=b"2")
    home.start_daemon()
    pid = until(lambda: home.instances("taker")[0]["pid"], 60, "it to run: poison ends it too")
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wanted = {f"a{number:02d}" for number in range(30)} | {"one.png", "two.png"}
    # That of an object waits for a minute and for two more where a death met it, and then another one.
    until(lambda: wanted <= set(taken()), 300, "all to be taken")

    first = list(dict.fromkeys(each for each in taken() if each.startswith("a")))
    assert first == sorted(first)
    (message,) = until(lambda: sqs.receive_message(QueueUrl=lost).get("Messages"), 60, "what was given up")
    told = json.loads(message["Body"])
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert told["KinesisBatchInfo"]["batchSize"] == 1
    assert "trigger.given-up" in {event["kind"] for event in home.events()}
