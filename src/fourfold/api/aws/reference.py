"""What names a function: `f`, `f:1`, partial and full ARNs. Pure.

Pattern: FunctionName and NamespacedFunctionName of the service model (2015-03-31).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fourfold.api.aws.errors import constraint, invalid, not_found
from fourfold.control.lambdas.lambdas import Lambdas
from fourfold.control.lambdas.model import ACCOUNT

PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
_REFERENCE = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:)?(?:([a-z]{2}(?:-[a-z]+)+-\d):)?(?:(\d{12}):)?(?:function:)?"
    r"([a-zA-Z0-9_-]+)(?::(\$LATEST|[a-zA-Z0-9_-]+))?"
)
QUALIFIER = re.compile(r"\$LATEST|[a-zA-Z0-9_-]{1,128}")
LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Reference:
    name: str
    qualifier: str
    """Empty: none was given."""


def parse(lambdas: Lambdas, text: str, qualifier: str | None = None) -> Reference:
    """`qualifier`: of the query. Raises ApiError."""
    found = _REFERENCE.fullmatch(text) if len(text) <= 140 else None
    if found is None:
        raise constraint(text, "functionName", f"Member must satisfy regular expression pattern: {PATTERN}")
    region, account, name, inner = found.groups()
    if (region or lambdas.region) != lambdas.region or (account or ACCOUNT) != ACCOUNT:
        raise not_found(f"Function not found: {text}")
    if qualifier is not None and not QUALIFIER.fullmatch(qualifier):
        raise constraint(qualifier, "qualifier", "Member must satisfy regular expression pattern: "
                         r"(|[a-zA-Z0-9$_-]+)")  # fmt: skip
    if inner and qualifier and inner != qualifier:
        raise invalid("The derived qualifier from the function name does not match the specified qualifier.")
    return Reference(name, inner or qualifier or "")


def is_number(qualifier: str) -> bool:
    return qualifier.isascii() and qualifier.isdigit()
