"""The JSON Schema (draft 2020-12) of what `compare -o json` prints, made from the models and the words beside them."""

from __future__ import annotations

import ast
import inspect
from typing import Any

from fourfold.cost import comparison

Schema = dict[str, Any]


def schema() -> Schema:
    """Every field is always there, null where nothing was measured. Later versions may have more of them."""
    raw = comparison.Comparison.model_json_schema(mode="serialization")
    words = _words()
    definitions = {name: _with_words(part, words.get(name, {})) for name, part in raw.pop("$defs").items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_with_words(raw, words[comparison.Comparison.__name__]),
        "title": "fourfold compare -o json",
        "description": inspect.getdoc(comparison) or "",
        "$defs": definitions,
    }


def _with_words(part: Schema, words: dict[str, str]) -> Schema:
    if "properties" not in part:
        return part
    properties = {
        name: {key: value for key, value in field.items() if key not in ("title", "default")}
        | ({"description": words[name]} if name in words else {})
        for name, field in part["properties"].items()
    }
    rest = {key: value for key, value in part.items() if key not in ("additionalProperties", "title")}
    return {**rest, "properties": properties, "required": list(properties)}


def _words() -> dict[str, dict[str, str]]:
    """Model -> field -> the text below it in the source. Editors show the same."""
    found: dict[str, dict[str, str]] = {}
    for model in ast.parse(inspect.getsource(comparison)).body:
        if isinstance(model, ast.ClassDef):
            fields = found[model.name] = {}
            for field, text in zip(model.body, model.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and (said := _text(text)):
                    fields[field.target.id] = inspect.cleandoc(said)
    return found


def _text(node: ast.stmt) -> str:
    """Of a statement that is nothing but a string; empty of all others."""
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value
    return text if isinstance(text, str) else ""
