"""The shared options, which app a command is about, and how errors are told."""

from __future__ import annotations

import json
import os
import pwd
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from fourfold import __version__
from fourfold.cli.appname import from_file
from fourfold.cli.link import elsewhere
from fourfold.cli.options import Options
from fourfold.paths import Paths
from tests.api.sample import token_view
from tests.api.serving import Serving, serving
from tests.cli.conftest import Cli


@pytest.mark.parametrize("line", ["-o json gc", "gc -o json", "gc --output=json", "-o table gc -o json"])
def test_before_and_after_the_command(cli: Cli, server: Serving, line: str) -> None:
    assert json.loads(cli(*line.split()).out)["freed_bytes"] == 52428800


@pytest.mark.parametrize("name", ["", "a/b", "Shop"])
def test_what_is_no_name_of_an_app(cli: Cli, server: Serving, name: str) -> None:
    done = cli("down", "-y", "-a", name)
    assert (done.code, server.facade.calls) == (2, [])
    assert f"{name!r} is no name of an app" in done.err


def test_the_environment_yields_to_flags(cli: Cli, server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_OUTPUT", "json")
    monkeypatch.setenv("FOURFOLD_APP", "nix")
    assert cli("gc").out.startswith("{")
    assert cli("-o", "table", "gc").out.startswith("removed")
    assert cli("status").code == 2
    assert cli("-a", "shop", "status", "-o", "table").code == 0
    assert cli("secrets", "list", "-a", "shop").code == 0
    assert ("secrets", ("shop",)) in server.facade.calls


def test_a_letter_that_a_command_uses_itself(cli: Cli, server: Serving, home: Path) -> None:
    (home / "x.yaml").write_text("app: shop\n")
    server.facade.lines = []
    assert cli("-f", str(home / "x.yaml"), "logs").code == 0
    assert cli("logs", "--file", str(home / "x.yaml")).code == 0
    assert server.facade.calls[-1] == ("logs", ("shop", [], None, 100, False, False))


BAD_USAGE = [
    (["statsu"], "cannot run fourfold: there is no command statsu; did you mean status?", "see: fourfold --help"),
    (["ps"], "cannot run fourfold: there is no command ps; did you mean status?", "see: fourfold --help"),
    (
        ["secrets", "remove"],
        "cannot run fourfold secrets: there is no command remove; did you mean rm?",
        "see: fourfold secrets --help",
    ),
    (["xyzzy"], "cannot run fourfold: there is no command xyzzy", "see: fourfold --help"),
    (["--nope"], "cannot run fourfold: no such option: --nope", "see: fourfold --help"),
    (["stop", "--9"], "cannot run fourfold stop: no such option: --9", "see: fourfold stop --help"),
    (["explain"], "cannot run fourfold explain: missing argument 'SERVICE'", "see: fourfold explain --help"),
    (["exec", "web"], "cannot run fourfold exec: missing argument 'CMD'", "see: fourfold exec --help"),
    (["secrets"], "cannot run fourfold secrets: missing command", "see: fourfold secrets --help"),
    (
        ["secrets", "sett"],
        "cannot run fourfold secrets: there is no command sett; did you mean set?",
        "see: fourfold secrets --help",
    ),
    (["status", "-o"], "cannot run fourfold status: option '-o' requires an argument", "see: fourfold status --help"),
    (
        ["exec", "web", "--instance"],
        "cannot run fourfold exec: option '--instance' requires an argument",
        "see: fourfold exec --help",
    ),
    (
        ["tokens", "create", "ci"],
        "cannot run fourfold tokens create: missing option '--role'. Choose from: read, deploy, admin",
        "see: fourfold tokens create --help",
    ),
    (
        ["logs", "--tail", "x"],
        "cannot run fourfold logs: invalid value for '--tail': expected a whole number from 0 on, got 'x'",
        "see: fourfold logs --help",
    ),
    (
        ["compare", "web", "--rps", "nan"],
        "cannot run fourfold compare: invalid value for '--rps': expected a number from 0.001 on, got 'nan'",
        "see: fourfold compare --help",
    ),
    (
        ["restart", "web", "../x"],
        "cannot run fourfold restart: invalid value for 'SERVICE': expected a name, got '../x'",
        "see: fourfold restart --help",
    ),
    (
        ["cancel", ""],
        "cannot run fourfold cancel: invalid value for 'OPERATION': expected a name, got ''",
        "see: fourfold cancel --help",
    ),
    (
        ["logs", "--since", "noon"],
        "cannot run fourfold logs: invalid value for '--since': expected 10m, 2h or 2026-11-22T08:00:00Z, got 'noon'",
        "see: fourfold logs --help",
    ),
]


@pytest.mark.parametrize(("arguments", "what", "hint"), BAD_USAGE, ids=[" ".join(case[0]) for case in BAD_USAGE])
def test_bad_usage(cli: Cli, arguments: list[str], what: str, hint: str) -> None:
    result = cli(*arguments)
    assert (result.code, result.out, result.err) == (2, "", f"error: {what}\nhint: {hint}\n")


@pytest.mark.parametrize("arguments", [["-o", "xml", "gc"], ["gc", "--timeout", "soon"]])
def test_bad_values(cli: Cli, arguments: list[str]) -> None:
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: cannot run fourfold")


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("help", "--help"),
        ("help up", "up --help"),
        ("help secrets set", "secrets set -h"),
        ("secrets help", "secrets -h"),
    ],
)
def test_help_as_a_command(cli: Cli, line: str, same: str) -> None:
    asked, usual = cli(*line.split()), cli(*same.split())
    assert (asked.code, asked.out) == (0, usual.out)
    assert asked.out.startswith("Usage: fourfold")


def test_no_command_is_help(cli: Cli) -> None:
    result = cli()
    assert (result.code, result.out) == (2, "")
    assert "Usage: fourfold [OPTIONS] COMMAND" in result.err


def test_an_unexpected_error_shows_no_traceback(cli: Cli, server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(count: object) -> str:
        raise KeyError("inner")

    monkeypatch.setattr("fourfold.cli.printing.formats.size", broken)
    result = cli("gc")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "error: cannot go on: unexpected KeyError: 'inner'\n"
        "hint: please report it with the output of the same command and -v\n"
    )
    assert "Traceback" in cli("gc", "-v").err


class Other(BaseHTTPRequestHandler):
    """A daemon of another version, whose shapes differ."""

    version = ""

    def do_GET(self) -> None:
        body = json.dumps({"version": self.version}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        return None


@pytest.mark.parametrize(
    ("version", "hint"),
    [
        ("0.0.9", "start this version: `fourfold daemon restart` (services keep running)"),
        ("99.0", "install Fourfold 99.0 here too"),
    ],
)
def test_an_answer_of_another_version(cli: Cli, home: Path, version: str, hint: str) -> None:
    (home / "run").mkdir()
    kind = type("Other", (Other,), {"version": version})
    with socketserver.ThreadingUnixStreamServer(str(home / "run/fourfold.sock"), kind) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        result = cli("apps")
        other.shutdown()
        thread.join()
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"error: cannot understand the daemon's answer: it is version {version}, this command is {__version__}\n"
        f"hint: {hint}\n"
    )


def test_the_folder_here_was_removed(cli: Cli, server: Serving, home: Path) -> None:
    (home / "work").rmdir()
    assert cli("status").code == 0
    assert cli("validate").err.startswith("error: cannot find a service file")


def test_no_daemon(cli: Cli, home: Path) -> None:
    result = cli("status")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"error: cannot reach the daemon at {home}/run/fourfold.sock: none runs there\n"
        "hint: start one with `fourfold up` in the folder of your app, or `fourfold daemon`\n"
    )


def test_only_daemons_that_have_the_app_are_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "others", lambda paths, app: iter([f"{app} is there"]))
    assert "hint: shop is there; start one" in cli("status", "-a", "shop").err
    assert "hint: None is there; start one" in cli("apps").err


def test_another_daemon_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    def told(paths: Paths, app: str) -> list[str]:
        """This machine may have daemons that are not the test's."""
        return [text for text in elsewhere.others(paths, app) if str(home) in text]

    with serving(home / "run/fourfold.sock") as server:
        server.facade.apps_known = [only := f"app-{home.name}"]
        mine = Paths.find({"FOURFOLD_HOME": str(home / "mine")}, 0)
        said = f"another daemon at {server.socket} has {only}: set FOURFOLD_HOME={home} to use it"
        assert told(mine, only) == [said]
        assert said in list(elsewhere.others(mine, None))
        assert told(mine, "nix-" + only) == []
        assert said in elsewhere.hint_for(mine, only)
        with serving(home / "mine/run/fourfold.sock") as other:
            other.facade.apps_known = ["else"]
            assert said in (elsewhere.hint_for_missing(mine, only, "old hint") or "")
            assert elsewhere.hint_for_missing(mine, "else", "old hint") == "old hint"
        assert told(Paths.find({"FOURFOLD_HOME": str(home)}, 0), only) == []


def test_whose_daemon_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "xdg"))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    socket = home / "run/fourfold.sock"
    socket.parent.mkdir()
    me = "it is root's, use sudo" if os.getuid() == 0 else f"it belongs to {pwd.getpwuid(os.getuid()).pw_name}"
    assert elsewhere._how(socket) == f"{me}, with FOURFOLD_HOME={home}", "by its folder: the socket cannot be seen"
    assert elsewhere._how(home / "xdg/fourfold/fourfold.sock") == "unset FOURFOLD_HOME to use it"


def test_sockets_of_daemons() -> None:
    table = (
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 21 /a b/run/fourfold.sock\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03 22 /a b/run/fourfold.sock\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03 23\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 24 @/x/fourfold.sock\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 25 /run/spawner.sock\n"
    )
    assert elsewhere.bound(table) == [Path("/a b/run/fourfold.sock")]


def test_the_app_is_found(cli: Cli, server: Serving, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("status").code == 0, "the only one"
    server.facade.apps_known = ["a", "b"]
    result = cli("status")
    assert (result.code, result.err) == (
        2,
        "error: cannot tell which app: there is no fourfold.yaml here, and this daemon has several\n"
        "hint: name one with -a: a, b\n",
    )
    server.facade.apps_known = []
    assert "there is no fourfold.yaml here, and this daemon has no app" in cli("status").err
    server.facade.apps_known = ["here", "b"]
    below = home / "work/src/deep"
    below.mkdir(parents=True)
    (home / "work/fourfold.yaml").write_text("# mine\napp: here   # and now\nservices: {x: {port: ${UNSET}}}\n")
    monkeypatch.chdir(below)
    assert cli("status").code == 0
    assert server.facade.calls[-1] == ("status", ("here",))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.symlink_to("/moved/app.yaml"), "it is a link to /moved/app.yaml, which is not there"),
        (Path.mkdir, "it is a folder"),
        (os.mkfifo, "it is no regular file"),
        (lambda path: path.symlink_to("/dev/null"), "it is no regular file"),
    ],
)
def test_what_has_the_files_name_and_is_none_is_not_passed_over(
    cli: Cli,
    server: Serving,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], None],
    why: str,
) -> None:
    (home / "work/fourfold.yaml").write_text("app: outer\nservices: {x: {run: y}}\n")
    below = home / "work/inner"
    below.mkdir()
    make(below / "fourfold.yaml")
    monkeypatch.chdir(below)
    for command in ("validate", "up", "down", "status"):
        result = cli(command)
        assert result.code == 2 and f"inner/fourfold.yaml: {why}\n" in result.err, result.err


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("app: shop\n", "shop"),
        ('app: "shop"\r\n', "shop"),
        ("\ufeffapp: 'shop' # x\n", "shop"),
        ("x-app: no\nservices: {app: {run: x}}\napp: shop\n", "shop"),
        ("{app: shop, services: {x: {run: y}}}\n", "shop"),
        ("app: ${NAME}\nservices: {x: {run: y}}\n", "named"),
    ],
)
def test_the_name_in_a_file(home: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str) -> None:
    monkeypatch.setenv("NAME", "named")
    path = home / "work/fourfold.yaml"
    path.write_text(text)
    assert from_file(Options()) == name


def test_an_overlay_may_rename_the_app(home: Path) -> None:
    (home / "work/fourfold.yaml").write_text("app: shop\n")
    (home / "work/fourfold.staging.yaml").write_text("app: shop-staging\n")
    assert from_file(Options(env="staging")) == "shop-staging"


def test_a_reader_that_goes_is_no_error(server: Serving) -> None:
    command = f"{sys.executable} -m fourfold status -o json | head -c 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=dict(os.environ))
    assert (done.stdout, done.stderr) == ("{", "")


@pytest.mark.parametrize(
    ("redirected", "code", "told"),
    [
        ("<&- 2>&-", 0, ""),
        (">&-", 0, ""),
        (">/dev/full", 1, "error: cannot go on: No space left on device\n"),
    ],
)
def test_standard_streams_that_cannot_be_used(server: Serving, redirected: str, code: int, told: str) -> None:
    command = f"exec {sys.executable} -m fourfold gc {redirected}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=dict(os.environ))
    assert (done.returncode, done.stderr) == (code, told)
    assert done.stdout == (
        "" if ">" in redirected.replace("2>", "") else "removed 2 releases, 40 blobs; freed 50 MiB\n"
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("secrets import -a shop .env", {"set": ["A", "B"]}),
        ("secrets rm -a shop A B", {"removed": ["A", "B"]}),
        ("tokens rm ci old", {"removed": ["ci", "old"]}),
        ("cancel op1", {"cancelled": "op1"}),
        ("daemon install --into .", {"file": "fourfold.service"}),
        ("init", {"file": "fourfold.yaml", "made_of": None}),
    ],
)
def test_what_was_done_as_json(cli: Cli, server: Serving, line: str, told: dict[str, object]) -> None:
    Path(".env").write_text("A=1\nB=2\n")
    cli("secrets", "import", "-a", "shop", ".env")
    server.facade.tokens_there = [token_view("ci", "read"), token_view("old", "read")]
    result = cli("-o", "json", *line.split())
    assert (result.code, json.loads(result.out)) == (0, told)
