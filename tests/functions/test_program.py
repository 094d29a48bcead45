"""The invoker as a program: when it listens, how it ends, and what is left of it after kill -9."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fourfold.functions.client import FunctionGone, Invokers
from fourfold.functions.model import CONFIG, Answer, Config, Invocation
from tests.functions.rig import eventually, in_loop, make_config, read
from tests.support.wait import until

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def program(folder: Path, config: Config, wait: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.functions.plain"],
        cwd=ROOT,
        env={**os.environ, CONFIG: config.to_json(), "fn.MY_OWN": "value"},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        if wait:
            until(lambda: listens(config) or process.poll() is not None, what="the invoker to listen")
            assert process.poll() is None, (folder / "log").read_text()
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


def listens(config: Config) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(config.socket) == 0


async def ask(clients: Invokers, config: Config, event: Any) -> Answer:
    return await clients.invoke(config.socket, Invocation(json.dumps(event).encode(), str(uuid.uuid4())))


def test_term_lets_those_in_flight_end_and_takes_no_more(tmp_path: Path) -> None:
    config = make_config(tmp_path, concurrency=1, timeout=60.0)
    gate = tmp_path / "gate"

    async def work(process: subprocess.Popen[bytes]) -> None:
        clients = Invokers()
        running = asyncio.ensure_future(ask(clients, config, {"do": "wait", "file": str(gate)}))
        await seen(clients, config, {"busy": 1}, waiting=0)
        waiting = asyncio.ensure_future(ask(clients, config, {"do": "echo"}))
        await seen(clients, config, {"busy": 1}, waiting=1)
        process.send_signal(signal.SIGTERM)
        await eventually(lambda: not Path(config.socket).exists())
        with pytest.raises(FunctionGone) as caught:
            await ask(Invokers(), config, {"do": "echo"})
        assert caught.value.sent is False
        gate.touch()
        assert (await running).status == 200 and (await waiting).payload == b'{"do": "echo"}'
        await eventually(lambda: process.poll() is not None)
        assert process.returncode == 0
        clients.close()

    with program(tmp_path, config) as process:
        assert Path(config.socket).stat().st_mode & 0o777 == 0o600
        in_loop(work(process))
    assert len(list(read(config.usage))) == 2
    assert (tmp_path / "log").read_text().count("REPORT RequestId") == 2  # its log is whole


async def seen(clients: Invokers, config: Config, sandboxes: dict[str, int], waiting: int) -> None:
    """Until that is its state."""
    deadline = time.monotonic() + 60
    while True:
        state = await clients.state(config.socket)
        if (state["sandboxes"], state["waiting"]) == (sandboxes, waiting):
            return
        assert time.monotonic() < deadline, state


def test_of_one_that_is_not_there_nothing_is_kept(tmp_path: Path) -> None:
    async def run() -> None:
        clients = Invokers()
        with pytest.raises(FunctionGone, match="No such file"):
            await clients.state(str(tmp_path / "gone"))
        assert not clients._kept

    asyncio.run(run())


def test_the_journal_is_exact_after_kill_9_and_the_caller_is_told(tmp_path: Path) -> None:
    config = make_config(tmp_path, concurrency=2, timeout=100.0, instance=f"killed-3-{os.getpid()}")

    async def work(process: subprocess.Popen[bytes]) -> int:
        clients = Invokers()
        stuck = asyncio.ensure_future(ask(clients, config, {"do": "sleep", "seconds": 100}))
        answered = 0

        async def many() -> None:
            nonlocal answered
            while True:
                assert (await ask(clients, config, {"do": "echo"})).status == 200
                answered += 1

        asking = asyncio.ensure_future(many())
        await eventually(lambda: answered > 50)
        process.kill()
        for each in (stuck, asking):
            with pytest.raises(FunctionGone) as caught:
                await each
            assert "gone" in str(caught.value)
        clients.close()
        return answered

    with program(tmp_path, config) as process:
        answered = in_loop(work(process))
    written = len(list(read(config.usage)))
    assert answered <= written <= answered + 1  # the one that was written down and not answered any more
    end_left_behind(config)


def test_another_one_begins_where_the_killed_one_was(tmp_path: Path) -> None:
    config = make_config(tmp_path, instance=f"killed-4-{os.getpid()}")
    with program(tmp_path, config) as process:
        process.kill()
        process.wait()
        assert Path(config.socket).exists()
        end_left_behind(config)
        with program(tmp_path, config):
            assert in_loop(ask(Invokers(), config, {"do": "echo"})).status == 200


def test_one_that_does_not_start_says_why_listens_never_and_ends_with_1(tmp_path: Path) -> None:
    config = make_config(tmp_path, "ends.handler")
    with program(tmp_path, config, wait=False) as process:
        seen = False
        while process.poll() is None:
            seen = seen or Path(config.socket).exists()
            time.sleep(0.005)
        assert process.returncode == 1 and not seen
    log = (tmp_path / "log").read_text()
    assert "on its way out" in log  # the function's own lines
    assert "cannot start function made: ends.handler: Runtime exited with error: exit status 3" in log


def test_without_configuration_it_says_so() -> None:
    done = subprocess.run([sys.executable, "-I", "-m", "fourfold.functions"], capture_output=True, text=True, env={})
    assert done.returncode == 2 and "FOURFOLD_FUNCTION is not set" in done.stderr


def test_it_is_small_and_imports_nothing_heavy() -> None:
    code = "import fourfold.functions.__main__, sys; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"pydantic", "httpx", "fastapi", "yaml", "rich", "click", "boto3", "sqlite3"} & set(modules)


def end_left_behind(config: Config) -> None:
    """The plain processes of a killed invoker; real sandboxes end with it."""
    for folder in Path("/proc").iterdir():
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        ours = (f"[$LATEST]{config.instance}\0", f"PYTHONPATH={config.tree}\0")
        if b"awslambdaric" in command and all(each.encode() in environment for each in ours):
            os.kill(int(folder.name), signal.SIGKILL)
