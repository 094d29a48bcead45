"""The command line: one file per command; talks to the daemon through the REST client only."""

import sys

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # its command line: most of what httpx costs to import
