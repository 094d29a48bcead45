"""What is said of a service in each state it may be in."""

from __future__ import annotations

from typing import Any

from fourfold.control.explain import Case, explain
from fourfold.control.views import ExplainView
from tests.store.samples import deployment, instance, service_row


def explained(**given: Any) -> ExplainView:
    fields: dict[str, Any] = {
        "row": service_row(),
        "desired": 1,
        "instances": [instance("shop.web-1-a")],
        "dead": [],
        "deployment": deployment(),
        "waiting_for": None,
        "probe_errors": [],
        "limits_missing": {},
        "memory_limit": None,
        "last_lines": [],
    }
    return explain(Case(**(fields | given)))


def test_well() -> None:
    view = explained()
    assert (view.well, view.summary) == (True, "web is well: 1 of 1 instances of release 1 ready")


def test_after_a_deployment_that_was_rolled_back() -> None:
    view = explained(deployment=deployment(release=2, state="rolled-back", reason="exit code 3"))
    assert (view.well, view.summary) == (
        False,
        "web serves, but not all is well: 1 of 1 instances of release 1 ready",
    )
    assert view.findings == ["the deployment of release 2 failed: exit code 3; release 1 serves on"]


def test_too_few() -> None:
    view = explained(desired=2)
    assert view.summary == "web is not well: 1 of 2 instances of release 1 ready"
