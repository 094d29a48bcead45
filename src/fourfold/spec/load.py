"""A service file on the disk as an app."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fourfold.spec.app import App
from fourfold.spec.checks.checks import Finding, Parts
from fourfold.spec.files import texts_of
from fourfold.spec.parse import parse


@dataclass(frozen=True)
class Loaded:
    """An app and where it came from."""

    app: App
    file: Path
    files: tuple[Path, ...]
    """The file and its overlays: none of them is ever part of a source."""
    texts: list[tuple[str, str]]


def load(path: Path, *, env: str | None, environ: Mapping[str, str], needed: Collection[str] | None = ()) -> Loaded:
    """The app of a service file, with `fourfold.ENV.yaml` beside it merged over it.

    Raises SpecError with everything that is wrong in the files, or UserError when one cannot be read. `needed`:
    sources of these services that the disk does not have are wrong too; None: of all, and certificates.
    """
    return load_texts(path, *texts_of(path, env), environ, needed=needed)


def load_texts(
    path: Path,
    files: tuple[Path, ...],
    texts: list[tuple[str, str]],
    environ: Mapping[str, str],
    *,
    needed: Collection[str] | None = (),
) -> Loaded:
    """As `load`, of what was read already: a pipe can be read once only."""
    further = partial(_missing, path.absolute().parent, needed)
    return Loaded(parse(texts, environ, further), path, files, texts)


def _missing(folder: Path, needed: Collection[str] | None, parts: Parts) -> Iterator[Finding]:
    built = {name: service for name, service in parts.services.items() if service.image is None}
    named = {("services", name, "source"): built[name].source for name in built if needed is None or name in needed}
    if needed is None and parts.gateway is not None and (tls := parts.gateway.tls) is not None:
        named |= {("gateway", "tls", "cert"): tls.cert, ("gateway", "tls", "key"): tls.key}
    for key, path in named.items():
        if not (folder / path).exists():
            yield Finding(key, f"{folder / path} is not there")
