"""What is stored of functions, in memory too: an invocation looks nothing up on disk. Written through, disk first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fourfold.store.store import Store
from fourfold.store.tables.functions import AliasRow, FunctionRow, MappingRow, VersionRow

Key = tuple[str, str]
"""App and service."""


class Rows:
    def __init__(self, store: Store) -> None:
        self._database = store.database
        self._store = store.functions
        self._load()

    def _load(self) -> None:
        self.rows: dict[Key, FunctionRow] = {(row.app, row.service): row for row in self._store.all()}
        self.versions: dict[Key, dict[int, VersionRow]] = {}
        for version in self._store.versions():
            self.versions.setdefault((version.app, version.service), {})[version.number] = version
        self.aliases: dict[Key, dict[str, AliasRow]] = {}
        for alias in self._store.aliases():
            self.aliases.setdefault((alias.app, alias.service), {})[alias.name] = alias
        self.mappings: dict[str, MappingRow] = {mapping.id: mapping for mapping in self._store.mappings()}
        self._names = {row.name: key for key, row in self.rows.items() if row.managed and not row.deleted}
        self._urls = {
            url["Id"]: (key, qualifier)
            for key, row in self.rows.items()
            for qualifier, url in row.settings.get("Urls", {}).items()
        }

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that is changed inside, or nothing of it."""
        try:
            with self._database.transaction():
                yield
        except BaseException:
            self._load()
            raise

    def put(self, row: FunctionRow) -> None:
        key = (row.app, row.service)
        old = self.rows.get(key)
        self._store.put(row)
        self.rows[key] = row
        if row.managed and not row.deleted:
            self._names[row.name] = key
        else:
            if self._names.get(row.name) == key:
                del self._names[row.name]
        for url in (old.settings.get("Urls", {}) if old is not None else {}).values():
            self._urls.pop(url["Id"], None)
        for qualifier, url in row.settings.get("Urls", {}).items():
            self._urls[url["Id"]] = (key, qualifier)

    def remove(self, row: FunctionRow) -> None:
        """When nothing of it runs any more."""
        key = (row.app, row.service)
        self._store.remove(row.app, row.service)
        self.rows.pop(key, None)
        self.versions.pop(key, None)
        self.aliases.pop(key, None)
        self.mappings = {id: each for id, each in self.mappings.items() if (each.app, each.service) != key}
        self._names = {name: each for name, each in self._names.items() if each != key}
        self._urls = {id: each for id, each in self._urls.items() if each[0] != key}

    def forget(self, app: str) -> None:
        """All of an app that is purged."""
        for row in [each for each in self.rows.values() if each.app == app]:
            self.remove(row)

    def put_version(self, row: VersionRow) -> None:
        self._store.put_version(row)
        self.versions.setdefault((row.app, row.service), {})[row.number] = row

    def put_alias(self, row: AliasRow) -> None:
        self._store.put_alias(row)
        self.aliases.setdefault((row.app, row.service), {})[row.name] = row

    def remove_alias(self, row: AliasRow) -> None:
        self._store.remove_alias(row)
        del self.aliases[row.app, row.service][row.name]

    def put_mapping(self, row: MappingRow) -> None:
        self._store.put_mapping(row)
        self.mappings[row.id] = row

    def remove_mapping(self, row: MappingRow) -> None:
        self._store.remove_mapping(row)
        del self.mappings[row.id]
