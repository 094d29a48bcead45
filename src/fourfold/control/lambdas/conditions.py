"""How a function is, in AWS's words: from what is wanted of it and how its last deployment went. Pure."""

from __future__ import annotations

from fourfold.control.lambdas.model import Condition
from fourfold.store.model import Deployment, ServiceRow
from fourfold.store.tables.deployments import OPEN
from fourfold.store.tables.functions import FunctionRow


def condition_of(row: FunctionRow, service: ServiceRow | None, deployment: Deployment | None) -> Condition:
    """`deployment`: the service's latest."""
    first = service is None or service.removed or (deployment is not None and not deployment.previous)
    works = not first or (deployment is not None and deployment.state == "done")
    if (row.wanted is not None and not row.problem) or (deployment is not None and deployment.state in OPEN):
        if works or not first:
            return Condition("Active", update="InProgress", update_reason="The function is being updated.",
                             update_code="Creating")  # fmt: skip
        return Condition("Pending", "The function is being created.", "Creating", "InProgress",
                         "The function is being created.", "Creating")  # fmt: skip
    why = row.problem or (deployment.reason if deployment is not None else None) or ""
    if not works:
        return Condition("Failed", why or "The function could not be created.", "FunctionError", "Failed", why,
                         "FunctionError")  # fmt: skip
    failed = bool(row.problem) or (deployment is not None and deployment.state in ("failed", "rolled-back"))
    if service is not None and service.stopped:
        return Condition("Inactive", "The function is stopped.", "Idle")
    if failed:
        return Condition("Active", update="Failed", update_reason=why, update_code="FunctionError")
    return Condition("Active")
