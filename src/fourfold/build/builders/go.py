"""Go: modules downloaded with network, compiled without, one binary left beside the source."""

from __future__ import annotations

from fourfold.build.builders.base import Found, choose
from fourfold.build.model import APP, OWN, Host, Listing, shell

_ENV = {"GOMODCACHE": "/cache/go/mod", "GOCACHE": "/cache/go/build", "GOTOOLCHAIN": "local", "GOFLAGS": "-modcacherw"}
_BINARY = f"{OWN}/bin/app"


MARKERS = ("go.mod",)


def matches(listing: Listing) -> bool:
    return listing.has("go.mod")


def find(listing: Listing, host: Host, wanted: str | None, build: str) -> Found:
    """Raises UserError when Go is missing. What is run needs no Go: the binary is complete."""
    go = choose(host, "go", None)
    download = shell(f"{go.path} mod download", _ENV, network=True, title="fetch Go modules")
    if build:
        return Found(go, before=(download,))
    compile_ = shell(f"CGO_ENABLED=0 {go.path} build -trimpath -o {_BINARY} {_main_package(listing)}", _ENV)
    return Found(go, before=(download, compile_), argv=(f"{APP}/{_BINARY}",))


def _main_package(listing: Listing) -> str:
    """The top, or the only folder in cmd/."""
    if listing.ending(".go"):
        return "."
    commands = {path.split("/")[1] for path in listing.entries if path.startswith("cmd/") and path.endswith(".go")}
    return f"./cmd/{commands.pop()}" if len(commands) == 1 else "."
