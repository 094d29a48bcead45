"""Resource policies, which are kept and told (whoever signs with the key may do everything), and tags."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from fourfold.api.aws.call import Call, Route, answer
from fourfold.api.aws.errors import conflict, constraint, invalid, not_found, stale
from fourfold.api.aws.http import Response
from fourfold.api.aws.reference import parse
from fourfold.control.lambdas.lambdas import revision
from fourfold.control.lambdas.model import LATEST, Function

_STATEMENT = re.compile(r"[a-zA-Z0-9-_]{1,100}")
_ACTION = re.compile(r"lambda:[*]|lambda:[a-zA-Z]+|[*]")
_MOST_TAGS = 50


def _policies(function: Function) -> dict[str, list[dict[str, Any]]]:
    return dict(function.row.settings.get("Policies", {}))


def _qualifier(call: Call) -> str:
    qualifier = call.reference.qualifier
    if qualifier == LATEST:
        raise invalid("We currently do not support adding policies for $LATEST.")
    call.must_exist(qualifier)
    return qualifier or LATEST


def _unchanged(call: Call) -> None:
    told = call.text("RevisionId") or call.one("RevisionId")
    if told and told != revision(call.function):
        raise stale("The RevisionId provided does not match the latest RevisionId. Call the GetPolicy API to retrieve "
                    "the latest RevisionId")  # fmt: skip


async def add(call: Call) -> Response:
    function, qualifier = call.function, _qualifier(call)
    _unchanged(call)
    id, action, principal = call.need_text("StatementId"), call.need_text("Action"), call.need_text("Principal")
    if not _STATEMENT.fullmatch(id):
        raise constraint(id, "statementId", "Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)")
    if not _ACTION.fullmatch(action):
        raise constraint(action, "action", "Member must satisfy regular expression pattern: "
                         "(lambda:[*]|lambda:[a-zA-Z]+|[*])")  # fmt: skip
    policies = _policies(function)
    statements = policies.get(qualifier, [])
    if any(each["Sid"] == id for each in statements):
        raise conflict(f"The statement id ({id}) provided already exists. Please provide a new statement id, or remove "
                       "the existing statement.")  # fmt: skip
    statement = _statement(call, function, qualifier, id, action, principal)
    call.lambdas.set(function, "Policies", policies | {qualifier: [*statements, statement]})
    return answer(201, {"Statement": json.dumps(statement, separators=(",", ":"))})


def _statement(call: Call, function: Function, qualifier: str, id: str, action: str, principal: str) -> dict[str, Any]:
    who: Any = {"Service": principal} if "." in principal else {"AWS": principal}
    if principal == "*":
        who = "*"
    elif principal.isdigit():
        who = {"AWS": f"arn:aws:iam::{principal}:root"}
    arn = call.lambdas.arn(function.name, "" if qualifier == LATEST else qualifier)
    made: dict[str, Any] = {"Sid": id, "Effect": "Allow", "Principal": who, "Action": action, "Resource": arn}
    conditions: dict[str, dict[str, str]] = {}
    for member, kind, key in (
        ("SourceAccount", "StringEquals", "AWS:SourceAccount"),
        ("FunctionUrlAuthType", "StringEquals", "lambda:FunctionUrlAuthType"),
        ("EventSourceToken", "StringEquals", "lambda:EventSourceToken"),
        ("PrincipalOrgID", "StringEquals", "aws:PrincipalOrgID"),
        ("SourceArn", "ArnLike", "AWS:SourceArn"),
    ):
        if value := call.text(member):
            conditions.setdefault(kind, {})[key] = value
    return made | {"Condition": conditions} if conditions else made


async def get(call: Call) -> Response:
    function, qualifier = call.function, _qualifier(call)
    statements = _policies(function).get(qualifier)
    if not statements:
        raise not_found("The resource you requested does not exist.")
    policy = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
    return answer(200, {"Policy": json.dumps(policy, separators=(",", ":")), "RevisionId": revision(function)})


async def remove(call: Call) -> Response:
    function, qualifier, id = call.function, _qualifier(call), call.path["statement"]
    _unchanged(call)
    policies = _policies(function)
    statements = policies.get(qualifier, [])
    kept = [each for each in statements if each["Sid"] != id]
    if len(kept) == len(statements):
        raise not_found(f"Statement {id} is not found in resource policy.")
    call.lambdas.set(function, "Policies", policies | {qualifier: kept})
    return answer(204)


# -- tags ---------------------------------------------------------------------------------------------------------


def _tagged(call: Call) -> Function:
    return call.need(parse(call.lambdas, unquote(call.path["arn"])).name)


async def list_tags(call: Call) -> Response:
    return answer(200, {"Tags": _tagged(call).row.settings.get("Tags", {})})


async def tag(call: Call) -> Response:
    function, tags = _tagged(call), call.map("Tags")
    if tags is None:
        raise constraint(None, "tags", "Member must not be null")
    call.lambdas.set(function, "Tags", merged(function.row.settings.get("Tags", {}), tags))
    return answer(204)


def merged(before: dict[str, str], tags: dict[str, Any]) -> dict[str, str]:
    """Raises ApiError for what is no tag, and for too many."""
    for key, value in tags.items():
        if not (0 < len(key) <= 128 and isinstance(value, str) and len(value) <= 256):
            raise constraint(key, "tags", "Map keys must have length of 1 to 128, values of at most 256")
    both = before | tags
    if len(both) > _MOST_TAGS:
        raise invalid(f"cannot keep {len(both)} tags: a function may have {_MOST_TAGS}")
    return both


async def untag(call: Call) -> Response:
    function, keys = _tagged(call), [value for name, value in call.query if name == "tagKeys"]
    if not keys:
        raise constraint(None, "tagKeys", "Member must not be null")
    tags = {key: value for key, value in function.row.settings.get("Tags", {}).items() if key not in keys}
    call.lambdas.set(function, "Tags", tags or None)
    return answer(204)


_POLICY = "/2015-03-31/functions/{name}/policy"
_TAGS = "/2017-03-31/tags/{arn}"
ROUTES = [
    Route("POST", _POLICY, add),
    Route("GET", _POLICY, get),
    Route("DELETE", f"{_POLICY}/{{statement}}", remove),
    Route("GET", _TAGS, list_tags),
    Route("POST", _TAGS, tag),
    Route("DELETE", _TAGS, untag),
]
