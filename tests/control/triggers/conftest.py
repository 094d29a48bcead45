"""AWS as moto has it, once for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.moto import Moto, moto_server
from tests.support.ports import free_port


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    with moto_server(free_port()) as server:
        yield server
