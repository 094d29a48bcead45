"""Containers for real: what they see, what they may, how they end, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fourfold.errors import ConflictError, UserError, WorldError
from fourfold.launch import oci
from fourfold.supervise.attach import Attached
from tests.supervise.containers import boxed, leaves_no_trace, needs_runtime, run, volume
from tests.supervise.rig import SERVICE, Rig, alive, limited, scenario, script, until

pytestmark = needs_runtime()
MIB = 1 << 20
RUNTIMES = [pytest.param(name, marks=needs_runtime(name)) for name in ("runc", "crun", "runsc")]
EVERY_RUNTIME = pytest.mark.parametrize("runtime", RUNTIMES)


def test_it_sees_itself_alone() -> None:
    async def test(rig: Rig) -> None:
        await rig.sleeper("a.n-1-x")
        (rig.paths.state / "private").write_text("x")
        looking = f"ls /proc | grep -c '^[0-9]'; hostname; id -un; ls {rig.paths.state} {rig.paths.run} /root; ls /"
        _, lines = await run(rig, "a.b-1-x", "sh", "-c", looking)
        processes, hostname, name, *rest = lines
        assert int(processes) <= 4  # init, sh, ls, grep
        assert (hostname, name) == ("b-1-x", SERVICE.name)
        assert sum("No such file" in line for line in rest) == 3
        entries = {"bin", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "tmp", "usr"}
        assert {line for line in rest if "No such" not in line} == entries

    scenario(test)


def test_it_has_no_power() -> None:
    async def test(rig: Rig) -> None:
        status = await run(rig, "a.b-1-x", "cat", "/proc/self/status")
        fields = dict(line.split(":\t", 1) for line in status[1] if ":\t" in line)
        assert {fields[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
        assert (fields["NoNewPrivs"], fields["Seccomp"], fields["Groups"].split()) == ("1", "2", [])
        for number, (command, refused) in enumerate(
            (
                ("echo x > /file", "Read-only file system"),
                ("echo x > /etc/passwd", "Read-only file system"),
                ("echo 1 > /proc/sys/kernel/panic", "Read-only file system"),
                ("mount -t tmpfs none /tmp", "mount"),
                ("mkdir /sys/fs/cgroup/memory/x /sys/fs/cgroup/x", "cannot create"),
                ("cat /proc/kcore", "Permission denied|No such file"),
                ("echo x > /tmp/file && echo x > /run/file && echo x > /dev/shm/file && false", ""),
            )
        ):
            exit, lines = await run(rig, f"a.c-{number}-x", "sh", "-c", command)
            assert exit.code, command
            assert any(word in "\n".join(lines) for word in refused.split("|")), (command, lines)

    scenario(test)


def test_root_in_an_image_is_not_root_of_the_host() -> None:
    async def test(rig: Rig) -> None:
        command = "id -u; grep CapEff /proc/self/status; mknod /tmp/x b 254 0; chroot / true; chown 5 /tmp && echo may"
        _, lines = await run(rig, "a.b-1-x", "sh", "-c", command, image_fields={"user": "0"})
        assert lines[0] == "0" and lines[-1] == "may"
        mask = sum(1 << number for number in (0, 1, 3, 4, 5, 6, 7, 8, 10, 31))
        assert int(lines[1].split()[1], 16) == mask and len(oci.ROOT_CAPABILITIES) == 10
        assert sum("Operation not permitted" in line for line in lines) == 2
        _, lines = await run(rig, "a.b-2-x", "id", image_fields={"user": "web"})
        assert lines == ["uid=777(web) gid=778(web) groups=778(web),779(more)"]

    scenario(test)


def test_the_artifact_and_volumes() -> None:
    async def test(rig: Rig) -> None:
        tree = rig.paths.state / "tree"
        tree.mkdir()
        (tree / "file").write_text("artifact")
        volumes = [{"name": "in", "path": "/app/deep/in"}, {"name": "out", "path": "/data/out"}]
        command = "cat /app/file; echo 1 > /app/deep/in/kept; echo 2 > /data/out/kept; echo x > /app/file"
        _, lines = await run(rig, "a.b-1-x", "sh", "-c", command, tree=str(tree), volumes=volumes)
        assert lines[0].startswith("artifact") and "Read-only" in lines[-1]
        assert [(volume(rig, name) / "kept").read_text() for name in ("in", "out")] == ["1\n", "2\n"]
        assert [path.name for path in tree.iterdir()] == ["file"]

    scenario(test)


def test_a_link_in_the_artifact_leads_nowhere() -> None:
    async def test(rig: Rig) -> None:
        tree, outside = rig.paths.state / "tree", rig.paths.state / "outside"
        tree.mkdir()
        outside.mkdir()
        (tree / "deep").symlink_to(outside)
        launch = boxed(rig, "a.b-1-x", "true", tree=str(tree), volumes=[{"name": "in", "path": "/app/deep/in"}])
        with pytest.raises(WorldError, match="cannot mount app/deep/in: Not a directory"):
            await rig.start(launch, {}, 1)
        assert list(outside.iterdir()) == []

    scenario(leaves_no_trace(test))


def test_a_root_that_can_be_written_is_forgotten() -> None:
    async def test(rig: Rig) -> None:
        fields: dict[str, Any] = {"container": {"read_only": False}, "image_fields": {"user": "0"}}
        command = "test ! -e /file && echo x > /file && rm /bin && echo done"
        for number in (1, 2):
            _, lines = await run(rig, f"a.b-{number}-x", "sh", "-c", command, **fields)
            assert lines == ["done"]
        assert (rig.paths.state / "layer/bin").is_symlink()

    scenario(test)


def test_layers_lie_on_each_other() -> None:
    async def test(rig: Rig) -> None:
        layers = [boxed(rig, "a.b-1-x", "true").bundle.overlays["rootfs"][0]]  # type: ignore[union-attr]
        for number in range(60):  # their paths are more than the page that mount options may have
            layer = rig.paths.state / ("long" * 20) / f"layer-{number}, with: signs"
            layer.mkdir(parents=True)
            (layer / "number").write_text(f"{number}\n")
            (layer / f"only-{number}").touch()
            layers.append(str(layer))
        command = "cat /number; ls / | grep -c only"
        _, lines = await run(rig, "a.b-1-x", "sh", "-c", command, image_fields={"layers": tuple(layers)})
        assert lines == ["59", "60"]

    scenario(test)


@EVERY_RUNTIME
def test_how_it_ends(runtime: str) -> None:
    async def test(rig: Rig) -> None:
        fields: dict[str, Any] = {"container": {"runtime": runtime}}
        for number, (command, code, signal) in enumerate(
            (("exit 0", 0, None), ("exit 7", 7, None), ("kill -9 $$", None, 9), ("exit 255", 255, None))
        ):
            exit, _ = await run(rig, f"a.b-{number}-x", "sh", "-c", command, **fields)
            assert (exit.code, exit.signal, exit.oom) == (code, signal, False)
        launch = boxed(
            rig, "a.c-1-x", "sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done", **fields
        )
        await rig.start(launch, {}, 1)
        await until(lambda: rig.lines("a.c-1-x") == ["up"], "it does not run")
        await rig.signal("a.c-1-x", "TERM")
        assert (await rig.exit_of("a.c-1-x")).code == 5
        await rig.start(boxed(rig, "a.c-2-x", "sh", "-c", "sleep 1000 & exec sleep 1000", **fields), {}, 1)
        await rig.kill("a.c-2-x")
        assert (await rig.exit_of("a.c-2-x")).signal == 9

    scenario(test)


def test_a_program_that_is_not_there() -> None:
    async def test(rig: Rig) -> None:
        exit, lines = await run(rig, "a.b-1-x", "no-such-program")
        assert exit.code == 127 and "no-such-program" in lines[-1]

    scenario(test)


def test_a_start_that_the_runtime_refuses() -> None:
    async def test(rig: Rig) -> None:
        launch = boxed(rig, "a.b-1-x", "true")
        assert launch.bundle is not None
        config = {**launch.bundle.config, "root": {"path": "nowhere"}}
        with pytest.raises(WorldError, match=r"cannot start a\.b-1-x: .*nowhere"):
            await rig.start(replace(launch, bundle=replace(launch.bundle, config=config)), {}, 1)
        absent = replace(launch.bundle, overlays={"rootfs": ("/no/such/layer",)})
        with pytest.raises(WorldError, match="root rootfs: No such file"):
            await rig.start(replace(launch, bundle=absent), {}, 1)
        with pytest.raises(UserError, match="no such command 'runs-not'"):
            await rig.start(replace(launch, bundle=replace(launch.bundle, runtime="runs-not")), {}, 1)
        exit, _ = await run(rig, "a.b-1-x", "true")
        assert exit.code == 0

    scenario(leaves_no_trace(test))


@EVERY_RUNTIME
def test_secrets_are_in_memory_only(runtime: str) -> None:
    async def test(rig: Rig) -> None:
        secrets = ["ENV", {"FILE": {"name": "FILE", "file": "/run/secrets/file"}}]
        command = "echo $ENV | wc -c; cat $FILE | wc -c; stat -c '%a %u' $FILE; echo up; sleep 1000"
        launch = boxed(rig, "a.b-1-x", "sh", "-c", command, secrets=secrets, container={"runtime": runtime})
        started = await rig.start(launch, {"ENV": "in-the-environment", "FILE": "in-a-file"}, 1)
        await until(lambda: "up" in rig.lines("a.b-1-x"), "it does not run")
        assert rig.lines("a.b-1-x")[:2] == ["19", "9"]
        if runtime != "runsc":  # Debian's knows no statx on newer kernels
            assert rig.lines("a.b-1-x")[2] == f"600 {SERVICE.uid}"
        kept = files_of(rig)
        assert any(path.name == "state.json" for path in kept) == (runtime == "runc")
        for path, text in kept.items():
            assert b"in-the-environment" not in text and b"in-a-file" not in text, path
        assert alive(started.pid)

    scenario(test)


def files_of(rig: Rig) -> dict[Path, bytes]:
    """Whatever of the home is on the disk, and the command line of every process."""
    found = [*rig.paths.state.parent.rglob("*"), *Path("/proc").glob("[0-9]*/cmdline")]
    return {path: read(path) for path in found if path.is_file()}


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_memory_hog_is_killed_and_named() -> None:
    async def test(rig: Rig) -> None:
        hog = "x = []\nwhile True: x.append(bytearray(1 << 20))"
        neighbour = await rig.sleeper("a.n-1-x")
        exit, _ = await run(rig, "a.b-1-x", *script(hog), resources={"memory": "48Mi"})
        assert exit.oom and exit.signal == 9 and alive(neighbour)

    scenario(test)


@pytest.mark.parametrize("runtime", [RUNTIMES[0], RUNTIMES[1]])
def test_a_fork_bomb_stops_at_its_limit(runtime: str) -> None:
    async def test(rig: Rig) -> None:
        bomb = "import os\nwhile True:\n  try: os.fork()\n  except OSError: print('stopped', flush=True)"
        resources = {"pids": 20, "cpu": 0.5}
        await rig.start(
            boxed(rig, "a.b-1-x", *script(bomb), resources=resources, container={"runtime": runtime}), {}, 1
        )
        await until(lambda: "stopped" in rig.lines("a.b-1-x")[:1], "it was not stopped")
        usage = rig.usage("a.b-1-x")
        assert usage is not None and 2 <= usage.processes <= 20 and usage.memory_bytes > 0 and usage.cpu_seconds > 0
        await rig.kill("a.b-1-x")
        await rig.exit_of("a.b-1-x")

    scenario(leaves_no_trace(test))


@EVERY_RUNTIME
def test_entering(runtime: str) -> None:
    async def test(rig: Rig) -> None:
        fields: dict[str, Any] = {"container": {"runtime": runtime}, "secrets": ["KEY"]}
        await rig.start(boxed(rig, "a.b-1-x", "sleep", "1000", **fields), {"KEY": "1"}, 1)
        command = boxed(rig, "a.b-1-x", "sh", "-c", "read line; echo $line $KEY $(hostname) $(id -u); exit 4", **fields)
        entered = await rig.enter(command, {"KEY": "2"}, False)
        await entered.write(b"hello\n")
        assert await output(entered) == f"hello 2 b-1-x {SERVICE.uid}\n"
        assert await entered.wait() == 4
        await entered.close()
        absent = () if runtime == "runsc" else ((("nosuch",), 127), (("/etc/passwd",), 126))
        for argv, code in (*absent, (("sh", "-c", "kill -9 $$"), 137)):
            entered = await rig.enter(boxed(rig, "a.b-1-x", *argv, **fields), {"KEY": "2"}, False)
            said = await output(entered)
            assert (await entered.wait(), "nosuch" in said) == (code, code == 127)
            await entered.close()

    scenario(leaves_no_trace(test))


def test_entering_one_that_has_just_ended() -> None:
    async def test(rig: Rig) -> None:
        host = await rig.start(boxed(rig, "a.b-1-x", "sleep", "1000"), {}, 1)
        os.kill(host.pid, 9)
        while "a.b-1-x.1" in rig.groups():
            time.sleep(0.01)  # noqa: ASYNC251 - the spawner clears up, and the supervisor has not heard of it
        with pytest.raises(ConflictError, match="does not run"):
            await rig.enter(boxed(rig, "a.b-1-x", "true"), {}, False)
        await rig.exit_of("a.b-1-x")

    scenario(leaves_no_trace(test))


def test_entering_with_a_terminal() -> None:
    async def test(rig: Rig) -> None:
        await rig.start(boxed(rig, "a.b-1-x", "sleep", "1000"), {}, 1)
        waits = "tty; until stty size | grep '33 99'; do sleep 0.05; done"
        entered = await rig.enter(boxed(rig, "a.b-1-x", "sh", "-c", waits), {}, True)
        first = await entered.read()
        entered.resize(33, 99)
        assert first is not None
        text = first[1].decode() + await output(entered)
        assert "/dev/pts/" in text and "33 99" in text
        assert await entered.wait() == 0
        await entered.close()

    scenario(test)


def test_whoever_entered_ends_when_the_caller_goes_away() -> None:
    async def test(rig: Rig) -> None:
        host = await rig.start(boxed(rig, "a.b-1-x", "sleep", "1000"), {}, 1)
        entered = await rig.enter(boxed(rig, "a.b-1-x", "sh", "-c", "echo up; sleep 2000 & sleep 2000"), {}, False)
        assert await entered.read() == (1, b"up\n")
        await until(lambda: processes(rig) == 6, "not there: init, sleep; init, sh, sleep, sleep")
        await entered.close()
        await until(lambda: processes(rig) == 2, "it goes on")
        assert alive(host.pid)
        with pytest.raises(ConflictError, match="does not run"):
            await rig.enter(boxed(rig, "a.c-1-x", "true"), {}, False)

    scenario(test)


def processes(rig: Rig) -> int:
    usage = rig.usage("a.b-1-x")
    return usage.processes if usage else 0


def test_a_one_off_of_its_own() -> None:
    async def test(rig: Rig) -> None:
        attached = await rig.attach(boxed(rig, "a.b-run-x", "sh", "-c", "cat; echo err >&2; exit 6"), {}, False)
        await attached.write(b"in")
        await attached.close_input()
        assert await output(attached) in ("inerr\n", "err\nin") and await attached.wait() == 6
        await attached.close()
        attached = await rig.attach(boxed(rig, "a.b-run-y", "sleep", "1000"), {}, True)
        await attached.close()
        assert await attached.wait() == 137

    scenario(leaves_no_trace(test))


async def output(attached: Attached) -> str:
    text = b""
    while chunk := await attached.read():
        text += chunk[1]
    return text.decode()


def test_many_start_at_once() -> None:
    async def test(rig: Rig) -> None:
        await asyncio.gather(*(rig.start(boxed(rig, f"a.b-{each}-x", "sleep", "1000"), {}, 1) for each in range(12)))
        assert len(rig.running()) == 12
        short = (rig.start(boxed(rig, f"a.c-{each}-x", "sh", "-c", f"exit {each}"), {}, 1) for each in range(12))
        await asyncio.gather(*short)
        await until(lambda: len(rig.exits) == 12, "not all ended")
        assert {each.instance: each.code for each in rig.exits} == {f"a.c-{each}-x": each for each in range(12)}
        await asyncio.gather(*(rig.kill(name) for name in rig.running()))
        await until(lambda: len(rig.exits) == 24, "not all ended")

    scenario(leaves_no_trace(test))


def test_an_idle_container_costs_little_beside_its_program() -> None:
    async def test(rig: Rig) -> None:
        await rig.start(rig.launch("a.b-1-x", "sleep", "1000", **limited(memory=64 * MIB)), {}, 1)
        await rig.start(boxed(rig, "a.c-1-x", "sleep", "1000", resources={"memory": "64Mi"}), {}, 1)

        def costs_little() -> bool:  # once what its start took is given back
            plain, container = rig.usage("a.b-1-x"), rig.usage("a.c-1-x")
            assert plain is not None and container is not None
            return container.memory_bytes - plain.memory_bytes < 2 * MIB

        await until(costs_little, "it takes more")

    scenario(test)
