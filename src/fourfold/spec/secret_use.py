"""The forms in which `secrets` lists one secret, made into one: `{env, name, file}`."""

from __future__ import annotations

import re
from typing import Any

from fourfold.spec.fields import ENV_NAME, SECRET_FILE, SECRET_NAME
from fourfold.spec.units import shown

_FORMS = "expected NAME, {NAME: secret} or {NAME: {name: secret, file: /run/secrets/x}}"
SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": ENV_NAME},
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "propertyNames": {"pattern": ENV_NAME},
            "additionalProperties": {
                "anyOf": [
                    {"type": "string", "pattern": SECRET_NAME},
                    {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string", "pattern": SECRET_NAME, "description": "The secret's name"},
                            "file": {
                                "type": "string",
                                "pattern": SECRET_FILE,
                                "description": "Written there; the variable then holds this path",
                            },
                        },
                        "required": ["name"],
                        "additionalProperties": False,
                    },
                ]
            },
        },
    ],
    "x-is": "NAME, {NAME: secret} or {NAME: {name: secret, file: /run/secrets/x}}",
}


def read_secret_use(value: Any) -> Any:
    """`API_KEY`, `{DB_PASSWORD: catalog_db}`, `{TLS_KEY: {name: key1, file: …}}` or the result itself -> the result.

    Raises ValueError in plain words.
    """
    if isinstance(value, str):
        value = {"env": value, "name": value}
    elif isinstance(value, dict) and len(value) == 1:
        [(env, use)] = value.items()
        value = {"env": env, **use} if isinstance(use, dict) else {"env": env, "name": use}
    if not isinstance(value, dict) or not {"env", "name"} <= set(value) <= {"env", "name", "file"}:
        raise ValueError(f"{_FORMS}, got {shown(value)}")
    if not isinstance(value["env"], str) or not re.fullmatch(ENV_NAME, value["env"]):
        raise ValueError(f"expected a variable name (letters, digits and _), got {shown(value['env'])}")
    if not isinstance(value["name"], str) or not re.fullmatch(SECRET_NAME, value["name"]):
        raise ValueError(f"expected a secret's name (letters, digits and _ . -), got {shown(value['name'])}")
    if "file" in value and value["file"] is not None:
        _check_file(value["file"])
    return value


def _check_file(path: Any) -> None:
    if not isinstance(path, str) or not re.fullmatch(SECRET_FILE, path):
        raise ValueError(f"expected a file right under /run/secrets/, such as /run/secrets/key.pem, got {shown(path)}")
