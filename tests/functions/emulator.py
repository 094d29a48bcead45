"""aws-lambda-rie, AWS's own emulator of the Runtime API (`bin/prepare.py` fetches it), with a handler in it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.wait import until

ROOT = Path(__file__).resolve().parents[2]
EMULATOR = ROOT / ".venv" / "share" / "aws-lambda-rie"
PATH = "/2015-03-31/functions/function/invocations"


@contextmanager
def emulator(
    tree: Path, handler: str, timeout: int, argv: Sequence[str] = (sys.executable, "-m", "awslambdaric")
) -> Iterator[int]:
    """-> the port on which it takes events."""
    port, api = free_port(), free_port()
    options = ("--runtime-interface-emulator-address", f"127.0.0.1:{port}", "--runtime-api-address", f"127.0.0.1:{api}")
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tree),
        "_HANDLER": handler,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
        "AWS_LAMBDA_FUNCTION_NAME": "shop-made",
    }
    process = subprocess.Popen(
        [str(EMULATOR), *options, *argv, handler],
        cwd=tree,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until(lambda: _listens(port), what="aws-lambda-rie to listen")
        yield port
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port)):
        return True
