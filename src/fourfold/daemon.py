"""`python -m fourfold.daemon`: the daemon's command line. What it is made of: `fourfold.serving`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import sys

from fourfold.errors import FourfoldError
from fourfold.paths import Paths


def main() -> None:
    parser = argparse.ArgumentParser(prog="fourfold daemon")
    parser.add_argument(
        "--doctor", action="store_true", help="check this host, print one JSON object per line, and end"
    )
    parser.add_argument("--restore", metavar="FILE", help="make this home of a backup (-: standard input), and end")
    parser.add_argument("--force", action="store_true", help="with --restore: what is here is moved aside")
    parser.add_argument("--without-keys", action="store_true", help="with --restore: leave out all that is secret")
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for library in ("asyncio", "httpx", "botocore", "mail.log"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # the API has logged it, with the id that it answered
    paths = Paths.find(os.environ, os.geteuid())
    os.umask(0o022)  # bases and builds are the same, and other users' to read, whoever starts us
    gc.disable()  # what is made until it serves stays: looking through all of it again and again takes 0.1 s
    from fourfold.serving import doctor, restore, run

    try:
        if options.doctor:
            doctor(paths)
            return
        if options.restore is not None:
            restore(paths, options.restore, force=options.force, without_keys=options.without_keys)
            return
        asyncio.run(run(paths))
    except FourfoldError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
