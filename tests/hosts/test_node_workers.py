"""Workers of the Node.js host under the supervisor: in control groups of their own from the first byte on."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import fourfold.build.hosts
from fourfold.launch.model import Limits, Mount
from tests.supervise.hosting import GUEST, HOST, guest, host_launch
from tests.supervise.rig import Rig, needs, scenario, until

PROGRAM = Path(fourfold.build.hosts.__file__).parent / "node"


async def node_host(rig: Rig) -> None:
    """The program as it is in the source, where the service's user can read it."""
    place = shutil.copytree(PROGRAM, rig.paths.artifacts / "node")
    for path in (place, *place.iterdir()):
        path.chmod(0o755)
    launch = host_launch(rig)
    seen = "/app" if rig.powers.private else str(place)
    mounts = (*launch.mounts, Mount(str(place), "/app", read_only=True)) if rig.powers.private else ()
    argv = ("/usr/bin/node", f"{seen}/main.cjs", "/usr/bin/setpriv")
    await rig.start(replace(launch, argv=argv, mounts=mounts), {}, 1)
    found = rig._guests._hosts.get(HOST)
    assert found is not None
    await until(found.linked.is_set, f"the host did not answer: {rig.lines(HOST)}")


def script(rig: Rig, text: str) -> str:
    tree = rig.paths.artifacts / "tree"
    tree.mkdir(parents=True)
    (tree / "x.js").write_text(text)
    (tree / "x.js").chmod(0o444)
    return "x.js"


def anonymous_bytes(pid: int) -> int:
    """proc(5), /proc/PID/status."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@needs("memory")
def test_all_memory_of_a_worker_is_its_own_and_limited() -> None:
    async def test(rig: Rig) -> None:
        name = script(rig, "console.log('up'); if (process.argv[2]) setInterval(eat, 1); setInterval(() => {}, 1000);"
                           "const x = []; function eat() { x.push(Buffer.alloc(1 << 20, 1)); }")  # fmt: skip
        await node_host(rig)
        worker = await guest(rig, name)
        await until(lambda: "up" in rig.lines(GUEST), "it did not start")
        own = anonymous_bytes(worker.pid)  # first: it may still grow
        used = rig.usage(GUEST)
        assert used is not None
        assert used.memory_bytes > 0.9 * own, "some of it was charged to its host"
        await rig.kill(GUEST)
        await rig.exit_of(GUEST)
        await guest(rig, name, "eat", run=2, limits=Limits(memory=48 << 20))
        await until(lambda: [end.run for end in rig.exits] == [1, 2], "it was not killed")
        assert rig.exits[-1].oom and HOST in rig.running()

    scenario(test)
