"""Errors as Lambda answers them: a code in `x-amzn-ErrorType`, and a body whose keys differ from error to error.

Shapes: recorded answers of AWS. ResourceNotFoundException has `Message`, all others `message`.
"""

from __future__ import annotations

import json
from typing import Any

from fourfold.errors import ConflictError, FourfoldError, NotFoundError, UserError


class ApiError(Exception):
    """One answer that is an error. `body` replaces the usual one."""

    def __init__(self, status: int, code: str, message: str, *, kind: str | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.kind = kind
        self.more = more

    def body(self) -> bytes:
        told: dict[str, Any] = dict(self.more)
        if self.kind is not None:
            told["Type"] = self.kind
        told["Message" if self.code == "ResourceNotFoundException" else "message"] = self.message
        return json.dumps(told).encode()


def not_found(message: str) -> ApiError:
    return ApiError(404, "ResourceNotFoundException", message, kind="User")


def invalid(message: str) -> ApiError:
    return ApiError(400, "InvalidParameterValueException", message, kind="User")


def conflict(message: str) -> ApiError:
    return ApiError(409, "ResourceConflictException", message, kind="User")


def stale(message: str) -> ApiError:
    return ApiError(412, "PreconditionFailedException", message, kind="User")


def bad_request_content(message: str) -> ApiError:
    return ApiError(400, "InvalidRequestContentException", message, kind="User")


def constraint(value: Any, member: str, rule: str) -> ApiError:
    """A value that the service model refuses."""
    shown = "null" if value is None else f"'{value}'"
    member = member[:1].lower() + member[1:]
    return ApiError(
        400,
        "ValidationException",
        f"1 validation error detected: Value {shown} at '{member}' failed to satisfy constraint: {rule}",
    )


def throttled(reason: str) -> ApiError:
    return ApiError(429, "TooManyRequestsException", "Rate Exceeded.", kind="User", Reason=reason)


def too_large(limit: int) -> ApiError:
    message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
    return ApiError(413, "RequestTooLargeException", message, kind="User")


def from_ours(error: FourfoldError) -> ApiError:
    """What the control layer refuses or fails at: its sentence and hint are the message."""
    what = f"{error.what}: {error.hint}" if error.hint else error.what
    if isinstance(error, NotFoundError):
        return not_found(what)
    if isinstance(error, ConflictError):
        return conflict(what)
    if isinstance(error, UserError):
        return invalid(what)
    return ApiError(500, "ServiceException", what, kind="Service")
