"""docs/openapi.json is what the daemon answers, and what `fourfold schema --api` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from fourfold.api.app import create_app
from fourfold.control.facade import Facade

PAGE = Path(__file__).parents[2] / "docs/openapi.json"


def test_is_in_step() -> None:
    document = create_app(cast(Facade, None)).openapi()
    assert json.loads(PAGE.read_text()) == document, "write it again: fourfold schema --api > docs/openapi.json"
