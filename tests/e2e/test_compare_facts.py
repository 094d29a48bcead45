"""What instances are seen to have of their own: each pattern's promise, looked up from outside."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourfold.clock import SystemClock
from fourfold.control.comparing.facts import facts_of
from fourfold.control.parts import open_parts
from fourfold.control.settings import load_settings
from fourfold.cost.comparison import Facts
from fourfold.paths import Paths
from tests.e2e.home import Home

pytestmark = [pytest.mark.patterns("vm"), pytest.mark.containers]
FILE = """\
app: app
defaults: {source: ./web, port: 8080, run: exec /usr/bin/python3 web.py, resources: {memory: 128Mi}}
groups: {all: {kind: node}}
services:
  process: {run: touch OPEN/new && exec /usr/bin/python3 web.py, resources: {cpu: 0.5}}
  shared: {pattern: shared, shared: {group: all}, run: node web.mjs}
  container: {pattern: container}
  vm: {pattern: vm}
  function: {pattern: function}
"""
OWN = ("own_process", "own_user", "own_file_system", "own_network", "own_kernel")
WANTED = {
    "process": (True, True, False, False, False),
    "shared": (True, False, False, False, False),
    "container": (True, True, True, True, False),
    "vm": (True, True, True, True, True),
    "function": (True, True, False, True, False),
}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Of the host, where everybody may write; not below /tmp, of which each instance has its own."""
    with tempfile.TemporaryDirectory(prefix="fourfold-test-", dir="/var/lib") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


async def look(home: Home) -> dict[str, Facts | None]:
    """While no daemon runs: there is one set of parts at a time."""
    environ = {**os.environ, **home.environ}
    paths = Paths.find(environ, os.geteuid())
    parts = await open_parts(paths, load_settings(paths.settings, environ), SystemClock())
    try:
        machine = next(row.id for row in parts.registry.instances.values() if row.service == "vm")
        for _ in range(2400):  # until it is connected with the guest
            if await parts.supervisor.guest_usage(machine) is not None:
                break
            await asyncio.sleep(0.05)
        return {name: await facts_of(parts, "app", name) for name in (*WANTED, "nobody")}
    finally:
        await parts.close()


def test_what_instances_have_of_their_own(home: Home, open_folder: Path) -> None:
    home.run("up", "-f", str(home.app(FILE.replace("OPEN", str(open_folder)))))
    home.run("daemon", "stop")
    found = asyncio.run(look(home))
    assert found.pop("nobody") is None
    facts = {name: each for name, each in found.items() if each is not None}
    assert {name: tuple(getattr(each, fact) for fact in OWN) for name, each in facts.items()} == WANTED
    assert {name for name, each in facts.items() if each.kernel != os.uname().release} == {"vm"}
    assert facts["process"].files_written == (f"{open_folder}/new",)
    assert {each.files_written for name, each in facts.items() if name != "process"} == {()}
    assert {name for name, each in facts.items() if 8080 in each.open_ports} >= {"container", "vm"}
    assert all(len(facts[name].open_ports) == 1 for name in ("process", "container", "vm"))
    assert {"cpu", "memory", "pids"} <= set(facts["process"].limits_enforced)
    assert all("memory" in each.limits_enforced for each in facts.values())
    assert (facts["container"].setuid_files, facts["vm"].setuid_files) == (0, 0)
    assert all((facts[name].packages or 0) > 10 for name in ("process", "container", "vm"))
