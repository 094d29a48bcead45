"""Reserved concurrency: how many sandboxes a function may have. 0: every invocation is throttled."""

from __future__ import annotations

from fourfold.api.aws.call import Call, Route, answer
from fourfold.api.aws.errors import constraint
from fourfold.api.aws.http import Response
from fourfold.control.lambdas import code
from fourfold.spec.function import Function as Block

_DEFAULT = Block.model_fields["concurrency"].default
_MOST = 1000


async def put(call: Call) -> Response:
    """A new release, for a function's invoker knows its bound from its start. 0 holds at once."""
    reserved = call.number("ReservedConcurrentExecutions", 0, _MOST)
    if reserved is None:
        raise constraint(None, "reservedConcurrentExecutions", "Member must not be null")
    _set(call, reserved)
    return answer(200, {"ReservedConcurrentExecutions": reserved})


def _set(call: Call, reserved: int | None) -> None:
    function = call.settled()
    settings = {name: value for name, value in function.row.settings.items() if name != "Reserved"}
    if reserved is not None:
        settings["Reserved"] = reserved
    wanted = _DEFAULT if reserved is None else reserved
    spec = None
    if wanted != function.spec.function.concurrency:
        spec = function.spec.model_dump(mode="json")
        spec["function"] |= {"concurrency": wanted, "provisioned": min(spec["function"]["provisioned"], wanted)}
    call.lambdas.change(function, spec=spec, settings=settings)


async def get(call: Call) -> Response:
    reserved = call.function.row.settings.get("Reserved")
    return answer(200, {} if reserved is None else {"ReservedConcurrentExecutions": reserved})


async def delete(call: Call) -> Response:
    _set(call, None)
    return answer(204)


async def account(call: Call) -> Response:
    functions = list(call.lambdas.all())
    reserved = sum(each.row.settings.get("Reserved") or 0 for each in functions)
    size = sum(code.describe(each.source, call.site.sources).size for each in functions)
    return answer(
        200,
        {
            "AccountLimit": {
                "TotalCodeSize": 80_530_636_800,
                "CodeSizeUnzipped": 262_144_000,
                "CodeSizeZipped": 52_428_800,
                "ConcurrentExecutions": _MOST,
                "UnreservedConcurrentExecutions": max(0, _MOST - reserved),
            },
            "AccountUsage": {"TotalCodeSize": size, "FunctionCount": len(functions)},
        },
    )


ROUTES = [
    Route("PUT", "/2017-10-31/functions/{name}/concurrency", put),
    Route("DELETE", "/2017-10-31/functions/{name}/concurrency", delete),
    Route("GET", "/2019-09-30/functions/{name}/concurrency", get),
    Route("GET", "/2016-08-19/account-settings", account),
]
