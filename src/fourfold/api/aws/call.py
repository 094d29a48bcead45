"""One request to the control API, read: what was asked, by whom it is answered, and how its parts are judged."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fourfold.api.aws.errors import ApiError, bad_request_content, conflict, constraint, invalid, not_found, stale
from fourfold.api.aws.http import Request, Response
from fourfold.api.aws.reference import Reference, is_number, parse
from fourfold.control.lambdas.deploying import Deploying
from fourfold.control.lambdas.lambdas import Lambdas, revision
from fourfold.control.lambdas.model import LATEST, Enqueue, Function, Invoke
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.sources import Sources
from fourfold.store.tables.functions import VersionRow

T = TypeVar("T")


@dataclass
class Site:
    """What all operations work with."""

    lambdas: Lambdas
    deploying: Deploying
    sources: Sources
    blobs: Blobs
    invoke: Invoke
    enqueue: Enqueue
    sign: Callable[[str], str]
    """A proof that a link to code is ours."""
    url: str = ""
    """Where the listener is: `http://127.0.0.1:9001`."""


@dataclass
class Call:
    site: Site
    request: Request
    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    request_id: str
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def lambdas(self) -> Lambdas:
        return self.site.lambdas

    def one(self, name: str) -> str | None:
        return next((value for key, value in self.query if key == name), None)

    @cached_property
    def reference(self) -> Reference:
        return parse(self.lambdas, self.path["name"], self.one("Qualifier") or None)

    @cached_property
    def function(self) -> Function:
        """The one of the path, without regard to a qualifier. Raises ApiError (404)."""
        return self.need(self.reference.name)

    def need(self, name: str, qualifier: str = "") -> Function:
        found = self.lambdas.find(name)
        if found is None:
            raise not_found(f"Function not found: {self.lambdas.arn(name, qualifier)}")
        return found

    @property
    def managed(self) -> Function:
        """One that may be changed here."""
        function = self.function
        if not function.managed:
            raise conflict(
                f"cannot change {function.name} here: the service file of app {function.app} describes it; "
                f"change it there, then: fourfold up"
            )
        return function

    def settled(self) -> Function:
        """One that may be deployed anew: nothing of it is under way now, whatever was looked at and waited for before.

        Raises ApiError (409), or (412) when the client goes by an older state.
        """
        self.__dict__.pop("function", None)
        function = self.managed
        if function.condition.update == "InProgress":
            raise conflict(
                "The operation cannot be performed at this time. An update is in progress for resource: "
                f"{self.lambdas.arn(function.name)}"
            )
        self.unchanged_since(function)
        return function

    def version(self, number: str) -> VersionRow:
        found = self.lambdas.version(self.function, int(number)) if is_number(number) else None
        if found is None:
            raise not_found(f"Function not found: {self.lambdas.arn(self.reference.name, number)}")
        return found

    def as_qualified(self) -> tuple[Function, str]:
        """The function as its qualifier means it, and the version that this is."""
        qualifier = self.reference.qualifier
        if not qualifier or qualifier == LATEST:
            return self.function, LATEST
        if not is_number(qualifier):
            alias = self.lambdas.aliases_of(self.function).get(qualifier)
            if alias is None:
                raise not_found(f"Function not found: {self.lambdas.arn(self.reference.name, qualifier)}")
            qualifier = alias.version
            if qualifier == LATEST:
                return self.function, LATEST
        return self.lambdas.as_version(self.function, self.version(qualifier)), qualifier

    def must_exist(self, qualifier: str) -> None:
        """Raises ApiError (404) for a version or alias that is not there."""
        if qualifier and qualifier != LATEST and qualifier not in self.lambdas.aliases_of(self.function):
            self.version(qualifier)

    def unchanged_since(self, function: Function) -> None:
        """Raises ApiError (412) when the client goes by an older state."""
        told = self.text("RevisionId") or self.one("RevisionId")
        if told and told != revision(function):
            raise stale(
                "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
                "retrieve the latest Revision Id"
            )

    # -- values of the body ---------------------------------------------------------------------------------------

    def text(self, name: str, *, most: int | None = None) -> str | None:
        value = self._typed(name, str)
        if value is not None and most is not None and len(value) > most:
            raise constraint(value, name, f"Member must have length less than or equal to {most}")
        return value

    def need_text(self, name: str, *, most: int | None = None) -> str:
        value = self.text(name, most=most)
        if value is None:
            raise constraint(None, name, "Member must not be null")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        value = self.text(name)
        if value is not None and value not in choices:
            raise constraint(value, name, f"Member must satisfy enum value set: [{', '.join(choices)}]")
        return value

    def number(self, name: str, low: int, high: int) -> int | None:
        value = self._typed(name, int)
        if value is not None and value < low:
            raise constraint(value, name, f"Member must have value greater than or equal to {low}")
        if value is not None and value > high:
            raise constraint(value, name, f"Member must have value less than or equal to {high}")
        return value

    def flag(self, name: str) -> bool | None:
        return self._typed(name, bool)

    def map(self, name: str) -> dict[str, Any] | None:
        return self._typed(name, dict)

    def texts(self, name: str) -> list[str] | None:
        return texts_within(self.body, name)

    def content(self, name: str, holder: Mapping[str, Any]) -> bytes | None:
        value = holder.get(name)
        if value is None:
            return None
        try:
            return base64.b64decode(value, validate=True)
        except (ValueError, TypeError):
            raise bad_request_content(f"Could not parse request body into json: {name} must be base64") from None

    def _typed(self, name: str, kind: type[T]) -> T | None:
        return within(self.body, name, kind)

    def only(self, **refused: str) -> None:
        """Members that this API understands and cannot do: name -> why. Empty values say nothing."""
        for name, why in refused.items():
            if self.body.get(name):
                raise invalid(f"cannot use {name}: {why}")


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    """`/2015-03-31/functions/{name}/aliases/{alias}`"""
    handler: Handler

    @cached_property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.path.split("/"))

    def match(self, method: str, parts: Sequence[str]) -> dict[str, str] | None:
        if method != self.method or len(parts) != len(self.parts):
            return None
        found = {}
        for mine, theirs in zip(self.parts, parts, strict=True):
            if mine.startswith("{"):
                found[mine[1:-1]] = theirs
            elif mine != theirs:
                return None
        return found


def answer(status: int, body: Mapping[str, Any] | None = None) -> Response:
    content = b"" if body is None else json.dumps(body).encode()
    return Response(status, content, (("Content-Type", "application/json"),))


def within(holder: Mapping[str, Any] | None, name: str, kind: type[T]) -> T | None:
    """A member of a map, if it is there. Raises ApiError (400) when it is something else."""
    value = None if holder is None else holder.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        words = {str: "a string", int: "a number", bool: "true or false", dict: "a map", list: "a list"}
        raise bad_request_content(f"Could not parse request body into json: {name} must be {words[kind]}")
    return value


def texts_within(holder: Mapping[str, Any] | None, name: str) -> list[str] | None:
    value = within(holder, name, list)
    if value is not None and not all(isinstance(each, str) for each in value):
        raise bad_request_content(f"Could not parse request body into json: {name} must be a list of strings")
    return value


def read_body(request: Request) -> dict[str, Any]:
    """Raises ApiError (400)."""
    if not request.body:
        return {}
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise bad_request_content(f"Could not parse request body into json: {error}") from None
    if not isinstance(body, dict):
        raise bad_request_content("Could not parse request body into json: it must be a map")
    return body


def read_query(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise ApiError(400, "ValidationException", "the query has too many parts") from None


def page(call: Call, items: Sequence[T], size: int = 50) -> tuple[Sequence[T], str | None]:
    """The part of a list that was asked for, and the marker of the next one."""
    most, marker = call.one("MaxItems"), call.one("Marker")
    if most:
        if not is_number(most) or not 1 <= int(most) <= 10_000:
            raise constraint(most, "maxItems", "Member must have value between 1 and 10000")
        size = min(int(most), size)
    start = 0
    if marker:
        try:
            start = int(base64.urlsafe_b64decode(marker).decode().removeprefix("at "))
        except ValueError:
            raise invalid("Invalid marker: it is not one that a list has given") from None
    end = start + size
    following = base64.urlsafe_b64encode(f"at {end}".encode()).decode() if end < len(items) else None
    return items[max(start, 0) : end], following
