"""`secrets`: values come from standard input or a file, and are in no message."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tests.api.serving import Serving
from tests.cli.conftest import Cli


def asked(server: Serving, method: str) -> list[Any]:
    return [arguments for name, arguments in server.facade.calls if name == method]


def test_secrets(cli: Cli, server: Serving, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    def given(text: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))

    given(b"s3cret with = and spaces \n")
    result = cli("secrets", "set", "API_KEY")
    assert (result.code, result.out) == (0, "")
    assert result.err == "API_KEY is set; services get it with the next `fourfold up`\n"
    assert asked(server, "set_secrets") == [("shop", {"API_KEY": "s3cret with = and spaces "}, "alice")]
    given(b"")
    assert cli("secrets", "set", "EMPTY").code == 2
    given(b"\xff")
    assert cli("secrets", "set", "BINARY").code == 2
    for arguments in (["API_KEY", "s3cret"], ["API_KEY=s3cret"]):
        result = cli("secrets", "set", *arguments)
        assert result.code == 2
        assert "s3cret" not in result.err
    (home / "work/.env").write_text("# x\nexport A=1\nB='two words'\n")
    assert cli("secrets", "import", ".env").code == 0
    assert asked(server, "set_secrets")[-1] == ("shop", {"A": "1", "B": "two words"}, "alice")
    assert cli("secrets", "list").out == "NAME     SET\nA        1 h ago\nAPI_KEY  1 h ago\nB        1 h ago\n"
    assert cli("secrets", "rm", "A", "B").code == 0
    assert asked(server, "remove_secrets") == [("shop", ["A", "B"], "alice")]
    (home / "work/.env").write_text("A=1\noops s3cret\nB='open s3cret\n")
    result = cli("secrets", "import", ".env")
    assert (result.code, len(asked(server, "set_secrets"))) == (2, 2)
    assert ".env:2: expected NAME=value" in result.err
    assert "s3cret" not in result.err


def test_secrets_of_an_app_that_is_not_there(cli: Cli, server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("secrets", "list", "-a", "nix").err.startswith("error: cannot find app nix: apps here are shop\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"x")))
    result = cli("secrets", "set", "A", "-a", "nix")
    assert result.code == 0
    assert result.err.endswith("there is no app nix here yet: kept until it comes up\n")
    assert cli("secrets", "list", "-a", "nix").code == 0
