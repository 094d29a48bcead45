"""A router of one resource, and what the OpenAPI document says of all of them.

Routers are made whole here, and their routes put into the application as they are: FastAPI's `include_router` would
build every route a second time, and models of every error for every route.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from fourfold.api.network.rights import MOST_NAME, NAME
from fourfold.api.shapes import ErrorBody, LogLineBody
from fourfold.api.text import TextRoute

_SCHEMAS = "#/components/schemas/"
_ERRORS = {
    401: "Over the network: no token that is good",
    403: "Over the network: the token is not good for this",
    404: "The app, service, instance or release named is not there",
    409: "Contradicts the present state; nothing changed",
    413: "More than is taken, or than may be kept",
    422: "Refused: bad input; nothing changed",
    429: "More often, or more at once, than may be asked for; `Retry-After` says when to try again",
    500: "A fault of the daemon; its log has the details under the id given",
    503: "The world failed (disk, network, a program); may succeed later",
}
"""Every path can answer these."""
ERROR = {"content": {"application/json": {"schema": {"$ref": f"{_SCHEMAS}ErrorBody"}}}}


def lines(*kinds: str) -> dict[str, Any]:
    """The content of an answer in NDJSON; `kinds`: the schemas of its lines."""
    schema = {"anyOf": [{"$ref": _SCHEMAS + kind} for kind in (*kinds, "ErrorBody")]}
    return {"application/x-ndjson": {"schema": schema}}


def resource(tag: str) -> APIRouter:
    responses: dict[int | str, dict[str, Any]] = {status: {"description": what} for status, what in _ERRORS.items()}
    return APIRouter(tags=[tag], responses=responses, route_class=TextRoute, generate_unique_id_function=_operation_id)


class Application(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """With each error's answer once; with what all paths have in common: tokens, and what a name may be."""
        if self.openapi_schema is None:
            document = super().openapi()
            parts = document["components"]
            for unseen in (ErrorBody, LogLineBody):  # by FastAPI, which is told of no answer that is not one JSON text
                body = unseen.model_json_schema(ref_template=_SCHEMAS + "{model}", mode="serialization")
                parts["schemas"] |= {**body.pop("$defs", {}), unseen.__name__: body}
            parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            parts["responses"] = {f"Error{status}": {"description": what, **ERROR} for status, what in _ERRORS.items()}
            document["security"] = [{}, {"token": []}]
            for operation in (each for path in document["paths"].values() for each in path.values()):
                for status in _ERRORS:
                    operation["responses"][str(status)] = {"$ref": f"#/components/responses/Error{status}"}
                for parameter in operation.get("parameters", []):
                    if parameter["in"] == "path":
                        parameter["schema"] |= {"pattern": NAME, "maxLength": MOST_NAME}
        assert self.openapi_schema is not None
        return self.openapi_schema


def _operation_id(route: APIRoute) -> str:
    """`list_apps`, not FastAPI's `list_apps_v1_apps_get`: generated clients use it as a method's name."""
    return route.name.rstrip("_")
