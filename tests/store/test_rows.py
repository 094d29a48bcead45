"""What is stored comes back as it was, for every dataclass and whatever is in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fourfold.store import secrets
from fourfold.store.db import Database, open_database
from fourfold.store.tables import apps, deployments, events, instances, releases, services
from fourfold.store.tables.rows import Table
from tests.store.samples import deployment, instance

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    dict[str, Any]: st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    # Arguments may be bytes that are no UTF-8, and have to come back as those bytes.
    tuple[str, ...]: st.lists(st.text(max_size=8) | st.just("caf\udce9")).map(tuple),
}
TABLES: list[Table[Any]] = [
    apps.TABLE, deployments.TABLE, events.TABLE, instances.TABLE, releases.TABLE, services.TABLE,
]  # fmt: skip


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    opened = open_database(tmp_path_factory.mktemp("rows") / "store.db")
    opened.execute("PRAGMA foreign_keys = OFF")  # here it is about one table at a time
    return opened


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    if hint in VALUES:
        return VALUES[hint]
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    assert get_origin(hint) is UnionType
    return st.none() | values_of(next(part for part in get_args(hint) if part is not NoneType))


def rows_of(table: Table[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(table.kind)
    return st.builds(table.kind, **{column: values_of(hints[column]) for column in table.columns})


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_row_comes_back_equal(table: Table[Any], database: Database) -> None:
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(rows_of(table))
    def check(row: Any) -> None:
        table.put(database, row)
        key = [getattr(row, column) for column in table.key]
        assert table.get(database, *key) == row
        assert row in table.select(database)
        assert table.remove(database, *key)
        assert table.get(database, *key) is None

    check()


@pytest.mark.parametrize("table", [*TABLES, secrets.INFO], ids=lambda table: table.name)
def test_columns_are_the_fields(table: Table[Any], database: Database) -> None:
    columns = {name for _, name, *_ in database.query(f"PRAGMA table_info({table.name})")}
    assert columns - {"value"} == set(table.columns)


def test_put_writes_over_the_row_with_the_same_key(database: Database) -> None:
    first = instance("shop.web-1-aaaa")
    instances.TABLE.put(database, first)
    second = replace(first, state="exited", exit={"code": 3, "signal": None}, pid=4)
    instances.TABLE.put(database, second)
    assert instances.TABLE.select(database, "WHERE id = ?", first.id) == [second]


def test_append_gives_growing_numbers_that_are_never_used_twice(tmp_path: Path) -> None:
    database = open_database(tmp_path / "store.db")
    first, second = (deployments.TABLE.append(database, deployment()) for _ in range(2))
    assert second.id > first.id > 0
    deployments.TABLE.remove(database, second.id)
    assert deployments.TABLE.append(database, deployment()).id > second.id


def test_text_that_is_not_utf8_is_stored_readably(database: Database) -> None:
    row = replace(instance("shop.web-1-text"), host="caf\udce9 ok")
    instances.TABLE.put(database, row)
    stored = instances.TABLE.get(database, row.id)
    assert stored is not None and stored.host == "caf\\udce9 ok"
