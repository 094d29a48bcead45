"""A service file as far as it can be told without judging it: which sources it names, what the daemon is sent.

The daemon judges it, as it judges all that it is sent, and a command is spared the models of all keys: to import them
takes longer than the command. Where a file is refused, it is loaded as a whole, which tells what is wrong, and where.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fourfold.errors import SpecError, UserError
from fourfold.spec.files import texts_of
from fourfold.spec.tree import read_tree
from fourfold.spec.yaml.node import plain

if TYPE_CHECKING:
    from fourfold.spec.load import Loaded


@dataclass(frozen=True)
class Outline:
    data: dict[str, Any]
    """The app as plain data, before defaults of keys."""
    file: Path
    files: tuple[Path, ...]
    """The file and its overlays."""
    texts: list[tuple[str, str]]
    """Of the files."""
    environ: Mapping[str, str]
    needed: Collection[str] | None
    """See `spec.load.load`."""

    @property
    def app(self) -> str:
        return str(self.data["app"])

    @cached_property
    def services(self) -> dict[str, dict[str, Any]]:
        return _entries(self.data, "services")

    @cached_property
    def groups(self) -> dict[str, dict[str, Any]]:
        return _entries(self.data, "groups")

    @cached_property
    def everything(self) -> dict[str, dict[str, Any]]:
        """All that runs, by name: groups first."""
        return {**self.groups, **self.services}

    def judge(self) -> None:
        """Raises SpecError with all that is wrong in the files."""
        from fourfold.spec.load import load_texts

        load_texts(self.file, self.files, self.texts, self.environ, needed=self.needed)

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Where what is done with it fails, and the file is wrong, that is what is told."""
        try:
            yield
        except UserError:
            self.judge()
            raise


def outline(path: Path, *, env: str | None, environ: Mapping[str, str], needed: Collection[str] | None = ()) -> Outline:
    """As `spec.load.load`, which is asked where the file is no good at first sight. Raises what it raises."""
    files, texts = texts_of(path, env)
    with suppress(SpecError):
        tree, problems = read_tree(texts, environ)
        if not problems and _is_plain(data := plain(tree)):
            return Outline(data, path, files, texts, environ, needed)
    from fourfold.spec.load import load_texts

    return of(load_texts(path, files, texts, environ, needed=needed), environ)


def of(loaded: Loaded, environ: Mapping[str, str]) -> Outline:
    data = loaded.app.model_dump(mode="json")
    return Outline(data, loaded.file, loaded.files, loaded.texts, environ, needed=())


def _entries(data: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
    return {name: entry or {} for name, entry in (data.get(key) or {}).items()}


def _is_plain(data: dict[str, Any]) -> bool:
    """What is read here of it, is of the kind that it is taken for."""
    parts = [data.get("services"), data.get("groups") or {}]
    entries = [entry for part in parts if isinstance(part, dict) for entry in part.values()]
    gateway = data.get("gateway") or {}
    return (
        isinstance(data.get("app"), str)
        and all(isinstance(part, dict) for part in (*parts, gateway))
        and isinstance(gateway.get("tls") or {}, dict)
        and all(entry is None or (isinstance(entry, dict) and _has_source(entry)) for entry in entries)
    )


def _has_source(entry: dict[str, Any]) -> bool:
    source = entry.get("source")
    return source is None or (isinstance(source, str) and source.startswith((".", "/")))
