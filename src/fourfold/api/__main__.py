"""`python -m fourfold.api`: the OpenAPI document on standard output. `fourfold schema --api` runs it."""

from __future__ import annotations

import json
from typing import cast

from fourfold.api.app import create_app
from fourfold.control.facade import Facade

# Describing the API calls nothing of the facade.
print(json.dumps(create_app(cast(Facade, None)).openapi(), indent=2))
