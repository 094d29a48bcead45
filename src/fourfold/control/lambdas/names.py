"""Names of functions as names of services, which are shorter and in lower case. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container

APP = "lambda"
"""The app of functions that were made through the API."""
_LONGEST = 33
"""So that the service of a version, `NAME-v12345`, is a name too."""


def service_name(function: str, taken: Container[str]) -> str:
    """`my_Func` -> `my-func-1f3a`: the same for the same name, unless another function has it."""
    plain = re.sub(r"[^a-z0-9]+", "-", function.lower()).strip("-").lstrip("0123456789-")[:_LONGEST].strip("-") or "f"
    if plain == function and plain not in taken and not is_version_service(plain) and plain != "gateway":
        return plain
    digest = hashlib.sha256(function.encode()).hexdigest()
    for length in (4, 12):
        name = f"{plain[: _LONGEST - length - 1].strip('-')}-{digest[:length]}"
        if name not in taken and not is_version_service(name):
            return name
    raise ValueError(f"no service name is free for {function}")


def version_service(service: str, number: int) -> str:
    return f"{service}-v{number}"


def is_version_service(service: str) -> bool:
    return re.fullmatch(r".+-v[0-9]+", service) is not None
