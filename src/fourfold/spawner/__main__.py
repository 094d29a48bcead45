"""`python -I -S .../spawner/__main__.py --socket S --journal J --lock L [--detach] [--state FD]`, `--probe`, `--try`.

With --detach it exits with 0 as soon as a spawner listens, leaving that behind as a process of its own session; with 3
when another spawner has the lock. --probe prints, as JSON, what instances can be given on this host; --try
starts one program with a bundle (standard input: a Spawn) and prints how it ended.
"""

from __future__ import annotations

import os
import sys

if "fourfold" not in sys.modules:  # at the end: whatever else is installed there must not shadow the standard library
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from fourfold.spawner.main import main

if __name__ == "__main__":
    main()
