"""The static table, the commands, the design and docs/commands.md agree, both ways."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fourfold.cli.group import EPILOG, build, load
from fourfold.cli.options import Options
from fourfold.cli.parameters import summary
from fourfold.cli.table import COMMANDS
from tests.api.serving import Serving

DESIGNED = (
    "init validate config plan up deploy status explain logs exec run scale rollback history restart stop down "
    "apps events secrets build invoke compare advise cost top backup restore gc doctor daemon schema version"
)
ADDED = "cancel certificate maintenance notify tokens"
"""Departures from it, as ARCHITECTURE.md has them."""

PAGE = (Path(__file__).parents[2] / "docs/commands.md").read_text()
SECTIONS = dict(re.findall(r"^### `fourfold ([a-z]+)[^\n]*\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
SHARED = PAGE.partition("## For every command")[2].partition("\n## ")[0]


def options_of(command: click.Command) -> set[str]:
    """All option names that its help shows, those of its own commands too."""
    names = {text for param in command.params for text in (*param.opts, *param.secondary_opts) if text.startswith("-")}
    for child in command.commands.values() if isinstance(command, click.Group) else []:
        names |= options_of(child)
    return names


def documented_options(text: str) -> set[str]:
    return {
        word for code in re.findall(r"`([^`]*)`", text) for word in re.findall(r"(?<![\w-])--?[A-Za-z][a-z-]*", code)
    }


def test_commands_are_those_of_the_design() -> None:
    assert set(COMMANDS) == {*DESIGNED.split(), *ADDED.split()}


def test_the_page_has_every_command_and_no_other() -> None:
    assert set(SECTIONS) == set(COMMANDS)
    assert list(SECTIONS) == list(COMMANDS), "in the order of the help page"


@pytest.mark.parametrize("name", COMMANDS)
def test_summaries_agree(name: str) -> None:
    command = load(name)
    assert summary(command) == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_has_every_option_and_no_other(name: str) -> None:
    mine = options_of(load(name))
    mentioned = documented_options(SECTIONS[name])
    assert mine <= mentioned
    elsewhere = set().union(*(options_of(load(other)) for other in COMMANDS)) | options_of(build(Options()))
    assert mentioned <= elsewhere, "an option that there is not"


def test_the_page_has_every_shared_option_and_no_other() -> None:
    shared = options_of(build(Options())) | {"-h", "--help"}
    assert shared <= documented_options(SHARED.replace("\\|", "|"))


def test_the_page_has_every_variable_and_no_other() -> None:
    declared = {param.envvar for param in build(Options()).params if param.envvar}
    assert set(re.findall(r"`(FOURFOLD_\w+)`", SHARED)) == declared | {"FOURFOLD_HOME"}


def test_every_subcommand_is_on_the_page() -> None:
    for name in COMMANDS:
        command = load(name)
        if isinstance(command, click.Group):
            told = set(re.findall(rf"`fourfold {name} ([a-z]+)", SECTIONS[name]))
            assert told == set(command.commands)


def test_help_of_a_group_has_whole_sentences() -> None:
    command = load("maintenance")
    assert isinstance(command, click.Group)
    page = " ".join(command.get_help(click.Context(command)).split())
    for child in command.commands.values():
        assert f"{child.name} {summary(child)}" in page
    assert " ".join(EPILOG.split()) in page


HEAVY = ("pydantic", "httpx", "fastapi", "uvicorn", "websockets", "ruamel", "rich.console", "rich.live", "asyncio")


@pytest.mark.parametrize("arguments", [["--help"], [], ["-h"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from fourfold.cli.main import run\n"
        f"run({arguments!r})\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "loaded: []"


def test_one_command_imports_no_other() -> None:
    code = "import sys; from fourfold.cli.group import load; load('status'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    prefix = "fourfold.cli.commands."
    assert [name for name in done.stdout.split() if name.startswith(prefix)] == [f"{prefix}status"]


def test_the_help_page(capsys: pytest.CaptureFixture[str]) -> None:
    from fourfold.cli.main import run

    assert run(["--help"]) == 0
    page = capsys.readouterr().out
    assert "status   Show every service, its instances and where to reach it." in page
    assert max(len(line) for line in page.splitlines()) <= 80
    for name in COMMANDS:
        assert re.search(rf"^  {name}  ", page, re.MULTILINE)


def test_python_dash_m() -> None:
    done = subprocess.run([sys.executable, "-m", "fourfold", "--help"], capture_output=True, text=True, check=True)
    assert "Usage: fourfold [OPTIONS] COMMAND" in done.stdout


@pytest.mark.parametrize(
    ("words", "completed"),
    [("fourfold st", "stop status"), ("fourfold up --pr", "--prune"), ("fourfold exec web --ins", "--instance")],
)
def test_completion(words: str, completed: str) -> None:
    assert pressed(words) == [f"plain,{word}" for word in completed.split()]


def pressed(words: str) -> list[str]:
    """What Tab gives in bash."""
    asked = {"_FOURFOLD_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    script = Path(sys.executable).with_name("fourfold")
    done = subprocess.run([script], env={**os.environ, **asked}, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("fourfold logs ", "web cron catalog"),
        ("fourfold restart web c", "cron catalog"),
        ("fourfold exec c", "cron catalog"),
        ("fourfold -a shop logs ", "catalog"),
        ("fourfold -a nix logs ", ""),
        ("fourfold status -a ", "shop"),
        ("fourfold help st", "stop status"),
    ],
)
def test_names_are_completed(server: Serving, words: str, completed: str) -> None:
    """Of the file here, and of the daemon."""
    Path("fourfold.yaml").write_text("app: shop\nservices:\n  web: {source: .}\n  cron: {source: .}\n")
    assert pressed(words) == [f"plain,{word}" for word in completed.split()]


def test_names_without_a_daemon(home: Path) -> None:
    assert pressed("fourfold logs ") == []
    Path("fourfold.yaml").write_text("app: shop\nservices:\n  web: {source: .}\n")
    assert pressed("fourfold logs ") == ["plain,web"]
    assert pressed("fourfold -a ") == []
    Path("fourfold.yaml").write_text("app: [shop\n")
    assert pressed("fourfold logs ") == []


@pytest.mark.parametrize("words", ["fourfold -f fo", "fourfold backup fo", "fourfold build web --to fo"])
def test_files_are_completed(home: Path, words: str) -> None:
    assert pressed(words) == ["file,fo"]


@pytest.mark.parametrize(
    ("shell", "file", "rc"),
    [
        ("bash", ".local/share/fourfold/fourfold.bash", ".bashrc"),
        ("fish", ".config/fish/completions/fourfold.fish", ""),
    ],
)
def test_completion_is_installed(tmp_path: Path, shell: str, file: str, rc: str) -> None:
    """Once, however often it is asked for, and behind what is there."""
    (tmp_path / ".bashrc").write_text("mine=1")
    environ = {**os.environ, "HOME": str(tmp_path), "SHELL": f"/bin/{shell}"}
    script = Path(sys.executable).with_name("fourfold")
    for _ in range(2):
        subprocess.run([script, "--install-completion"], env=environ, check=True, capture_output=True)
    shown = subprocess.run([script, "--show-completion"], env=environ, check=True, capture_output=True, text=True)
    assert "_FOURFOLD_COMPLETE" in shown.stdout and (tmp_path / file).read_text() == shown.stdout
    added = f"\nsource '{tmp_path / file}'\n" if rc else ""
    assert (tmp_path / ".bashrc").read_text() == "mine=1" + added
