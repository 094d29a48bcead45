"""Run as `python -Es /app/.fourfold`, which has this file at its top and the others in `handler/`."""

import sys

from handler.server import main  # type: ignore[import-not-found]

sys.exit(main())
