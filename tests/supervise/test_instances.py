"""Starting programs: exit codes, errors in words, users, environment, the private view, whole trees."""

from __future__ import annotations

import os
import resource
import socket
from pathlib import Path

import psutil
import pytest

from fourfold.errors import ConflictError, FourfoldError, UserError, WorldError
from fourfold.launch.model import File, Mount, SecretRef
from fourfold.spawner import process
from fourfold.supervise import supervisor
from fourfold.supervise.naming import signal_number
from tests.supervise.rig import PYTHON, SERVICE, Rig, alive, names, powers, scenario, script, until

needs_private = pytest.mark.skipif(not powers().private, reason="no mount namespaces here")
needs_users = pytest.mark.skipif(not powers().users, reason="needs root")


@pytest.mark.parametrize(
    ("argv", "code", "signal"),
    [
        (("true",), 0, None),
        (("sh", "-c", "exit 7"), 7, None),
        (("sh", "-c", "kill -TERM $$"), None, 15),
        (("sh", "-c", "kill -KILL $$"), None, 9),
    ],
)
def test_how_it_ended_is_told(argv: tuple[str, ...], code: int | None, signal: int | None) -> None:
    async def test(rig: Rig) -> None:
        exit, _ = await rig.run("a.b-1-x", *argv)
        assert (exit.code, exit.signal, exit.oom, exit.run) == (code, signal, False, 1)
        assert not rig.running()
        await until(lambda: not rig.groups(), "its groups were not removed")

    scenario(test)


def test_what_cannot_start_says_why(tmp_path: Path) -> None:
    folder = Path("/var/tmp") / f"ff-test-{os.getpid()}"  # not below a 0700 folder
    files = {"plain": "echo hi\n", "orphan": "#!/opt/no/such/interpreter\n", "headless": "echo hi\n"}
    cases: list[tuple[tuple[str, ...], dict[str, object], type[FourfoldError], str]] = [
        (("no-such-command",), {}, UserError, "no such command 'no-such-command'"),
        (("/app/plain",), {}, UserError, "/app/plain is not executable"),
        (("/app/orphan",), {}, UserError, "the interpreter of /app/orphan is missing (/opt/no/such/interpreter)"),
        (("/app/headless",), {}, UserError, "/app/headless is not a program"),
        (("true",), {"cwd": "/no/such/folder"}, UserError, "cannot enter its folder /no/such/folder"),
        (("true",), {"env": {"K": SecretRef("nobody_set_it")}}, UserError, "secret nobody_set_it is not set"),
        (("true", "x" * 4_000_000), {}, UserError, "too large"),
        (("tr\0ue",), {}, UserError, "NUL"),
        ((), {}, UserError, "its command is empty"),
    ]

    async def test(rig: Rig) -> None:
        for argv, fields, kind, words in cases:
            mounts = (Mount(str(folder), "/app", True),)
            with pytest.raises(kind, match=r"cannot start a\.b-1-x") as caught:
                await rig.start(rig.launch("a.b-1-x", *argv, **{"mounts": mounts, **fields}), {}, 1)
            assert words in str(caught.value)
        with pytest.raises(WorldError, match=r"cannot mount /no/such/source at /app: No such file"):
            await rig.start(rig.launch("a.b-1-x", "true", mounts=(Mount("/no/such/source", "/app"),)), {}, 1)
        assert not rig.exits and not rig.running()
        await until(lambda: not rig.groups(), "groups were left")
        await rig.sleeper("a.b-1-x")
        with pytest.raises(ConflictError, match="already runs"):
            await rig.sleeper("a.b-1-x")

    if not powers().private:
        pytest.skip("no mount namespaces here")
    folder.mkdir()
    try:
        for name, text in files.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o644 if name == "plain" else 0o755)
        scenario(test)
    finally:
        for name in files:
            (folder / name).unlink()
        folder.rmdir()


def test_environment_is_exactly_what_was_given() -> None:
    async def test(rig: Rig) -> None:
        env = {"PATH": "/usr/bin", "GREETING": "grüß\ndich", "API_KEY": SecretRef("key")}
        # Python adds the one by itself; the other marks the tree where there are no cgroups.
        text = (
            "import os; print(sorted((k, v) for k, v in os.environ.items() if k not in ('LC_CTYPE', 'FOURFOLD_TREE')))"
        )
        _, lines = await rig.run("a.b-1-x", *script(text), env=env, secrets={"key": "sesame"})
        expected = {"PATH": "/usr/bin", "GREETING": "grüß\ndich", "API_KEY": "sesame"}
        assert lines == [str(sorted(expected.items()))]

    scenario(test)


def test_nothing_is_inherited() -> None:
    text = """
import os
print(sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1], os.getsid(0) == os.getpid(), oct(os.umask(0)))
print(os.readlink('/proc/self/fd/0'))
"""

    async def test(rig: Rig) -> None:
        # sh, because Python itself ignores SIGPIPE
        command = f"grep -E 'SigIgn|SigBlk|NoNewPrivs' /proc/self/status; exec {PYTHON} -I -S -c \"$TEXT\""
        _, lines = await rig.run("a.b-1-x", "sh", "-c", command, env={"PATH": "/usr/bin:/bin", "TEXT": text})
        blocked, ignored, privileges = lines[:3]
        assert blocked == "SigBlk:\t0000000000000000" and privileges == "NoNewPrivs:\t1"
        of_libc = (
            0b11 << 31
        )  # signals 32 and 33 are glibc's own: its posix_spawn ignores them, and nobody can change that
        assert int(ignored.split()[1], 16) & ~of_libc == 0
        assert lines[3:] == ["[0, 1, 2] True 0o22", "/dev/null"]

    scenario(test)


def test_a_program_that_crashes_leaves_no_core_with_its_secrets() -> None:
    async def test(rig: Rig) -> None:
        assert (await rig.run("a.b-1-x", "sh", "-c", "ulimit -S -c"))[1] == ["0"]

    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))  # the spawner begins with it
    try:
        scenario(test)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@needs_users
def test_the_user_is_known_by_name_to_every_runtime() -> None:
    async def test(rig: Rig) -> None:
        commands = [
            f"{PYTHON} -c 'import getpass; print(getpass.getuser())'",
            "id -un; id -gn; id -u; id -G",
            "node -e 'console.log(os.userInfo().username)' 2>/dev/null || echo fourfold-test",
            "getent passwd root | cut -d: -f1",
        ]
        _, lines = await rig.run("a.b-1-x", "sh", "-c", "; ".join(commands))
        name, number = SERVICE.name, str(SERVICE.uid)
        assert lines == [name, name, name, number, number, name, "root"]

    scenario(test)


@needs_users
def test_standard_output_can_be_opened_anew() -> None:
    async def test(rig: Rig) -> None:
        _, lines = await rig.run("a.b-1-x", "sh", "-c", "echo one > /dev/stdout; echo two >> /proc/self/fd/2")
        assert lines[-1] == "two"

    scenario(test)


@needs_users
def test_no_new_privileges() -> None:
    async def test(rig: Rig) -> None:
        text = "import os; os.setuid(0)"
        exit, _ = await rig.run("a.b-1-x", *script(text))
        assert exit.code == 1
        exit, lines = await rig.run("a.b-2-x", "sh", "-c", "cat /etc/shadow || su -c id </dev/null; id -u")
        assert lines[-1] == str(SERVICE.uid)

    scenario(test)


@needs_private
def test_artifact_at_app_below_a_closed_folder_and_volumes_that_stay() -> None:
    async def test(rig: Rig) -> None:
        closed = rig.paths.state / "closed"
        (closed / "artifact").mkdir(parents=True)
        (closed / "artifact/hello").write_text("hello")
        closed.chmod(0o700)
        volume = rig.paths.state / "volume"
        volume.mkdir()
        if rig.powers.users:
            os.chown(volume, SERVICE.uid, SERVICE.gid)
        mounts = (
            Mount(str(volume), "/var/lib/deep/er/data"),
            Mount(str(volume), "/app/data"),
            Mount("/usr/share", "/app/data/inner", read_only=True),
            Mount(str(closed / "artifact"), "/app", read_only=True),
        )
        commands = "cat hello; echo kept >> data/file; cat /var/lib/deep/er/data/file; touch here; "
        commands += "ls /var/lib | wc -l; ls data"
        _, lines = await rig.run("a.b-1-x", "sh", "-c", commands, cwd="/app", mounts=mounts)
        assert lines[0] == "hellokept"
        assert "Read-only" in lines[1] or "denied" in lines[1]
        assert int(lines[2]) == len(names("/var/lib")) + 1
        assert lines[3:] == ["file", "inner"]
        assert (volume / "file").read_text() == "kept\n"
        assert "deep" not in names("/var/lib") and names(closed / "artifact") == ["hello"]

    scenario(test)


@needs_private
def test_tmp_is_private_and_bounded() -> None:
    folders = [folder for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run/lock") if Path(folder).is_dir()]

    async def test(rig: Rig) -> None:
        name = f"ff-private-{os.getpid()}"
        write = f"for d in {' '.join(folders)}; do echo x > $d/{name}; done; ls /tmp; sleep 1000"
        await rig.start(rig.launch("a.b-1-x", "sh", "-c", write), {}, 1)
        await until(lambda: rig.lines("a.b-1-x"), "it did not write")
        assert rig.lines("a.b-1-x") == [name]
        assert not any(name in names(folder) for folder in folders)
        _, lines = await rig.run("a.b-1-y", "sh", "-c", "ls -A /tmp; df -B1 --output=size /tmp | tail -1")
        assert [int(line) for line in lines] == [1 << 30]

    scenario(test)


@needs_private
def test_what_belongs_to_others_is_out_of_sight() -> None:
    """The home is not below /tmp here, which would hide it anyway."""
    parent = Path("/opt") if os.access("/opt", os.W_OK) else Path.home()

    async def test(rig: Rig) -> None:
        for name in ("state", "run", "state/artifacts", "state/artifacts/other", "state/mine"):
            (rig.paths.state.parent / name).mkdir(exist_ok=True)
            (rig.paths.state.parent / name).chmod(0o755)
        (rig.paths.state / "artifacts/other/code").write_text("not for you")
        (rig.paths.state / "mine/hello").write_text("hello")
        mounts = (Mount(str(rig.paths.state / "mine"), "/app", read_only=True),)
        text = f"cat /app/hello; echo; cat {rig.paths.state}/artifacts/other/code; ls -A {rig.paths.run}; echo end"
        _, lines = await rig.run("a.b-1-x", "sh", "-c", text, mounts=mounts)
        assert lines[0] == "hello" and lines[-1] == "end" and "not for you" not in lines
        assert not any("spawner" in line for line in lines)

    scenario(test, parent=parent)


@needs_private
def test_shared_memory_ends_with_its_instance() -> None:
    key = 0x46464646

    async def test(rig: Rig) -> None:
        text = f"import ctypes; print(ctypes.CDLL(None).shmget({key}, 4096, 0o1666) >= 0)"
        _, lines = await rig.run("a.b-1-x", *script(text))
        assert lines == ["True"]

    scenario(test)
    assert str(key) not in Path("/proc/sysvipc/shm").read_text().split()


@needs_private
def test_secret_files_are_the_users_alone_and_nowhere_on_disk() -> None:
    async def test(rig: Rig) -> None:
        secret = "c0rrect-h0rse-battery"
        files = (File("/run/secrets/key", SecretRef("key")), File("/run/secrets/plain", "public"))
        command = "stat -c '%a %u' /run/secrets/key; wc -c < /run/secrets/key; stat -f -c %T /run/secrets; sleep 1000"
        launch = rig.launch("a.b-1-x", "sh", "-c", command, files=files, env={"PATH": "/bin", "K": SecretRef("key")})
        identity = await rig.start(launch, {"key": secret}, 1)
        await until(lambda: len(rig.lines("a.b-1-x")) == 3, "it did not write")
        uid = SERVICE.uid if rig.powers.users else os.getuid()
        assert rig.lines("a.b-1-x") == [f"600 {uid}", str(len(secret)), "tmpfs"]
        assert secret not in str(psutil.Process(identity.pid).cmdline())
        assert holding(secret, rig.paths.state.parent) == []

    scenario(test)


def holding(text: str, folder: Path) -> list[Path]:
    assert not Path("/run/secrets/key").exists()
    return [file for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


@needs_private
def test_network_none_has_a_loopback_and_nothing_else() -> None:
    async def test(rig: Rig) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            text = f"""
import socket
print([name for _, name in socket.if_nameindex()])
with socket.create_server(('127.0.0.1', 0)) as own: socket.create_connection(own.getsockname()).close()
try: socket.create_connection(('127.0.0.1', {server.getsockname()[1]}))
except ConnectionRefusedError: print('refused')
"""
            _, lines = await rig.run("a.b-1-x", *script(text), network="none")
        assert "'lo'" in lines[0] and "eth" not in lines[0]
        assert lines[1:] == ["refused"]

    scenario(test)


DAEMON = """
import os, sys, time
told, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.write(tell, b"x")
        time.sleep(1000)
    os._exit(0)
os.wait()
os.read(told, 1)
print('main', flush=True)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    time.sleep(0.05)  # one long sleep would miss a signal that comes just before it
"""


@pytest.mark.parametrize("end", ["by itself", "signal", "kill"])
def test_the_whole_tree_ends_with_its_main_process(end: str) -> None:
    async def test(rig: Rig) -> None:
        await rig.start(rig.launch("a.b-1-x", *script(DAEMON), "0.1" if end == "by itself" else "1000"), {}, 1)
        await until(lambda: len(rig.lines("a.b-1-x")) == 2, "it did not start")
        orphan = int(next(line for line in rig.lines("a.b-1-x") if line != "main"))
        if end == "signal":
            await rig.signal("a.b-1-x", "INT")
        elif end == "kill":
            await rig.kill("a.b-1-x")
        exit = await rig.exit_of("a.b-1-x")
        assert not alive(orphan)
        assert exit.signal == {"signal": 2, "kill": 9}.get(end)

    scenario(test)


def test_trees_without_cgroups_are_found_by_session_descent_and_marker() -> None:
    async def test(rig: Rig) -> None:
        rig._groups.hierarchies = ()
        bystander = await rig.sleeper("a.c-1-x", env={"PATH": "/bin", "FOURFOLD_TREE": "a.b-1-x:1:1"})
        await rig.start(rig.launch("a.b-1-x", *script(DAEMON), "1000"), {}, 1)
        await until(lambda: len(rig.lines("a.b-1-x")) == 2, "it did not start")
        orphan = int(next(line for line in rig.lines("a.b-1-x") if line != "main"))
        usage = rig.usage("a.b-1-x")
        assert usage is not None and usage.processes >= 1 and usage.memory_bytes > 0
        await rig.signal("a.b-1-x", "TERM")
        await rig.exit_of("a.b-1-x")
        assert not alive(orphan)
        assert alive(bystander)

    scenario(test)


def test_measuring_many_without_cgroups_looks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    real = process.all_pids
    monkeypatch.setattr(process, "all_pids", lambda: (looks.append(1), real())[-1])  # type: ignore[func-returns-value]
    monkeypatch.setattr(supervisor, "_GOOD_ENOUGH", 3600.0)

    async def test(rig: Rig) -> None:
        rig._groups.hierarchies = ()
        names = [f"a.b-1-{number}" for number in range(5)]
        for name in names:
            await rig.start(rig.launch(name, "sh", "-c", "sleep 1000 & echo; wait"), {}, 1)
        await until(lambda: all(rig.lines(name) for name in names), "they did not start")
        for name in names:
            usage = rig.usage(name)
            assert usage is not None and usage.processes == 2
        assert len(looks) == 1

    scenario(test)


def test_usage_counts_the_whole_tree() -> None:
    async def test(rig: Rig) -> None:
        work = "x = bytearray(8 << 20)\nsum(range(2_000_000))\nprint(1, flush=True)\ntime.sleep(1000)"
        text = f"import os, time\nfor _ in range(2): os.fork()\n{work}"
        await rig.start(rig.launch("a.b-1-x", *script(text)), {}, 1)
        await until(lambda: len(rig.lines("a.b-1-x")) == 4, "it did not fork")
        usage = rig.usage("a.b-1-x")
        assert usage is not None
        assert usage.processes == 4 and usage.threads == 4 and usage.descriptors >= 12
        assert usage.memory_bytes > 32 << 20 and usage.cpu_seconds > 0
        assert rig.usage("a.b-2-nobody") is None

    scenario(test)


def burn(seconds: float) -> str:
    return f"while time.process_time() < {seconds}: pass"


@pytest.mark.parametrize("groups", [True, False])
def test_what_its_processes_took_that_have_ended_stays_counted(groups: bool) -> None:
    async def test(rig: Rig) -> None:
        if not groups:
            rig._groups.hierarchies = ()
        text = f"import os, time\nif os.fork() == 0:\n  {burn(0.3)}\n  os._exit(0)\nos.wait()\nprint(1, flush=True)"
        await rig.start(rig.launch("a.b-1-x", *script(f"{text}\ntime.sleep(1000)")), {}, 1)
        await until(lambda: len(rig.lines("a.b-1-x")) == 1, "its child did not end")
        usage = rig.usage("a.b-1-x")
        assert usage is not None and usage.processes == 1 and usage.cpu_seconds >= 0.2

    scenario(test)


@pytest.mark.parametrize("groups", [True, False])
def test_how_much_cpu_it_took_is_told_at_its_end(groups: bool) -> None:
    async def test(rig: Rig) -> None:
        if not groups:
            rig._groups.hierarchies = ()
        text = (
            f"import os, time\nx = bytearray(64 << 20)\n{burn(0.2)}\nif os.fork() == 0:\n  {burn(0.1)}\nelse: os.wait()"
        )
        exit, _ = await rig.run("a.b-1-x", PYTHON, "-c", text)
        assert exit.code == 0 and exit.cpu_seconds is not None and 0.3 <= exit.cpu_seconds < 3
        assert exit.memory_bytes is not None and 64 << 20 <= exit.memory_bytes < 128 << 20
        await rig.sleeper("a.b-1-y")
        await rig.signal("a.b-1-y", "TERM")
        other = await rig.exit_of("a.b-1-y")
        assert other.cpu_seconds is not None and other.cpu_seconds < exit.cpu_seconds

    scenario(test)


def test_signals_go_to_the_main_process_and_bad_names_are_refused() -> None:
    async def test(rig: Rig) -> None:
        await rig.sleeper("a.b-1-x")
        with pytest.raises(UserError, match="no signal TREM"):
            await rig.signal("a.b-1-x", "TREM")
        await rig.signal("a.b-9-gone", "TERM")
        await rig.kill("a.b-9-gone")
        await rig.signal("a.b-1-x", "USR1")
        assert (await rig.exit_of("a.b-1-x")).signal == 10

    scenario(test)


@pytest.mark.parametrize(("name", "number"), [("TERM", 15), ("SIGINT", 2), ("RTMIN+3", 37), ("RTMAX-1", 63)])
def test_signals_by_name(name: str, number: int) -> None:
    assert signal_number(name) == number


@pytest.mark.parametrize("name", ["TREM", "", "TERM+1", "RTMIN-1", "RTMAX+1", "RTMIN+", "RTMIN+x", "RTMIN+31"])
def test_no_signals(name: str) -> None:
    with pytest.raises(UserError, match="there is no signal"):
        signal_number(name)
