"""What a service is asked, where nobody has to be asked for that."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from fourfold.control.comparing.loads import load_of
from fourfold.control.comparing.measure import LoadPlan
from fourfold.control.comparing.request import CompareRequest
from fourfold.control.parts import Parts
from fourfold.cost.comparison import Load
from fourfold.errors import UserError
from fourfold.spec.model import Service
from fourfold.store.model import ServiceRow


def asked(request: CompareRequest) -> tuple[Load, LoadPlan | None]:
    row = cast(ServiceRow, type("Row", (), {"app": "shop", "name": "worker"}))
    return asyncio.run(load_of(cast(Parts, None), row, Service.model_validate({"run": "./work"}), request))


def test_what_has_no_port_is_asked_nothing_and_says_so() -> None:
    load, plan = asked(CompareRequest(quick=True))
    assert plan is None
    assert (load.requests_per_second, load.duration_seconds, load.distinct_requests, load.examples) == (0, 0, 0, ())


@pytest.mark.parametrize("given", [{"requests": "GET /"}, {"requests_per_second": 5.0}])
def test_a_load_for_what_has_no_port_is_refused(given: dict[str, str | float]) -> None:
    with pytest.raises(UserError, match="cannot ask worker anything: it has no port"):
        asked(CompareRequest.model_validate(given))
