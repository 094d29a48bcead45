"""An app back as YAML, for `fourfold config`: what was given, after overlays, defaults and interpolation."""

from __future__ import annotations

from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from fourfold.spec import schema
from fourfold.spec.app import App
from fourfold.spec.interpolate import escape
from fourfold.spec.units import format_duration, format_rate, format_size

_FORMATS = {"duration": format_duration, "size": format_size, "rate": format_rate}


def to_yaml(app: App) -> str:
    """Reading it gives the same app again. What nobody set is left out; units and short forms as people write them."""
    data = _written(app.model_dump(exclude_unset=True), ())
    stream = StringIO()
    yaml = YAML(typ="rt", pure=True)
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 120
    yaml.dump(data, stream)
    return stream.getvalue()


def _written(value: Any, loc: tuple[str | int, ...]) -> Any:
    if loc[2:3] == ("secrets",) and len(loc) == 4:
        return _secret(value)
    if isinstance(value, dict):
        return {key: _written(item, (*loc, key)) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_written(item, (*loc, index)) for index, item in enumerate(value)]
    if isinstance(value, str):
        return escape(value)
    unit = schema.at(loc).get("x-unit", "")
    return _FORMATS[unit](value) if unit in _FORMATS else value


def _secret(use: dict[str, Any]) -> Any:
    if use.get("file"):
        return {use["env"]: {"name": use["name"], "file": use["file"]}}
    return use["env"] if use["env"] == use["name"] else {use["env"]: use["name"]}
