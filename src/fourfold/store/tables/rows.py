"""Dataclasses in and out of tables: columns come from the fields, so no list of columns is written by hand.

A field that is a dict or a tuple is stored as JSON (tuples inside a dict come back as lists), a bool as 0 or 1,
everything else as it is. Column names are always quoted: `commit` is a word of SQL.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from fourfold.store.db import Database

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Row = TypeVar("Row", bound=DataclassInstance)
else:
    Row = TypeVar("Row")

Codec = tuple[Callable[[Any], Any] | None, Callable[[Any], Any] | None]
"""(to the database, from it); None passes values through."""


class Table(Generic[Row]):
    """The statements for one dataclass stored in one table with a primary key."""

    def __init__(self, name: str, kind: type[Row], key: tuple[str, ...]) -> None:
        hints = get_type_hints(kind)
        self.name = name
        self.columns = tuple(field.name for field in fields(kind))
        self.kind = kind
        self._codecs = tuple(_codec(hints[column]) for column in self.columns)
        listed = ", ".join(_quoted(column) for column in self.columns)
        marks = ", ".join("?" for _ in self.columns)
        rest = ", ".join(f"{_quoted(c)} = excluded.{_quoted(c)}" for c in self.columns if c not in key)
        match = " AND ".join(f"{_quoted(column)} = ?" for column in key)
        self._select = f"SELECT {listed} FROM {name} "
        self._insert = f"INSERT INTO {name} ({listed}) VALUES ({marks})"
        self._upsert = f"{self._insert} ON CONFLICT ({', '.join(map(_quoted, key))}) DO UPDATE SET {rest}"
        self.key = key
        self._by_key = f"WHERE {match}"
        self._delete = f"DELETE FROM {name} "

    def put(self, database: Database, row: Row) -> None:
        """Write the whole row: a new one, or over the one with the same key."""
        database.execute(self._upsert, self._encode(row))

    def insert(self, database: Database, row: Row) -> None:
        """Write a row whose key must not be there yet (sqlite3.IntegrityError otherwise: the caller's bug)."""
        database.execute(self._insert, self._encode(row))

    def append(self, database: Database, row: Row) -> Row:
        """Insert a row whose only key is numbered by the database; returns it with its number."""
        (key,) = self.key
        values = self._encode(row)
        values[self.columns.index(key)] = None
        return replace(row, **{key: database.execute(self._insert, values).lastrowid})

    def get(self, database: Database, *key: str | int) -> Row | None:
        found = self.select(database, self._by_key, *key)
        return found[0] if found else None

    def select(self, database: Database, tail: str = "", *values: Any) -> list[Row]:
        """All rows that `tail` (WHERE, ORDER BY, LIMIT) lets through."""
        kind, codecs = self.kind, self._codecs
        return [
            kind(*[value if load is None else load(value) for value, (_, load) in zip(stored, codecs, strict=True)])
            for stored in database.query(self._select + tail, values)
        ]

    def remove(self, database: Database, *key: str | int) -> bool:
        """Whether there was such a row."""
        return self.delete(database, self._by_key, *key) > 0

    def delete(self, database: Database, tail: str, *values: Any) -> int:
        """Delete all rows that `tail` lets through; how many."""
        return database.execute(self._delete + tail, values).rowcount

    def _encode(self, row: Row) -> list[Any]:
        values = (getattr(row, column) for column in self.columns)
        return [value if dump is None else dump(value) for value, (dump, _) in zip(values, self._codecs, strict=True)]


def _quoted(name: str) -> str:
    return f'"{name}"'


def _codec(hint: Any) -> Codec:
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not NoneType)
        dump, load = _codec(hint)
        return dump and _optional(dump), load and _optional(load)
    kind = get_origin(hint) or hint
    if kind is dict:
        return json.dumps, json.loads
    if kind is tuple:
        return json.dumps, lambda stored: tuple(json.loads(stored))
    if kind is bool:
        return None, bool
    return (clean_text, None) if kind is str else (None, None)


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


def clean_text(text: str) -> str:
    """Text that SQLite can store: bytes that were not UTF-8 (file names, output of programs) become `\\udcff`."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
