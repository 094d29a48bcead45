"""Go: modules downloaded with network, compiled without, one binary left beside the source."""

from __future__ import annotations

import re

from fourfold.build.builders.base import Found, choose
from fourfold.build.model import APP, OWN, Host, Listing, shell
from fourfold.errors import UserError

_ENV = {"GOMODCACHE": "/cache/go/mod", "GOCACHE": "/cache/go/build", "GOTOOLCHAIN": "local", "GOFLAGS": "-modcacherw"}
_BINARY = f"{OWN}/bin/app"


MARKERS = ("go.mod",)


def matches(listing: Listing) -> bool:
    return listing.has("go.mod")


def find(listing: Listing, host: Host, wanted: str | None, build: str) -> Found:
    """Raises UserError when Go is missing. What is run needs no Go: the binary is complete."""
    go = choose(host, "go", None)
    download = shell(f"{go.path} mod download", _ENV, network=True, title="fetch Go modules")
    before = () if listing.has("vendor/modules.txt") else (download,)
    if build:
        return Found(go, before=before, build_env=_ENV)
    # No -trimpath: with it, Debian's compiled standard library is of no use. The tags keep C out of programs without C.
    compile_ = shell(f"{go.path} build -tags=netgo,osusergo -o {_BINARY} {_main_package(listing)}", _ENV)
    return Found(go, before=(*before, compile_), argv=(f"{APP}/{_BINARY}",))


def _main_package(listing: Listing) -> str:
    """The top, or the only program in cmd/. What the Go command says of anything else is plain enough."""
    if _is_program(listing, ""):
        return "."
    folders = sorted({path.split("/")[1] for path in listing.entries if re.fullmatch(r"cmd/[^/]+/[^/]+\.go", path)})
    programs = [name for name in folders if _is_program(listing, f"cmd/{name}/")]
    if len(programs) > 1:
        raise UserError(
            f"cannot tell which program to build: cmd/ has {', '.join(programs)}",
            f"say it: `build: go build -o app ./cmd/{programs[0]}` and `run: ./app`",
        )
    return f"./cmd/{programs[0]}" if programs else "."


def _is_program(listing: Listing, folder: str) -> bool:
    name = re.compile(rf"{re.escape(folder)}[^/]+(?<!_test)\.go")
    files = [path for path, entry in listing.entries.items() if entry.link is None and name.fullmatch(path)]
    return any(re.search(r"^package main\b", listing.text(path) or "", re.MULTILINE) for path in files)
