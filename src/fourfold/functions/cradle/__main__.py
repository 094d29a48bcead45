"""`python -I -m fourfold.functions.cradle`: its socket to the invoker is its standard input."""

from __future__ import annotations

import sys

from fourfold.functions.cradle.server import main

if __name__ == "__main__":
    sys.exit(main())
