"""Requests for virtual machines, and how one that did not tell how its service ended is put into words."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fourfold.errors import WorldError
from fourfold.launch.model import Bridge, Launch, Machine, Share, User
from fourfold.supervise.machines import accelerators
from fourfold.supervise.machines.machines import Machines, words_of

USER = User(799001, 799001, "catalog")
MACHINE = Machine("microvm", "tcg", 96 << 20, 1, "/k", "/i", ("/base",), ("quiet",), (("hostname", "x"),), owner=USER)

NETWORK = Bridge("lo", "10.177.0.5/16", "10.177.0.1")


@pytest.mark.parametrize(
    ("said", "tail", "words"),
    [
        (
            "failed cannot mount disk 0: invalid argument; 0",
            "",
            "could not run it: cannot mount disk 0: invalid argument",
        ),
        ("failed cannot run no-such: No such file or directory; 0", "", "no such command 'no-such'"),
        (
            "nothing; 0",
            "[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root\r\n",
            "panicked: VFS: Unable to mount",
        ),
        (
            "nothing; 1",
            "qemu-system-x86_64: warning: x\nqemu-system-x86_64: could not open disk0",
            "could not open disk0",
        ),
        ("booted; 1", "", "QEMU ended with exit code 1"),
        ("started; 0", "", "ended while the service ran"),
        ("booted; unknown", "", "ended before the service was started"),
    ],
)
def test_how_it_ended_in_words(said: str, tail: str, words: str) -> None:
    assert words in words_of(said, tail)


def request(tmp_path: Path, machine: Machine = MACHINE, **launch: Any) -> dict[str, Any]:
    machines = Machines(tmp_path / "machines", (tmp_path / "state",))
    made = Launch(
        "shop.x-1", ("python3", "-m", "x"), user=User(101, 102, "web"), machine=machine, network=NETWORK, **launch
    )
    return machines.starting(made, machine, {"KEY": "s3cret"}, [("/run/secrets/key", "a:b\n")], "shop.x-1.1")


def test_what_the_guest_is_told_goes_by_its_disk_alone(tmp_path: Path) -> None:
    got = request(tmp_path)
    ((name, config),) = got["bundle"]["files"]
    entries = config.partition("\n")[2].rstrip("\0").split("\0")
    assert name == "config" and "hostname=x" in entries and "mac=02:42:0a:b1:00:05" in entries
    assert [each for each in entries if each.startswith("argv=")] == ["argv=python3", "argv=-m", "argv=x"]
    assert "env=KEY=s3cret" in entries and "file=/run/secrets/key:600:101:102:a:b\n" in entries
    assert {"uid=101", "gid=102", "cwd=/"} <= {*entries}
    (seed,) = (each for each in entries if each.startswith("seed="))
    assert len(seed) == 5 + 128
    said = {key: value for key, value in got.items() if key != "bundle"}
    assert "s3cret" not in str(said) and got["env"].keys() == {"PATH"} and got["files"] == []


def test_qemu_is_the_services_user_and_sees_what_it_needs(tmp_path: Path) -> None:
    got = request(tmp_path)
    assert got["user"] == {"uid": 799001, "gid": 799001, "name": "catalog", "home": "/tmp"}
    bundle = got["bundle"]
    assert bundle["as_user"] and bundle["reports"] and bundle["small_pages"] and not bundle["leaves"]
    assert bundle["binds"] == {"kernel": "/k", "initrd": "/i", "disk0": "/base"}
    assert bundle["opened"] == [("tap", ""), ("listen", "control"), ("listen", "qmp"), ("append", "guest")]
    assert bundle["hidden"] == [str(tmp_path / "state")]


@pytest.mark.parametrize(
    ("program", "options", "said", "last"),
    [
        ("/usr/lib/qemu/virtiofsd", "", ("-f", "-o", "source={},"), "setfcap"),
        ("/usr/libexec/virtiofsd", "--allow-mmap", ("--shared-dir={}", "--cache=never"), "--allow-mmap"),
        ("/usr/libexec/virtiofsd", "", ("--shared-dir={}", "--cache=never"), "setfcap"),
    ],
)
def test_its_shares_are_served(
    program: str, options: str, said: tuple[str, ...], last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerators, "virtiofsd", lambda: program)
    monkeypatch.setattr(accelerators, "help_of", lambda program: options)
    machine = Machine(**{**vars(MACHINE), "shares": (Share(str(tmp_path), "/data"),)})
    got = request(tmp_path, machine)
    ((socket, argv),) = got["bundle"]["helpers"].items()
    assert socket == "share0" and argv[:2] == [program, "--fd=3"]
    for word, begins in zip(argv[2:], said, strict=False):
        assert word.startswith(begins.format(tmp_path))
    assert argv[-1].endswith(last)
    assert "share=share0:/data:rw" in got["bundle"]["files"][0][1].split("\0")


def test_one_that_does_not_answer_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Its keeper waits as long as a boot may take; whoever wants to run a program in it does not."""

    async def test() -> None:
        machines = Machines(tmp_path / "machines", ())
        machines.make("x")
        server = await asyncio.start_unix_server(lambda *_: None, machines.folder("x") / "control")
        machines.watch("x")
        await asyncio.sleep(0)
        with pytest.raises(WorldError, match="does not answer"):
            await asyncio.wait_for(machines.guest("x", 0.1), 60)
        await machines.close()
        server.close()

    asyncio.run(test())
