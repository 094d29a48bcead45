"""What Lambda's API knows of functions and no release holds: names, settings, versions, aliases, event sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fourfold.store.db import Database
from fourfold.store.tables.rows import Table


@dataclass(frozen=True)
class FunctionRow:
    app: str
    service: str
    name: str
    """What clients call it."""
    managed: bool
    """Made through the API; False: a service file describes it, and only settings are kept here."""
    changes: int
    """Grows with each change: part of the RevisionId."""
    modified_at: float
    settings: dict[str, Any] = field(default_factory=dict)
    """Role, Description, Tags, policies, urls, …: see control.lambdas.model.SETTINGS."""
    wanted: dict[str, Any] | None = None
    """`{"spec", "source"}`: what is to be deployed, kept until it is; with a `problem`: what could not be."""
    problem: str = ""
    """Why the last deployment failed."""
    deleted: bool = False
    """Until its services are gone."""


@dataclass(frozen=True)
class VersionRow:
    """A published version: a release that stays."""

    app: str
    service: str
    number: int
    release: int
    """0: not yet known, it is being deployed."""
    description: str
    modified_at: float
    runs: bool = False
    """It was invoked or has an alias: a service of its own runs it."""
    problem: str = ""
    deleted: bool = False
    """Until its service is gone. Its number is not used again."""


@dataclass(frozen=True)
class AliasRow:
    app: str
    service: str
    name: str
    version: str
    """A number or $LATEST."""
    description: str = ""
    weights: dict[str, float] = field(default_factory=dict)
    """Other version -> share of the invocations that go there."""
    changes: int = 0


@dataclass(frozen=True)
class MappingRow:
    """An event source mapping: a trigger of the service while it is enabled."""

    id: str
    app: str
    service: str
    settings: dict[str, Any]
    """As the client gave them."""
    enabled: bool
    modified_at: float


_FUNCTIONS = Table("functions", FunctionRow, key=("app", "service"))
_VERSIONS = Table("function_versions", VersionRow, key=("app", "service", "number"))
_ALIASES = Table("function_aliases", AliasRow, key=("app", "service", "name"))
_MAPPINGS = Table("event_source_mappings", MappingRow, key=("id",))


class Functions:
    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[FunctionRow]:
        return _FUNCTIONS.select(self._database, "ORDER BY name")

    def put(self, row: FunctionRow) -> None:
        _FUNCTIONS.put(self._database, row)

    def remove(self, app: str, service: str) -> None:
        """With all that belongs to it."""
        with self._database.transaction():
            _FUNCTIONS.remove(self._database, app, service)
            for table in (_VERSIONS, _ALIASES, _MAPPINGS):
                table.delete(self._database, "WHERE app = ? AND service = ?", app, service)

    def versions(self) -> list[VersionRow]:
        return _VERSIONS.select(self._database, "ORDER BY app, service, number")

    def put_version(self, row: VersionRow) -> None:
        _VERSIONS.put(self._database, row)

    def aliases(self) -> list[AliasRow]:
        return _ALIASES.select(self._database, "ORDER BY app, service, name")

    def put_alias(self, row: AliasRow) -> None:
        _ALIASES.put(self._database, row)

    def remove_alias(self, row: AliasRow) -> None:
        _ALIASES.remove(self._database, row.app, row.service, row.name)

    def mappings(self) -> list[MappingRow]:
        return _MAPPINGS.select(self._database, "ORDER BY id")

    def put_mapping(self, row: MappingRow) -> None:
        _MAPPINGS.put(self._database, row)

    def remove_mapping(self, row: MappingRow) -> None:
        _MAPPINGS.remove(self._database, row.id)
