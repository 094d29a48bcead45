"""What is refused of what others send to be built."""

from __future__ import annotations

from typing import Any

import pytest

from fourfold.control.bakery.asked import order_of
from fourfold.errors import UserError
from fourfold.spec.parse import parse_json


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ({"container": {"dockerfile": "Dockerfile"}}, "a Dockerfile is built as root"),
        ({"container": {"base": "oci:/srv/image"}}, "names a place on the machine that builds"),
        ({"vm": {"base": "docker-archive:/srv/image.tar"}}, "names a place on the machine that builds"),
    ],
)
def test_nothing_of_the_machine_that_builds(service: dict[str, Any], why: str) -> None:
    app = parse_json({"app": "shop", "services": {"web": {"source": "./", "run": "x", **service}}})
    with pytest.raises(UserError, match=why):
        order_of(app, "web", "container", None)
