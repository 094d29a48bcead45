"""The kinds of value that fields of the service file hold: how each is read, checked and described."""

from __future__ import annotations

import ipaddress
import re
import signal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from fourfold.spec.units import parse_duration, parse_rate, parse_size, shown

NAME = r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"
ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
SECRET_NAME = r"^[A-Za-z_][A-Za-z0-9_.-]{0,126}$"
SECRET_FILE = r"^/run/secrets/[A-Za-z0-9_-][A-Za-z0-9._-]*$"
WORDS = {
    NAME: "a name: lower-case letters, digits and -, a letter first, at most 40 characters",
    ENV_NAME: "a variable name: letters, digits and _, no digit first",
    SECRET_NAME: "a secret's name: letters, digits and _ . -, a letter or _ first",
}
"""What patterns mean, for messages."""
SIGNALS = tuple(sorted(item.name.removeprefix("SIG") for item in signal.Signals))


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "not a number")  # else true would count as 1
    return value


def _path(value: Any) -> Any:
    if isinstance(value, str) and ".." in value.split("/"):
        raise ValueError(f"expected a path without `..`, got {shown(value)}")
    return value


def _inner_path(value: Any) -> Any:
    if isinstance(value, str) and (value.startswith("/") or not value):
        raise ValueError(f"expected a path inside the source, such as dist, got {shown(value)}")
    return _path(value)


def _volume_path(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    folder = "".join(f"/{part}" for part in _path(value).split("/") if part not in ("", "."))
    if folder in ("", "/app", "/tmp") or re.match(r"/(proc|sys|dev|run/secrets)(/|$)", folder):
        raise ValueError(f"a volume cannot stand at {shown(value)}: that is part of every instance")
    return folder if value.startswith("/") else value


def _text(value: Any) -> Any:
    """Commands: text is for the shell, a list is exec'd as it is."""
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value) and value[0]:
        return list(value)
    raise ValueError(f"expected a command as text or as a list of texts, got {_empty_or_shown(value)}")


def _methods(value: Any) -> Any:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(f"expected an HTTP method such as GET, or a list of them, got {_empty_or_shown(value)}")
    for method in given:
        if not isinstance(method, str) or not re.fullmatch(r"[A-Za-z]{1,20}", method):
            raise ValueError(f"expected an HTTP method such as GET, got {shown(method)}")
    return value.upper() if isinstance(value, str) else [method.upper() for method in given]


def _host(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    host = value.strip().lower()
    labels = host.removeprefix("*.").split(".")
    if len(host) > 253 or not all(re.fullmatch(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?", label) for label in labels):
        raise ValueError(f"expected a host such as shop.example.com or *.example.com, got {shown(value)}")
    return host


def _route_path(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("/") and re.search(r"[{}*]", value):
        raise ValueError(f"a route is a plain prefix: /x also takes /x/1; {{ }} and * mean nothing, got {shown(value)}")
    return value


def _request_rate(value: Any) -> Any:
    """`100/s`, `20/m`, `500/h`; a whole number is per second."""
    text = f"{value}/s" if isinstance(value, int) and not isinstance(value, bool) else value
    found = re.fullmatch(r"([1-9][0-9]{0,5})\s*/\s*(s|m|h)", text.strip(), re.ASCII) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"expected requests per time such as 100/s, 20/m or 500/h, got {shown(value)}")
    return f"{found[1]}/{found[2]}"


def _signal(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    name = value.strip().upper().removeprefix("SIG")
    if name not in SIGNALS:
        raise ValueError(f"expected a signal such as TERM, INT or QUIT, got {shown(value)}")
    return name


def _listen(value: Any) -> Any:
    """`8080`, `:8080`, `127.0.0.1:8080`, `localhost:8080`, `[::1]:8080`; the address must be one of numbers."""
    expected = ValueError(f"expected an address to listen on, such as :8080 or 127.0.0.1:8080, got {shown(value)}")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise expected
    host, _, port = (f":{value}" if isinstance(value, int) or value.isdigit() else value).rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port):
        raise expected
    if not 1 <= int(port) <= 65535:
        raise ValueError(f"expected a port between 1 and 65535, got {int(port)}")
    host = {"localhost": "127.0.0.1", "*": ""}.get(host, host)
    try:
        if host.startswith("[") and host.endswith("]"):
            ipaddress.IPv6Address(host[1:-1])
        elif host:
            ipaddress.IPv4Address(host)
    except ValueError:
        raise expected from None
    return f"{host}:{int(port)}"


def _env_value(value: Any) -> Any:
    """YAML's 8080, true and 1.5 are strings in an environment; maps and lists stay errors."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        raise ValueError('expected text, got nothing: write "" for the empty text, or leave the line out')
    return str(value) if isinstance(value, int | float) else value


def _part(value: Any) -> Any:
    """`5%` or 0.05."""
    expected = f"expected a part such as 5% or 0.05, got {shown(value)}"
    if isinstance(value, str):
        if not (match := re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)\s?%", value.strip(), re.ASCII)):
            raise ValueError(expected)
        return round(float(match[1]) / 100, 12)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(expected)
    return value


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _empty_or_shown(value: Any) -> str:
    return "nothing" if value in ("", [], ()) else shown(value)


def _units(unit: str, example: str) -> WithJsonSchema:
    forms = [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^[0-9]"}]
    return WithJsonSchema(
        {"anyOf": forms, "x-is": f"a {unit} such as {example}", "x-unit": unit, "examples": [example]}
    )


_LISTEN = r"^(([0-9.]+|localhost|\*|\[[0-9A-Fa-f:.]+\])?:)?[0-9]{1,5}$"
_TEXTS = {"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1}
Duration = Annotated[float, BeforeValidator(parse_duration), _units("duration", "30s")]
Size = Annotated[int, BeforeValidator(parse_size), _units("size", "256Mi")]
Rate = Annotated[int, BeforeValidator(parse_rate), _units("rate", "50MB/s")]
Whole = Annotated[int, BeforeValidator(_not_bool)]
Number = Annotated[float, BeforeValidator(_not_bool)]
Part = Annotated[
    float,
    BeforeValidator(_part),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,9})?\s?%$"},
            ],
            "x-is": "a part such as 5% or 0.05",
            "examples": ["5%"],
        }
    ),
]
Name = Annotated[str, Field(pattern=NAME)]
EnvName = Annotated[str, Field(pattern=ENV_NAME)]
EnvValue = Annotated[
    str, BeforeValidator(_env_value), WithJsonSchema({"type": ["string", "number", "boolean"], "x-is": "text"})
]
SecretName = Annotated[str, Field(pattern=SECRET_NAME)]
Command = Annotated[
    str | list[str],
    BeforeValidator(_text),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "minLength": 1}, _TEXTS], "x-is": "a command as text or as a list of texts"}
    ),
]
Methods = Annotated[
    str | list[str],
    BeforeValidator(_methods),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^[A-Za-z]+$"},
                {"type": "array", "items": {"type": "string", "pattern": "^[A-Za-z]+$"}, "minItems": 1},
            ],
            "x-is": "an HTTP method such as GET, or a list of them",
        }
    ),
]
Source = Annotated[
    str, Field(pattern=r"^(\.{1,2}(/.*)?|/.*)$", json_schema_extra={"x-is": "a path that starts with ./ ../ or /"})
]
Runtime = Annotated[
    str,
    Field(
        pattern=r"^(python3\.[0-9]{1,2}|nodejs[0-9]{2}|java[0-9]{1,2}|ruby[0-9]\.[0-9]{1,2}|go|static|provided)$",
        json_schema_extra={"x-is": "python3.x, nodejsNN, javaNN, rubyN.N, go, static or provided"},
    ),
]
Host = Annotated[str, BeforeValidator(_host)]
RoutePath = Annotated[
    str,
    BeforeValidator(_route_path),
    Field(
        pattern=r"^/[A-Za-z0-9._~%@:+,=!()/-]*$",
        max_length=512,
        json_schema_extra={"x-is": "a path that starts with / (letters, digits and . _ ~ % @ : + , = ! ( ) - /)"},
    ),
]
RequestRate = Annotated[
    str,
    BeforeValidator(_request_rate),
    WithJsonSchema({"type": ["string", "integer"], "x-is": "requests per time such as 100/s, 20/m or 500/h"}),
]
UrlPath = Annotated[
    str,
    Field(
        pattern=r"^/[!-~]*$", max_length=2048, json_schema_extra={"x-is": "a path that starts with /, without blanks"}
    ),
]
FolderPath = Annotated[
    str, BeforeValidator(_volume_path), Field(pattern=r"^/", json_schema_extra={"x-is": "a path that starts with /"})
]
SecretPath = Annotated[str, Field(pattern=SECRET_FILE)]
InnerPath = Annotated[str, BeforeValidator(_inner_path)]
Signal = Annotated[str, BeforeValidator(_signal)]
Listen = Annotated[
    str,
    BeforeValidator(_listen),
    WithJsonSchema({"type": ["string", "integer"], "pattern": _LISTEN, "x-is": "an address such as :8080"}),
]
OneOrMany = BeforeValidator(_one_or_many)
