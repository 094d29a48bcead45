from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.serving import Serving, serving


@pytest.fixture
def server() -> Iterator[Serving]:
    # Not tmp_path: a Unix socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="ff-") as folder, serving(Path(folder) / "run/fourfold.sock") as running:
        yield running


@pytest.fixture
def http(server: Serving) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(server.socket), verify=False)  # no TLS: reading the CAs takes 30 ms
    with httpx.Client(transport=transport, base_url="http://fourfold", timeout=20) as client:
        yield client
