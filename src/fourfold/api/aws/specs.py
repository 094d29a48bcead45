"""What a request says of a function, as a service of the file has it; and back. Pure but for what it looks up."""

from __future__ import annotations

import json
import platform
import re
from typing import Any

from fourfold.api.aws.call import Call, within
from fourfold.api.aws.errors import constraint, invalid
from fourfold.control.lambdas.code import ZIP
from fourfold.spec.model import Service

MIB = 1024 * 1024
DEFAULT_MEMORY = 128 * MIB
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
_RUNTIME = re.compile(r"(python3\.\d{1,2})|(nodejs\d{2})\.x|(java\d{1,2})(?:\.al2)?|(provided)(?:\.al2|\.al2023)?")
_KNOWN = "python3.x, nodejsNN.x, javaNN, provided, provided.al2, provided.al2023"
_MOST_ENV = 4096
_HANDLER = re.compile(r"[^\s]{1,128}")
SETTINGS = ("Role", "Description", "Runtime", "DeadLetterConfig", "TracingConfig")
"""Members that are kept as they came."""
NOT_HERE = {
    "VpcConfig": "functions are on a network of this machine; leave it out",
    "Layers": "put what is in them into the zip",
    "FileSystemConfigs": "sandboxes have /tmp alone",
    "ImageConfig": "functions are zips here; run an image as a service of a file",
    "CodeSigningConfigArn": "nothing is signed here",
    "CapacityProviderConfig": "leave it out",
    "DurableConfig": "leave it out",
    "TenancyConfig": "leave it out",
}


def our_runtime(text: str) -> str:
    if found := _RUNTIME.fullmatch(text):
        return next(part for part in found.groups() if part)
    raise invalid(
        f"Value {text} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [{_KNOWN}] or be "
        "a valid ARN"
    )


def their_runtime(spec: Service, said: str | None) -> str | None:
    """`said`: as the client named it, if that is still what it is."""
    ours = spec.runtime
    if ours is None or (said is not None and our_runtime(said) == ours):
        return said if ours is not None else None
    if ours.startswith("nodejs"):
        return f"{ours}.x"
    return "provided.al2023" if ours == "provided" else ours


def described(call: Call, before: dict[str, Any]) -> dict[str, Any]:
    """A service as JSON (that of `before`, or none) with what the request says of it. Raises ApiError."""
    call.only(**NOT_HERE)
    _refuse_elsewhere(call)
    spec = json.loads(json.dumps(before)) or {"source": f"./{ZIP}", "pattern": "function", "function": {}}
    function = spec["function"]
    if (runtime := call.text("Runtime")) is not None:
        spec["runtime"] = our_runtime(runtime)
    if (handler := call.text("Handler")) is not None:
        if not _HANDLER.fullmatch(handler):
            raise constraint(handler, "handler", "Member must satisfy regular expression pattern: [^\\s]+")
        function["handler"] = handler
    if (timeout := call.number("Timeout", 1, 900)) is not None:
        function["timeout"] = float(timeout)
    if (memory := call.number("MemorySize", 128, 10_240)) is not None:
        spec["resources"] = (spec.get("resources") or {}) | {"memory": memory * MIB}
    elif not before:
        spec["resources"] = {"memory": DEFAULT_MEMORY}
    if (storage := call.map("EphemeralStorage")) is not None:
        size = within(storage, "Size", int)
        if not isinstance(size, int) or not 512 <= size <= 10_240:
            raise constraint(size, "ephemeralStorage.size", "Member must have value between 512 and 10240")
        function["tmp"] = size * MIB
    if (environment := call.map("Environment")) is not None:
        spec["env"] = _environment(within(environment, "Variables", dict) or {})
    if (letters := call.map("DeadLetterConfig")) is not None:
        target = within(letters, "TargetArn", str)
        function["on_failure"] = destination(call, target) if target else None
    return spec


def settings(call: Call, before: dict[str, Any]) -> dict[str, Any]:
    found = dict(before)
    call.text("Description", most=256)
    for name in SETTINGS:
        if (value := call.body.get(name)) is not None:
            found[name] = value
    return found


def _refuse_elsewhere(call: Call) -> None:
    kinds = call.texts("Architectures")
    if kinds is not None and kinds != [ARCHITECTURE]:
        raise invalid(f"cannot use Architectures {kinds}: this host is {ARCHITECTURE}")
    if call.choice("PackageType", ("Zip", "Image")) == "Image":
        raise invalid("cannot use PackageType Image: functions are zips here; run an image as a service of a file")
    snap = call.map("SnapStart")
    if snap is not None and within(snap, "ApplyOn", str) not in (None, "None"):
        raise invalid("cannot use SnapStart: sandboxes are forked here, leave it out")


def _environment(variables: dict[str, Any]) -> dict[str, str]:
    for name, value in variables.items():
        if not re.fullmatch(r"[a-zA-Z]([a-zA-Z0-9_])+", name) or not isinstance(value, str):
            raise constraint(
                variables, "environment.variables",
                "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "
                "[a-zA-Z]([a-zA-Z0-9_])+]",
            )  # fmt: skip
    measured = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode()) > _MOST_ENV:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the 4KB limit. String measured: {measured[:200]}…"
        )
    reserved = [name for name in variables if name.startswith("AWS_LAMBDA_") or name in _RESERVED]
    if reserved:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided contains reserved keys that are currently not supported for modification. Reserved keys used in "
            f"this request: {', '.join(reserved)}"
        )
    return dict(variables)


_RESERVED = (
    "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_EXECUTION_ENV", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "PORT", "HOST",
)  # fmt: skip


def failures(call: Call, config: dict[str, Any] | None) -> str | None:
    """What a DestinationConfig says of them, as `destination` has it."""
    target = within(within(config, "OnFailure", dict), "Destination", str)
    return destination(call, target) if target else None


def destination(call: Call, text: str) -> str:
    """A service of the app, or the ARN of an SQS queue, as `on_failure` has it. Raises ApiError."""
    if re.fullmatch(r"arn:aws[a-zA-Z-]*:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+(\.fifo)?", text):
        return text
    if ":lambda:" in text and ":function:" in text:
        name = text.partition(":function:")[2].partition(":")[0]
        found = call.lambdas.locate(name)
        if found is not None and found[0][0] == "lambda":
            return found[0][1]
        raise invalid(f"cannot use the destination {text}: there is no such function, made through this API")
    raise invalid(f"cannot use the destination {text}: SQS queues and functions are taken")
