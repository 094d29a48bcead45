"""What an invoker is told, asked and answers: values only, which the daemon and the invoker both import."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

CONFIG = "FOURFOLD_FUNCTION"
"""Variable of the invoker's environment that holds its Config as JSON."""
PREFIX = "fn."
"""In front of the names of the function's own variables in the invoker's environment: what a service file says must
not reach a program that runs as root (LD_PRELOAD)."""
TASK, RUNTIME, LAYERS = "/var/task", "/var/runtime", "/opt"
"""Where a sandbox sees its code, its runtime's client, and its layers (as AWS has them). The code is at /app too."""
RUNTIME_API = "127.0.0.1:9001"
"""In the network namespace of each sandbox."""

FULL_CORE = 1769 * 1024 * 1024
"""Bytes of memory that come with one core: AWS's figure (Lambda developer guide, "Configure memory")."""
PIDS = 1024
TEMPLATE = "FOURFOLD_TEMPLATE"
"""Variable of the invoker's environment: folder of the template that its sandboxes go on from, where there is one."""

Kind = Literal["python", "nodejs", "java", "provided"]


@dataclass(frozen=True)
class SandboxUser:
    uid: int
    gid: int
    name: str


@dataclass(frozen=True)
class SandboxNetwork:
    """Where sandboxes get their addresses: all of `block` but none of its neighbours'."""

    bridge: str
    gateway: str
    prefix: int
    """Of the whole bridge's network."""
    block: str
    """`10.177.128.16/28`: the first sandbox gets 10.177.128.16."""


@dataclass(frozen=True)
class SandboxMachine:
    """A sandbox that is a virtual machine: what QEMU is to be told, and the guest. See `launch.sandbox`."""

    files: Mapping[str, str]
    """What QEMU opens, by the names in its command line -> files of this host."""
    boot: tuple[str, ...]
    """Command line of a machine that boots."""
    go_on: tuple[str, ...]
    """Of one that goes on from a template."""
    fifos: Mapping[str, str]
    """FIFO -> what that one is to read from it."""
    guest: tuple[tuple[str, str], ...]
    """What the guest is told beside the program (`guest/README.md`)."""
    memory: int
    """Bytes that it may take of this host, with QEMU's own."""
    accelerator: Literal["kvm", "tcg"]
    address: str
    """Of its guest."""
    api: str
    """Where its guest finds the Runtime API."""
    template: str = ""
    """Folder; empty: it boots."""

    @property
    def is_emulated(self) -> bool:
        """Each instruction of its processors takes some ten of this host's."""
        return self.accelerator == "tcg"

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SandboxMachine:
        told = {name: tuple(data[name]) for name in ("boot", "go_on")}
        return cls(**{**data, **told, "guest": tuple((key, value) for key, value in data["guest"])})


@dataclass(frozen=True)
class Config:
    """One function as its invoker runs it. Sizes are bytes, durations seconds."""

    app: str
    service: str
    instance: str
    release: int
    kind: Kind
    tree: str
    """Folder of the artifact on this host."""
    argv: tuple[str, ...]
    """What starts a sandbox's program, as the sandbox sees its files: the interpreter and its runtime client, or
    `/var/task/bootstrap`. Of kind python: the interpreter alone, which runs the fork server."""
    handler: str
    """Empty: of a web service behind the adapter."""
    timeout: float
    memory: int
    tmp: int
    concurrency: int
    provisioned: int
    queue: int
    idle: float
    preload: Literal["none", "modules", "handler"]
    payload: Literal["v1", "v2"]
    layers: tuple[str, ...]
    """Folders on this host, each shown at /opt over the ones before it."""
    port: int | None
    """Where HTTP requests come from the gateway, on loopback; None: it has no route."""
    socket: str
    """Where the daemon invokes: a Unix socket, mode 0600."""
    usage: str
    """Folder of the usage journal."""
    user: SandboxUser
    network: SandboxNetwork
    region: str = "us-east-1"
    account: str = "000000000000"
    function_name: str = ""
    """What clients call it, and the sandbox finds in AWS_LAMBDA_FUNCTION_NAME."""
    version: str = "$LATEST"
    paths: tuple[str, ...] = ()
    """Routes of its HTTP events: `GET /orders/{id}`."""
    hidden: tuple[str, ...] = ()
    """Folders of the host that sandboxes must not see."""
    machine: SandboxMachine | None = None
    """None: sandboxes are namespaces of this host."""

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.function_name}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Config:
        data: dict[str, Any] = json.loads(text)
        data |= {key: tuple(data[key]) for key in ("argv", "layers", "paths", "hidden")}
        data |= {"user": SandboxUser(**data["user"]), "network": SandboxNetwork(**data["network"])}
        machine = data.get("machine")
        return cls(**data | {"machine": SandboxMachine.from_json(machine) if machine else None})


@dataclass(frozen=True)
class Invocation:
    """One event for a function."""

    payload: bytes
    request_id: str
    """A UUID; the same one again for each retry of an asynchronous event."""
    client_context: str = ""
    """Decoded JSON."""
    trace: str = ""
    tail: bool = False
    """The answer is to have the last 4 KiB of the log."""
    arn: str = ""
    """As the caller named it, with its qualifier; empty: the function's own."""


@dataclass(frozen=True)
class Answer:
    """How an invocation ended."""

    status: int
    """200: it was answered, by the function or with `error`; 429: no sandbox was free; 503: it cannot run now."""
    payload: bytes
    error: str = ""
    """`Unhandled` or `Handled`: value of X-Amz-Function-Error."""
    log: str = ""
    """base64, with `tail`."""
    version: str = "$LATEST"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Others, such as those of an error that the API answers itself."""


@dataclass(frozen=True)
class Usage:
    """One line of the usage journal: what one invocation took. Written before it is answered."""

    at: float
    """Epoch seconds when it began."""
    request_id: str
    release: int
    duration_ms: float
    billed_ms: int
    init_ms: float
    """0: the sandbox was warm."""
    memory: int
    """Bytes allotted."""
    used: int
    """Bytes at most in use."""
    ended: Literal["ok", "error", "timeout", "crash", "oom"]
