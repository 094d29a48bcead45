"""A service file on the disk as an app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fourfold.spec.app import App
from fourfold.spec.files import texts_of
from fourfold.spec.parse import parse


@dataclass(frozen=True)
class Loaded:
    """An app and where it came from."""

    app: App
    file: Path
    files: tuple[Path, ...]
    """The file and its overlays: none of them is ever part of a source."""


def load(path: Path, *, env: str | None, environ: Mapping[str, str]) -> Loaded:
    """The app of a service file, with `fourfold.ENV.yaml` beside it merged over it.

    Raises SpecError with everything that is wrong in the files, or UserError when one cannot be read.
    """
    files, texts = texts_of(path, env)
    return Loaded(parse(texts, environ), path, files)
