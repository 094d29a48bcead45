"""The JSON Schema (draft 2020-12) of the file as people write it, made from the models."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

from fourfold.spec.app import App
from fourfold.spec.fields import SECRET_NAME, WORDS
from fourfold.spec.secret_use import SCHEMA as SECRET_USE
from fourfold.spec.units import format_duration, format_rate, format_size

Schema = dict[str, Any]
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_INTERPOLATED: Schema = {
    "title": "${VAR} or ${VAR:-default}",
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}",
}
_UNITS: dict[str, Callable[[Any], str]] = {"duration": format_duration, "size": format_size, "rate": format_rate}


def schema() -> Schema:
    """For editors and other checkers: `${VAR}` may stand for any scalar, `x-…` keys may stand anywhere."""
    public = deepcopy(bare())
    service = public["$defs"]["Service"]
    public["properties"]["defaults"] = {
        "description": "Merged under every service",
        "type": "object",
        "properties": service["properties"],
        "additionalProperties": False,
    }
    public = _publish(public)
    public["$defs"]["interpolated"] = _INTERPOLATED
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fourfold.yaml",
        **{key: value for key, value in public.items() if key != "title"},
    }


@cache
def bare() -> Schema:
    """The models' schema in its simplest form; `x-is` says in words what a value is, `x-unit` what it measures."""
    raw = App.model_json_schema()
    raw["$defs"]["SecretUse"] = SECRET_USE
    auth = raw["$defs"]["BasicAuth"]
    whole = {key: auth.pop(key) for key in ("type", "properties", "required", "additionalProperties") if key in auth}
    auth["anyOf"] = [{"type": "string", "pattern": SECRET_NAME}, whole]
    route = raw["$defs"]["Service"]["properties"]["route"]
    items = route.pop("items")
    route.pop("type")
    route["x-is"] = "a map such as {path: /x}, or a list of them"
    route["anyOf"] = [items, {"type": "array", "items": items}]
    simple = _simplify(raw)
    assert isinstance(simple, dict)
    return simple


def at(loc: tuple[str | int, ...]) -> Schema:
    """The part that describes what stands at `loc`; parts of `loc` that name no key (union tags) are passed over."""
    found = [bare()]
    for part in loc:
        found = [child for candidate in found for child in _children(candidate, part)] or found
    return _resolve(found[0])


def keys(part: Schema) -> list[str]:
    """The keys that a map may have, as a person would write them."""
    return [key for branch in _branches(part) for key in branch.get("properties", {})]


def describe(part: Schema) -> str:
    """`a whole number between 1 and 65535`, `rolling or recreate`, …"""
    part = _resolve(part)
    if "x-is" in part:
        return str(part["x-is"])
    if "const" in part or "enum" in part:
        choices = [str(choice) for choice in part.get("enum", [part.get("const")])]
        return " or ".join(choices) if len(choices) < 3 else f"one of {', '.join(choices)}"
    if branches := part.get("anyOf"):
        return " or ".join(dict.fromkeys(describe(branch) for branch in branches))
    if "pattern" in part and part["pattern"] in WORDS:
        return WORDS[part["pattern"]]
    words = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
    words |= {
        "array": "a list",
        "object": "a map",
        "string": "text that is not empty" if "minLength" in part else "text",
    }
    word = words.get(str(part.get("type")), "something else")
    if part.get("type") in ("array", "object") and "examples" in part:
        word += f" such as {_flow(part['examples'][0])}"
    return word + bounds(part)


def _flow(value: Any) -> str:
    """As YAML on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_flow(child)}' for key, child in value.items())}}}"
    return f"[{', '.join(map(_flow, value))}]" if isinstance(value, list) else str(value)


def bounds(part: Schema) -> str:
    """` between 1 and 65535`, ` greater than 0`, … or nothing. Durations, sizes and rates in their own units."""
    show = _UNITS.get(part.get("x-unit", ""), lambda number: f"{number:g}" if number < 1e6 else str(number))
    low, above, high = part.get("minimum"), part.get("exclusiveMinimum"), part.get("maximum")
    if low is not None and high is not None:
        return f" between {show(low)} and {show(high)}"
    words = []
    if above is not None:
        words.append(f"greater than {show(above)}")
    elif low is not None:
        words.append(f"of at least {show(low)}")
    if high is not None:
        words.append(f"at most {show(high)}")
    return " " + " and ".join(words) if words else ""


def _resolve(part: Schema) -> Schema:
    while "$ref" in part:
        part = bare()["$defs"][part["$ref"].rpartition("/")[2]]
    return part


def _branches(part: Schema) -> list[Schema]:
    part = _resolve(part)
    return [leaf for branch in part.get("anyOf", []) for leaf in _branches(branch)] or [part]


def _children(part: Schema, key: str | int) -> list[Schema]:
    children = []
    for branch in _branches(part):
        if isinstance(key, int):
            children += [branch["items"]] if "items" in branch else []
        elif key in branch.get("properties", {}):
            children.append(branch["properties"][key])
        else:
            children += list(branch.get("patternProperties", {}).values())
    return children


def _simplify(part: Any) -> Any:
    """Without null branches, defaults and titles of keys; bounds under their proper names."""
    if isinstance(part, list):
        return [_simplify(item) for item in part if item != {"type": "null"}]
    if not isinstance(part, dict):
        return part
    made: Schema = {}
    for key, value in part.items():
        if key in ("properties", "$defs", "patternProperties"):
            made[key] = {name: _simplify(child) for name, child in value.items()}
        elif key == "oneOf":
            made["anyOf"] = _simplify(value)
        elif key in _BOUNDS:
            made[_BOUNDS[key]] = value
        elif not _is_noise(key, value, part):
            made[key] = _simplify(value) if key in ("items", "anyOf", "additionalProperties") else value
    if len(made.get("anyOf", ())) == 1:
        made = {**made.pop("anyOf")[0], **made}
    return made


def _is_noise(key: str, value: Any, part: Schema) -> bool:
    """Defaults that say nothing, and titles that only repeat the key."""
    if key == "default":
        return value is None or isinstance(value, dict | list)
    return key == "title" and "properties" not in part


def _publish(part: Any, branch: bool = False) -> Any:
    """What editors get: `x-…` keys and `${VAR}` allowed, our own annotations gone. A branch is one of an `anyOf`."""
    if isinstance(part, list):
        return [_publish(item, branch=True) for item in part]
    if not isinstance(part, dict):
        return part
    made: Schema = {}
    for key, value in part.items():
        if key in ("properties", "$defs"):
            made[key] = {name: _publish(child) for name, child in value.items()}
        elif key == "patternProperties":
            made[key] = {f"^(?!x-){pattern[1:]}": _publish(child) for pattern, child in value.items()}
        elif not key.startswith("x-"):
            made[key] = _publish(value) if key in ("items", "anyOf", "additionalProperties") else value
    if "properties" in made or "patternProperties" in made:
        made["patternProperties"] = {"^x-": True, **made.get("patternProperties", {})}
        made["additionalProperties"] = False
    return made if branch else _or_interpolated(made)


def _or_interpolated(part: Schema) -> Schema:
    """A scalar that not every text fits may be a `${VAR}` too."""
    branches = part.get("anyOf", [part])
    if not any(_is_strict_scalar(branch) for branch in branches):
        return part
    about: Schema = {key: part[key] for key in ("title", "description", "default", "examples") if key in part}
    if "anyOf" not in part:
        branches = [{key: value for key, value in part.items() if key not in about}]
    return {**about, "anyOf": [*branches, {"$ref": "#/$defs/interpolated"}]}


def _is_strict_scalar(part: Schema) -> bool:
    kinds = [part["type"]] if isinstance(part.get("type"), str) else part.get("type", [])
    if "string" in kinds:
        return bool({"pattern", "enum", "const"} & set(part))
    return bool({"integer", "number", "boolean"} & set(kinds))
