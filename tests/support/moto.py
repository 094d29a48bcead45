"""A server of moto's, which speaks as AWS does: a process of its own, as programs that are tested would meet it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx

from tests.support.netns import run
from tests.support.wait import until

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}


class Moto:
    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.environ = {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}

    def client(self, service: str) -> Any:
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )  # fmt: skip

    def bucket_with_queue(self, bucket: str, queue: str) -> str:
        """The bucket notifies the queue of everything; its url."""
        sqs = self.client("sqs")
        url: str = sqs.create_queue(QueueName=queue)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        s3 = self.client("s3")
        s3.create_bucket(Bucket=bucket)
        wanted = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [wanted]}
        )
        return url

    def stream(self, name: str, shards: int = 1) -> None:
        kinesis = self.client("kinesis")
        kinesis.create_stream(StreamName=name, ShardCount=shards)
        kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})

    def table(self, name: str, key: str = "id") -> None:
        self.client("dynamodb").create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )


@contextmanager
def moto_outside() -> Iterator[Moto]:
    """On a machine of its own, 192.0.2.2, for this host and what is on its bridges: as far as they can tell, AWS."""
    keeper = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    try:
        mine = Path("/proc/self/ns/net").readlink()
        until(lambda: Path(f"/proc/{keeper.pid}/ns/net").readlink() != mine, what="a network of its own")
        inside = ("nsenter", "-t", str(keeper.pid), "-n")
        run("ip", "link", "add", "aws0", "type", "veth", "peer", "name", "aws1", "netns", str(keeper.pid))
        run("ip", "address", "add", "192.0.2.1/24", "dev", "aws0")
        run("ip", "link", "set", "aws0", "up")
        run(*inside, "ip", "link", "set", "lo", "up")
        run(*inside, "ip", "address", "add", "192.0.2.2/24", "dev", "aws1")
        run(*inside, "ip", "link", "set", "aws1", "up")
        with moto_server(5000, "192.0.2.2", inside) as server:
            yield server
    finally:
        keeper.kill()
        keeper.wait()


@contextmanager
def moto_server(port: int, host: str = "127.0.0.1", within: tuple[str, ...] = ()) -> Iterator[Moto]:
    """`within`: a command that runs others, such as one that enters a network namespace."""
    server = subprocess.Popen(
        [*within, str(Path(sys.executable).with_name("moto_server")), "-H", host, "-p", str(port)],
        env={**os.environ, **CREDENTIALS},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    endpoint = f"http://{host}:{port}"
    try:
        until(
            lambda: httpx.get(f"{endpoint}/moto-api/", timeout=2, verify=False).status_code == 200, 60, "moto to answer"
        )
        yield Moto(endpoint)
    finally:
        server.kill()
        server.wait()
