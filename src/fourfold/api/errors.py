"""The one place where errors become answers: `ErrorBody` as JSON, with the status that fits."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from fourfold.api.network.matching import methods
from fourfold.api.shapes import ErrorBody, ProblemBody
from fourfold.errors import FourfoldError, SpecError, TooManyError, of_the_disk
from fourfold.spec.problems import plain

log = logging.getLogger("fourfold.api")

RETRY_AFTER = "10"
"""Seconds."""
MOST = 20
"""Complaints of one request that are told."""


def describe(error: BaseException) -> ErrorBody:
    """The body for any exception; one that is not ours is logged under an id, and nothing inner is told."""
    error = of_the_disk(error, "answer") or error
    if isinstance(error, FourfoldError):
        problems = error.problems if isinstance(error, SpecError) else ()
        return ErrorBody(
            status=error.status,
            error=error.what,
            hint=error.hint,
            problems=[ProblemBody(**vars(problem)) for problem in problems],
        )
    if isinstance(error, RequestValidationError):
        errors = error.errors()
        what = f"cannot read the request: {_complaints(errors)}"
        return ErrorBody(status=422, error=what, hint="see /openapi.json", fields=_fields(errors))
    if isinstance(error, HTTPException) and error.status_code == 400:  # FastAPI's, for a body that is not even text
        return ErrorBody(status=422, error="cannot read the request: its body is not JSON", hint="see /openapi.json")
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase.lower()
        what = f"cannot answer: {error.detail if error.status_code in (413, 429) else phrase}"
        return ErrorBody(status=error.status_code, error=what, hint="/openapi.json says what there is")
    ident = uuid.uuid4().hex[:12]
    log.error("unexpected error %s", ident, exc_info=error)
    return ErrorBody(
        status=500,
        error=f"cannot answer: unexpected error {ident} in the daemon",
        hint=f"the daemon's log has the details: look for {ident}; please report it",
    )


def _complaints(errors: Sequence[Any]) -> str:
    first = [f"{'.'.join(str(part) for part in error['loc'])}: {plain(error)}"[:500] for error in errors[:MOST]]
    return "; ".join([*first, f"and {len(errors) - MOST:,} more"] if len(errors) > MOST else first)


def _fields(errors: Sequence[Any]) -> dict[str, str]:
    """Name -> why. What cannot be read as JSON has a number in place of a name: where in the text."""
    named = [error for error in errors[:MOST] if error["loc"][0] in ("body", "query")]
    return {name: plain(error)[:500] for error in named for name in error["loc"][1:2] if isinstance(name, str)}


async def _answer(request: Request, error: Exception) -> JSONResponse:
    body = describe(error)
    headers = error.headers if isinstance(error, HTTPException) else None
    if body.status == 405:  # starlette names the methods of one route, and each route has one
        headers = {"Allow": ", ".join(methods(request.app, request.scope))}
    if isinstance(error, TooManyError):
        headers = {"Retry-After": RETRY_AFTER}
    return JSONResponse(body.model_dump(mode="json"), status_code=body.status, headers=headers)


def as_line(error: BaseException) -> str:
    """For streams that have begun: the body on one line."""
    return json.dumps(describe(error).model_dump(mode="json"))


def install(app: FastAPI) -> None:
    for kind in (FourfoldError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answer)
