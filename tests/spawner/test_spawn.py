"""A start that the system refuses leaves nothing behind in the spawner."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import pytest

from fourfold.spawner.instances import Instances
from fourfold.spawner.journal import Journal
from fourfold.spawner.logs import Logs
from fourfold.spawner.loop import Loop
from fourfold.spawner.request import Spawn

PLAIN = Spawn(
    instance="a.b-1-x",
    run=1,
    argv=["true"],
    env={},
    cwd="/",
    user=None,
    mounts=[],
    files=[],
    hidden=[],
    private=False,
    user_namespace=False,
    network="host",
    tmp_bytes=0,
    cgroups=[],
    log=None,
    log_bytes=0,
    held=False,
    tty=False,
    inside=None,
)


@pytest.mark.parametrize("refused", ["pipe2", "fork"])
def test_no_descriptor_is_lost(refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    instances = Instances(Loop(), Journal(str(tmp_path / "journal")), Logs(), lambda event: None)
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    real, calls = getattr(os, refused), []

    def scarce(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == (2 if refused == "pipe2" else 1):
            raise OSError(24, "Too many open files")
        return real(*arguments)

    monkeypatch.setattr(os, refused, scarce)
    before = sorted(Path("/proc/self/fd").iterdir())
    answers: list[dict[str, Any]] = []
    instances.spawn(PLAIN, [], None, answers.append)
    assert answers == [{"error": {"stage": "fork", "errno": 24, "detail": ""}}]
    assert sorted(Path("/proc/self/fd").iterdir()) == before
