"""Static sites: files served by a small server of ours that is put into the artifact."""

from __future__ import annotations

from pathlib import Path

from fourfold.build.builders.base import choose
from fourfold.build.model import APP, OWN, Host, Listing, Runtime
from fourfold.spec.model import Static

SERVER = f"{OWN}/static.py"
SERVER_TEXT = Path(__file__).parent.parent.joinpath("static_server.py").read_text()


def matches(listing: Listing) -> bool:
    return listing.has("index.html")


def server(host: Host, static: Static) -> tuple[Runtime, tuple[str, ...]]:
    """The Python to serve with, and the argv. Raises UserError when there is no Python."""
    runtime = choose(host, "python", None)
    folder = APP if static.dir in (".", "./") else f"{APP}/{static.dir.strip('/').removeprefix('./')}"
    fallback = ("--fallback", static.fallback) if static.fallback else ()
    return runtime, (runtime.path, "-I", f"{APP}/{SERVER}", folder, *fallback)
