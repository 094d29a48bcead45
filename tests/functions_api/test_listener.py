"""Where Lambda's API listens, and the key pair that it takes."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fourfold.api.aws import keys, listener
from fourfold.control.facade import Facade
from fourfold.control.lambdas.lambdas import Lambdas
from fourfold.control.parts import Parts
from fourfold.control.registry import Registry
from fourfold.control.settings import Settings
from fourfold.errors import UserError
from fourfold.paths import Paths
from fourfold.store import layout
from tests.store.samples import FixedClock, open_in
from tests.support.ports import free_port


def opened(home: Path, **settings: Any) -> str | None:
    """Open it over a store of `home`, and close it again. -> its URL."""

    async def run() -> str | None:
        paths = Paths.find({"FOURFOLD_HOME": str(home)}, 0)
        layout.create(paths, root=False)
        store, clock = open_in(paths), FixedClock()
        registry = Registry(store)
        parts = SimpleNamespace(
            paths=paths, settings=Settings(**settings), store=store, clock=clock, registry=registry,
            lambdas=Lambdas(registry, clock, "us-east-1"), sources=None, blobs=None,
            invoking=SimpleNamespace(invoke=None), status=SimpleNamespace(lambda_api=None),
        )  # fmt: skip
        try:
            api = await listener.open_lambda_api(cast(Parts, parts), cast(Facade, None))
            found = parts.status.lambda_api
            await api.close()
            return None if found is None else str(found)
        finally:
            store.database.close()

    return asyncio.run(run())


def test_a_port_that_is_taken_leads_to_another_one_that_is_kept(tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", port := free_port()))
        stranger.listen()
        first = opened(tmp_path, lambda_listen=f"127.0.0.1:{port}")
        assert first is not None
        assert port < int(first.rpartition(":")[2]) <= port + listener.TRIES
    assert opened(tmp_path, lambda_listen=f"127.0.0.1:{port}") == first  # though the one asked for is free now
    assert opened(tmp_path, lambda_listen="off") is None
    assert (tmp_path / "lambda-keys.json").stat().st_mode & 0o777 == 0o600


def test_others_reach_it_only_if_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="plain HTTP"):
        opened(tmp_path, lambda_listen="0.0.0.0:9001")
    assert str(opened(tmp_path, lambda_listen="0.0.0.0:9001", lambda_plain=True)).startswith("http://0.0.0.0:")
    for wrong in ("9001", "localhost:9001", "127.0.0.1:0", "127.0.0.1:x", ""):
        with pytest.raises(ValueError, match="an address and a port"):
            Settings(lambda_listen=wrong)


def test_keys_are_made_once_and_are_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "lambda-keys.json"
    pair = keys.load(path)
    told = json.loads(path.read_text())
    assert told == {"aws_access_key_id": pair.id, "aws_secret_access_key": pair.secret}
    assert len(pair.id) == 20
    assert len(pair.secret) == 40
    assert keys.load(path) == pair
    path.chmod(0o640)
    with pytest.raises(UserError, match="others can read it"):
        keys.load(path)
    path.chmod(0o600)
    path.write_text("{}")
    with pytest.raises(UserError, match="has no aws_access_key_id"):
        keys.load(path)
