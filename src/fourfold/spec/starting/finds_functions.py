"""Functions that a SAM `template.yaml` or a `serverless.yml` describes, for `fourfold init`. Pure.

Sources: AWS SAM specification (AWS::Serverless::Function and its event sources), Serverless Framework v3 reference
(`serverless.yml`). What has no counterpart is told as a comment, not left out silently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fourfold.spec.checks.functions import RESERVED
from fourfold.spec.function import PATH_TEMPLATE
from fourfold.spec.starting.cloudyaml import Unknown, read

SAM = ("template.yaml", "template.yml")
SERVERLESS = ("serverless.yml", "serverless.yaml")
_RUNTIME = re.compile(r"(python3\.\d{1,2}|nodejs\d{2}|java\d{1,2}|provided)(\.x|\.al\w+)?")
_URL = "its function URL: a `route` here, such as {host: NAME.localhost}"
_BUNDLERS = (
    "serverless-bundle",
    "serverless-esbuild",
    "serverless-plugin-typescript",
    "serverless-rust",
    "serverless-webpack",
)
"""Plugins without which the handler is not there."""
_METHODS = ("get", "post", "put", "patch", "delete", "head", "options")


@dataclass
class FoundFunction:
    name: str
    source: str
    handler: str | None
    why: str
    runtime: str | None = None
    timeout: float | None = None
    memory: int | None = None
    """MB."""
    tmp: int | None = None
    concurrency: int | None = None
    provisioned: int | None = None
    payload: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    unknown_env: dict[str, str] = field(default_factory=dict)
    routes: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and method; None: all."""
    paths: list[str] = field(default_factory=list)
    """As `function.paths` has them."""
    triggers: list[tuple[str, str]] = field(default_factory=list)
    """Flow YAML of a trigger, and what is to be looked at; without such a thing it is sure."""
    notes: list[str] = field(default_factory=list)


def functions(texts: Mapping[str, str]) -> list[FoundFunction]:
    """By the first of the files that has any."""
    for name in SAM:
        if name in texts and (found := list(_sam(read(texts[name]), name))):
            return found
    for name in SERVERLESS:
        if name in texts and (found := list(_serverless(read(texts[name]), name))):
            return found
    return []


def _map(data: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _sam(data: Any, file: str) -> Iterator[FoundFunction]:
    common = _map(data, "Globals", "Function")
    for name, resource in _map(data, "Resources").items():
        if not isinstance(resource, dict) or resource.get("Type") != "AWS::Serverless::Function":
            continue
        said = {**common, **_map(resource, "Properties")}
        found = FoundFunction(_kebab(name), _folder(said.get("CodeUri")), _text(said.get("Handler")), file)
        _common(found, said.get("Runtime"), said.get("Timeout"), said.get("MemorySize"))
        if isinstance(size := _map(said, "EphemeralStorage").get("Size"), int) and 0 < size != 512:
            found.tmp = size
        _concurrency(
            found,
            said.get("ReservedConcurrentExecutions"),
            _map(said, "ProvisionedConcurrencyConfig").get("ProvisionedConcurrentExecutions"),
        )
        _layers(found, common.get("Layers"))
        _layers(found, _map(resource, "Properties").get("Layers"))
        if not isinstance(said.get("CodeUri", "."), str):
            found.notes.append("its code is in a bucket: say where it is in `source`")
        if said.get("PackageType") == "Image" or "InlineCode" in said:
            found.notes.append("its code is an image or inline: put it into a folder, and say `source`")
        _environment(
            found, _map(common, "Environment", "Variables"), _map(resource, "Properties", "Environment", "Variables")
        )
        for event in _map(said, "Events").values():
            _sam_event(found, event if isinstance(event, dict) else {}, data)
        if isinstance(method := _map(resource, "Metadata").get("BuildMethod"), str):
            found.notes.append(f"{method} builds it there: say how in `build`")
        if "FunctionUrlConfig" in said:
            found.notes.append(_URL)
        yield found


def _sam_event(found: FoundFunction, event: dict[str, Any], data: Any) -> None:
    kind, said = event.get("Type"), _map(event, "Properties")
    if said.get("Enabled") is False or said.get("State") == "DISABLED":
        found.notes.append(f"the event {kind} of the template is off there")
    elif kind in ("Api", "HttpApi"):
        if kind == "Api" or said.get("PayloadFormatVersion") == "1.0":
            found.payload = "v1"
        _route(found, said.get("Path"), said.get("Method"))
        auth = _map(said, "Auth")
        default = _default_authorizer(data, kind, said.get("RestApiId", said.get("ApiId")))
        _asked(found, said.get("Path"), auth.get("Authorizer") or auth.get("ApiKeyRequired") or default)
    elif kind in ("Schedule", "ScheduleV2"):
        _schedule(found, said.get("Schedule", said.get("ScheduleExpression")), said.get("ScheduleExpressionTimezone"))
    elif kind == "S3":
        rules = _map(said, "Filter", "S3Key").get("Rules", [])
        pairs = {str(rule.get("Name")).lower(): rule.get("Value") for rule in rules if isinstance(rule, dict)}
        _s3(found, said.get("Bucket"), said.get("Events"), pairs)
    elif kind in ("Kinesis", "DynamoDB"):
        _stream(found, kind.lower(), said.get("Stream"), said.get("BatchSize"), said.get("StartingPosition"))
    else:
        found.notes.append(f"the event {kind} of the template has no trigger here")


def _default_authorizer(data: Any, kind: str, api: Any) -> Any:
    """Of the API that an event names, else of all."""
    own = _map(data, "Resources", api.name, "Properties", "Auth") if isinstance(api, Unknown) else {}
    return (own or _map(data, "Globals", kind, "Auth")).get("DefaultAuthorizer")


def _serverless(data: Any, file: str) -> Iterator[FoundFunction]:
    provider = _map(data, "provider")
    plugins = data.get("plugins") if isinstance(data, dict) else None
    bundlers = [each for each in plugins if each in _BUNDLERS] if isinstance(plugins, list) else []
    for name, said in _map(data, "functions").items():
        if not isinstance(said, dict):
            continue
        found = FoundFunction(_kebab(name), ".", _text(said.get("handler")), file)
        merged = {**provider, **said}
        _common(found, merged.get("runtime"), merged.get("timeout", 6), merged.get("memorySize", 1024))
        _concurrency(found, said.get("reservedConcurrency"), said.get("provisionedConcurrency"))
        _layers(found, merged.get("layers"))
        if "image" in said:
            found.notes.append("its code is an image: say `source` and the handler")
        _environment(found, _map(provider, "environment"), _map(said, "environment"))
        events = said.get("events")
        for event in events if isinstance(events, list) else []:
            for kind, value in (event if isinstance(event, dict) else {str(event): None}).items():
                _serverless_event(found, kind, value)
        found.notes += [f"{plugin} builds it there: say how in `build`" for plugin in bundlers]
        if said.get("url"):
            found.notes.append(_URL)
        yield found


def _serverless_event(found: FoundFunction, kind: str, value: Any) -> None:
    said = value if isinstance(value, dict) else {}
    if said.get("enabled") is False:
        found.notes.append(f"the event {kind} is off there")
    elif kind in ("http", "httpApi"):
        if kind == "http":
            found.payload = "v1"
        method, _, path = value.partition(" ") if isinstance(value, str) else ("", "", "")
        if isinstance(value, str) and not path:
            method = "*"
        _route(found, said.get("path", path), said.get("method", method))
        asked = said.get("authorizer")
        named = asked.get("name", asked.get("type", "its authorizer")) if isinstance(asked, dict) else asked
        _asked(found, said.get("path", path), named or said.get("private"))
    elif kind == "schedule":
        rates = said.get("rate", value)
        for rate in rates if isinstance(rates, list) else [rates]:
            _schedule(found, rate, said.get("timezone"))
    elif kind == "s3":
        rules: dict[str, Any] = {}
        for rule in said.get("rules", []) if isinstance(said.get("rules"), list) else []:
            rules |= rule if isinstance(rule, dict) else {}
        _s3(found, said.get("bucket", value if not said else None), said.get("event"), rules)
    elif kind == "stream":
        arn = said.get("arn", value)
        kinesis = said.get("type") == "kinesis" or (isinstance(arn, str) and ":kinesis:" in arn)
        _stream(found, "kinesis" if kinesis else "dynamodb", arn, said.get("batchSize"), said.get("startingPosition"))
    else:
        found.notes.append(f"the event {kind} has no trigger here")


def _common(found: FoundFunction, runtime: Any, timeout: Any, memory: Any) -> None:
    match = _RUNTIME.fullmatch(runtime) if isinstance(runtime, str) else None
    if match:
        found.runtime = match[1]
    elif runtime is not None:
        found.notes.append(f"its runtime {_shown(runtime)} is none that handlers can have here")
    if isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout > 0:
        found.timeout = timeout
    if isinstance(memory, int) and not isinstance(memory, bool) and memory > 0:
        found.memory = memory
    for said, key in ((timeout, "function.timeout"), (memory, "resources.memory")):
        if isinstance(said, Unknown):
            found.notes.append(f"its {key.rpartition('.')[2]} is {said.text}: say it in `{key}`")


def _concurrency(found: FoundFunction, reserved: Any, provisioned: Any) -> None:
    """As far as one host goes: `concurrency` is at most 1,000 here, and never less than `provisioned`."""
    if _is_count(reserved):
        found.concurrency = min(reserved, 1000)
    if _is_count(provisioned) and provisioned > 0:
        found.provisioned = min(provisioned, 1000)
        found.concurrency = max(found.provisioned, 10 if found.concurrency is None else found.concurrency)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _layers(found: FoundFunction, layers: Any) -> None:
    for layer in layers if isinstance(layers, list) else []:
        found.notes.append(f"its layer {_shown(layer)}: put it into the source, and name it in `function.layers`")


def _environment(found: FoundFunction, *maps: dict[str, Any]) -> None:
    for name, value in {key: value for each in maps for key, value in each.items()}.items():
        reserved = name in RESERVED or name.startswith("AWS_LAMBDA_") or name in ("PORT", "HOST")
        if reserved or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            continue
        if isinstance(value, Unknown):
            found.unknown_env[name] = value.text
        elif isinstance(value, str | int | float):
            found.env[name] = str(value).lower() if isinstance(value, bool) else str(value)


def _route(found: FoundFunction, path: Any, method: Any) -> None:
    """The gateway's are prefixes of whole segments: what follows the first parameter is told apart by `paths`."""
    parts = [part for part in (path if isinstance(path, str) else "/").split("/") if part]
    kept: list[str] = []
    for part in parts:
        if not re.fullmatch(r"[A-Za-z0-9._~%@:+,=!()-]+", part):
            break
        kept.append(part)
    verb = method.lower() if isinstance(method, str) else ""
    known = verb.upper() if verb in _METHODS else None
    found.routes.append(("/" + "/".join(kept), known))
    whole = f"{known} " * (known is not None) + "/" + "/".join(parts)
    if isinstance(path, str) and path and re.fullmatch(PATH_TEMPLATE, whole) and whole not in found.paths:
        found.paths.append(whole)


def _asked(found: FoundFunction, path: Any, authorizer: Any) -> None:
    """`authorizer`: who decides there who may call; True: a key of the API does."""
    if authorizer and authorizer != "NONE":
        who = "a key" if authorizer is True else _shown(authorizer)
        where = path if isinstance(path, str) else "/"
        what = "say `auth` in `route`, or check it in the handler"
        found.notes.append(f"{where} asks for {who} there, and nobody is asked here: {what}")


def _schedule(found: FoundFunction, expression: Any, timezone: Any) -> None:
    if not isinstance(expression, str):
        found.notes.append("a schedule of the template is not known here: add it to `triggers`")
        return
    zone = f", timezone: {timezone}" if isinstance(timezone, str) and re.fullmatch(r"[\w/+-]+", timezone) else ""
    if re.fullmatch(r"(rate|cron)\([\w ?*/,#-]+\)", expression):
        found.triggers.append((f'schedule: {{cron: "{expression}"{zone}}}', ""))
    else:
        found.notes.append(f"the schedule {expression} has no counterpart here")


def _name(value: Any) -> tuple[str, str]:
    """A name that can stand there, and what is to be looked at."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._:/-]{3,}", value):
        return value, ""
    name = _kebab(value.name) if isinstance(value, Unknown) and value.name else "name"
    return f"{name}-name" if len(name) < 3 else name, f"of {_shown(value)}: say its real name"


def _s3(found: FoundFunction, bucket: Any, events: Any, rules: Mapping[str, Any]) -> None:
    name, look = _name(bucket)
    given = events if isinstance(events, list) else [events] if isinstance(events, str) else []
    listed = ", ".join(f'"{each}"' for each in given if isinstance(each, str) and re.fullmatch(r"[\w:*]+", each))
    more = f", events: [{listed}]" if listed else ""
    for key in ("prefix", "suffix"):
        if isinstance(value := rules.get(key), str) and re.fullmatch(r"[\w./-]+", value):
            more += f', {key}: "{value}"'
    why = "; ".join(filter(None, [look, "the bucket is to notify this SQS queue"]))
    found.triggers.append((f's3: {{bucket: "{name}", queue: "{name}-events"{more}}}', why))


def _stream(found: FoundFunction, kind: str, place: Any, batch: Any, start: Any) -> None:
    name, look = _name(place)
    key = "stream" if kind == "kinesis" else "table"
    more = f", batch: {batch}" if isinstance(batch, int) and 1 <= batch <= 10_000 else ""
    more += ", start: trim-horizon" if start == "TRIM_HORIZON" else ""
    found.triggers.append((f'{kind}: {{{key}: "{name}"{more}}}', look))


def _folder(uri: Any) -> str:
    if not isinstance(uri, str) or not uri.isprintable():
        return "."
    place = uri.rstrip("/") or "."
    return place if place in (".", "..") or place.startswith(("./", "../", "/")) else f"./{place}"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"\S{1,128}", value) else None


def _shown(value: Any) -> str:
    return value.text if isinstance(value, Unknown) else str(value)


def _kebab(name: str) -> str:
    """`HelloWorldFunction` -> `hello-world`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
    return re.sub(r"-?function$", "", words) or words
