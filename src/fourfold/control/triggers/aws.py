"""AWS, or what speaks like it: with whose credentials, where, and calls that do not hold up the daemon."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fourfold.control.triggers.threads import Threads
from fourfold.errors import WorldError

REGION = "us-east-1"
AT_ONCE = 16
"""Calls, of all triggers together; those that wait for messages have threads of their own."""
CLIENTS = 64
"""Kept: one takes a quarter of a second to make."""
CONNECT_SECONDS, READ_SECONDS = 5, 40


class AwsError(WorldError):
    """`code`: AWS's, such as ExpiredIteratorException; empty when there was no answer."""

    def __init__(self, what: str, code: str = "") -> None:
        super().__init__(what)
        self.code = code


@dataclass(frozen=True)
class Access:
    region: str
    endpoint: str | None
    key: str | None = None
    """Without one, boto3 looks where it always looks: the daemon's environment, its files, the machine's role."""
    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


class Remote(Protocol):
    @property
    def endpoint(self) -> str | None: ...

    @property
    def region(self) -> str | None: ...


def access(remote: Remote, environ: Mapping[str, str], region: str | None = None) -> Access:
    """`environ`: the service's, with its secrets; `region`: as an ARN has it. What the trigger says goes first."""
    key = environ.get("AWS_ACCESS_KEY_ID") or None
    where = remote.region or region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or REGION
    return Access(
        where,
        remote.endpoint or environ.get("AWS_ENDPOINT_URL") or None,
        key,
        environ.get("AWS_SECRET_ACCESS_KEY") if key else None,
        (environ.get("AWS_SESSION_TOKEN") or None) if key else None,
    )


def region_of(arn: str) -> str | None:
    """None: it is no ARN, but a name."""
    parts = arn.split(":")
    return parts[3] or None if parts[0] == "arn" and len(parts) > 5 else None


class Aws:
    """Clients of boto3, which is imported when the first one is needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: OrderedDict[tuple[str, Access], Any] = OrderedDict()
        self._threads = Threads(AT_ONCE)

    async def call(
        self, access: Access, service: str, operation: str, threads: Threads | None = None, /, **arguments: Any
    ) -> dict[str, Any]:
        """`call(access, "sqs", "send_message", QueueUrl=…)`, in `threads` or those for all. Raises AwsError."""
        return await (threads or self._threads).call(lambda: self._call(access, service, operation, arguments))

    def _call(self, access: Access, service: str, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        where = access.endpoint or f"AWS in {access.region}"
        try:
            answer: dict[str, Any] = getattr(self._client(access, service), operation)(**arguments)
            return answer
        except ClientError as error:
            told = error.response.get("Error", {})
            code = str(told.get("Code", ""))
            message = str(told.get("Message") or operation).rstrip(".")
            raise AwsError(f"{message} ({code}, from {where})", code) from error
        except (BotoCoreError, ValueError) as error:
            raise AwsError(str(error)) from error

    def _client(self, access: Access, service: str) -> Any:
        with self._lock:  # making clients of one session is not thread-safe
            if (known := self._clients.get((service, access))) is not None:
                self._clients.move_to_end((service, access))
                return known
            import boto3
            from botocore.config import Config

            made = boto3.session.Session().client(
                service,
                region_name=access.region,
                endpoint_url=access.endpoint,
                aws_access_key_id=access.key,
                aws_secret_access_key=access.secret,
                aws_session_token=access.token,
                config=Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                    max_pool_connections=AT_ONCE,
                    retries={"mode": "standard", "total_max_attempts": 2},
                ),
            )
            self._clients[service, access] = made
            if len(self._clients) > CLIENTS:
                self._clients.popitem(last=False)
            return made
