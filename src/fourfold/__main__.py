"""The `fourfold` command, and `python -m fourfold`."""

import gc
from typing import NoReturn


def main() -> NoReturn:
    gc.set_threshold(100_000)  # a command imports and ends: to look for garbage meanwhile takes a sixth of its time
    from fourfold.cli.main import main

    main()


if __name__ == "__main__":
    main()
