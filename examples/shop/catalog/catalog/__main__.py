"""Serve on $HOST:$PORT; SIGTERM lets requests in flight end, then exits 0."""

from __future__ import annotations

import os
import signal
import sys

import uvicorn

from catalog.app import app

# uvicorn raises the signal once more when it has shut down: by then there is nothing left to do.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

uvicorn.run(
    app,
    host=os.environ.get("HOST", "127.0.0.1"),
    port=int(os.environ.get("PORT", "8080")),
    log_level=os.environ.get("LOG_LEVEL", "info").lower(),
    # Longer than a gateway keeps an idle connection, so that we never close one it is about to use.
    timeout_keep_alive=75,
    timeout_graceful_shutdown=20,
)
