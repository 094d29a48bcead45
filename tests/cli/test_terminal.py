"""exec and run: pipes, a real terminal, signals, exit codes."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fourfold.errors import NotFoundError
from tests.api.serving import Serving, eventually
from tests.cli.conftest import Cli

COMMAND = [sys.executable, "-m", "fourfold"]


def piped(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *arguments], input=given, capture_output=True, timeout=60)


def runs(server: Serving) -> bool:
    return bool(server.facade.calls) and server.facade.calls[-1][0] == "run"


@pytest.mark.parametrize("what", ["exec", "run"])
def test_pipes_and_the_exit_code(server: Serving, what: str) -> None:
    content = bytes(range(256)) * 12_000  # far more than all buffers between them hold
    done = piped(what, "catalog", "--", "sh", "-c", "exit 7", given=content)
    assert (done.returncode, done.stdout, done.stderr) == (7, content, b"bye\n")
    instance = (None,) if what == "exec" else ()
    assert server.facade.calls[-1] == (what, ("shop", "catalog", *instance, ["sh", "-c", "exit 7"], False))


@pytest.mark.parametrize(
    ("line", "argv"),
    [
        ("exec catalog --instance i -a shop -- ls -a -- -o", ["ls", "-a", "--", "-o"]),
        ("exec -a shop catalog --instance i ls -la", ["ls", "-la"]),
        ("exec -it catalog --instance i -a shop ls -it", ["ls", "-it"]),
        ("-a shop exec --instance=i catalog grep -v -a foo -y", ["grep", "-v", "-a", "foo", "-y"]),
        ("exec -ashop --instance i -- catalog echo -q --instance j -h", ["echo", "-q", "--instance", "j", "-h"]),
    ],
)
def test_options_of_the_program_are_its_own(cli: Cli, server: Serving, line: str, argv: list[str]) -> None:
    piped(*line.split())
    assert server.facade.calls == [("exec", ("shop", "catalog", "i", argv, False))]


def test_no_standard_input(server: Serving) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m fourfold run catalog -- x <&-"], capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, b"", b"bye\n")


def test_a_service_that_is_not_there(cli: Cli, server: Serving) -> None:
    server.facade.fails["exec"] = NotFoundError("cannot find nix", "look")
    done = piped("exec", "nix", "--", "x")
    assert (done.returncode, done.stderr) == (2, b"error: cannot find nix\nhint: look\n")


def test_no_daemon(cli: Cli) -> None:
    result = cli("exec", "-a", "shop", "web", "--", "x")
    assert result.code == 1
    assert "none runs there" in result.err


def test_signals_go_to_the_program(server: Serving) -> None:
    with subprocess.Popen([*COMMAND, "run", "catalog", "--", "x"], stdin=subprocess.PIPE) as process:
        eventually(lambda: ("run", ("shop", "catalog", ["x"], False)) in server.facade.calls)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 143
    assert server.facade.program.signals == ["INT"]


def test_signals_pass_input_that_is_not_read(server: Serving) -> None:
    server.facade.program.reads = False
    with (
        Path("/dev/zero").open("rb") as endless,
        subprocess.Popen([*COMMAND, "run", "catalog", "x"], stdin=endless) as process,
    ):
        eventually(lambda: runs(server))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 143


def test_signals_pass_output_that_is_not_read(server: Serving) -> None:
    with (
        Path("/dev/zero").open("rb") as endless,
        subprocess.Popen([*COMMAND, "run", "catalog", "x"], stdin=endless, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        eventually(lambda: server.facade.program.signals == ["INT"])
        process.stdout.close()
        process.wait(60)


def test_a_second_interrupt_ends_the_session(server: Serving) -> None:
    server.facade.program.stubborn = True
    with subprocess.Popen([*COMMAND, "run", "catalog", "--", "x"], stdin=subprocess.PIPE) as process:
        eventually(lambda: runs(server))
        process.send_signal(signal.SIGINT)
        eventually(lambda: server.facade.program.signals == ["INT"])
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    eventually(lambda: server.facade.program.closed)


def test_a_reader_that_goes_is_no_error(server: Serving) -> None:
    command = f"{sys.executable} -m fourfold run catalog -- x </dev/zero | head -c 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"\0", b"")


def test_a_file_as_standard_input(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"content")
    with (tmp_path / "in").open("rb") as file, (tmp_path / "out").open("wb") as out:
        subprocess.run([*COMMAND, "run", "catalog", "x"], stdin=file, stdout=out, stderr=out, timeout=60)
    assert (tmp_path / "out").read_bytes() == b"contentbye\n"


def test_a_daemon_that_goes_away(server: Serving) -> None:
    with subprocess.Popen(
        [*COMMAND, "run", "catalog", "--", "x"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        eventually(lambda: runs(server))
        server.stop()
        assert process.wait(60) == 1
        assert process.stderr is not None
        assert b"error: cannot go on: the daemon went away" in process.stderr.read()


@contextmanager
def on_a_terminal(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """The process, our end of its terminal, and the terminal itself (to ask for its modes)."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=its, stdout=its, stderr=its, start_new_session=True,
        env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    try:
        yield process, ours, its
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(its)


def test_top_takes_keys(server: Serving) -> None:
    with on_a_terminal("top") as (process, ours, its):
        before = termios.tcgetattr(its)
        read = b""

        def shows(text: bytes) -> None:
            nonlocal read
            while text not in read:
                read += os.read(ours, 1000)
            read = read.partition(text)[2]

        shows(b"[cpu]")
        shows(b"INSTANCE")
        for key, sort in ((b"m", b"[memory]"), (b"n", b"[name]")):
            os.write(ours, key)
            shows(sort)
        os.write(ours, b"s\x1b[A")
        shows(b"SERVICE")
        os.write(ours, b"q")
        assert process.wait(60) == 0
        assert termios.tcgetattr(its) == before
    with on_a_terminal("top", "--once") as (process, ours, its):
        assert process.wait(60) == 0
        assert b"\x1b[" not in os.read(ours, 1000)


def test_a_terminal(server: Serving) -> None:
    with on_a_terminal("exec", "catalog", "--", "sh") as (process, ours, its):
        before = termios.tcgetattr(its)
        eventually(lambda: server.facade.program.sizes == [(24, 80)])
        assert server.facade.calls[-1][1][-1] is True
        eventually(lambda: not termios.tcgetattr(its)[3] & termios.ICANON)
        os.write(ours, b"\x03x")  # Ctrl-C is a key like any other
        read = b""
        while not read.endswith(b"\x03x"):
            read += os.read(ours, 100)
        termios.tcsetwinsize(its, (50, 132))
        process.send_signal(signal.SIGWINCH)
        eventually(lambda: server.facade.program.sizes == [(24, 80), (50, 132)])
        server.call(lambda: server.facade.program.signal("HUP"))
        assert process.wait(60) == 143
        assert termios.tcgetattr(its) == before
