"""Run as `python -Es FOLDER`, which has this file at its top, the package `fourfold_host`, and `lib`."""

import sys
from pathlib import Path

from fourfold_host.worlds import World, install  # type: ignore[import-not-found]

World("fourfold_host", [str(Path(__file__).parent / "lib")])
install()

from fourfold_host.main import main  # type: ignore[import-not-found] # noqa: E402  # its imports need the above

sys.exit(main(sys.argv[1:]))
