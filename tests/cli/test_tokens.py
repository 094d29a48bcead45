"""`tokens`: the secret is printed once, on standard output and nowhere else."""

from __future__ import annotations

import pytest

from fourfold.control.access import TokenRequest
from tests.api.sample import token_view
from tests.api.serving import Serving
from tests.cli.conftest import Cli


def test_create(cli: Cli, server: Serving) -> None:
    result = cli("tokens", "create", "ci", "--role", "deploy", "--app", "shop", "--expires", "90d")
    assert (result.code, result.out) == (0, "ff_new\n")
    assert result.err.startswith("ci may deploy for app shop only; the secret is shown this once")
    assert "ff_new" not in result.err
    asked = TokenRequest(name="ci", role="deploy", app="shop", expires_in=90 * 86_400, actor="alice")
    assert server.facade.calls == [("create_token", (asked,))]
    assert '"secret": "ff_new"' in cli("tokens", "create", "x", "--role", "read", "-o", "json").out


def test_what_is_refused(cli: Cli, server: Serving) -> None:
    assert "--role" in cli("tokens", "create", "ci").err
    assert "'root' is not one of" in cli("tokens", "create", "ci", "--role", "root").err
    assert cli("tokens", "create", "../x", "--role", "read").code == 2
    assert cli("tokens", "create", "ci", "--role", "read", "--expires", "soon").code == 2
    assert server.facade.calls == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("a b",), "'NAME': expected a name: lower-case letters, digits and -, a letter first, at most 40 characters"),
        (("ci", "--expires", "0s"), "'--expires': expected more than 0"),
        (("ci", "--app", "7"), "'--app' / '-a': expected a name: lower-case letters"),
    ],
)
def test_what_the_api_refuses_is_told_of_the_parameter(
    cli: Cli, server: Serving, arguments: tuple[str, ...], told: str
) -> None:
    result = cli("tokens", "create", "--role", "read", *arguments)
    assert (result.code, server.facade.calls) == (2, [])
    assert f"cannot run fourfold tokens create: invalid value for {told}" in result.err
    assert result.err.endswith("see: fourfold tokens create --help\n")


def test_list_and_rm(cli: Cli, server: Serving) -> None:
    assert "fourfold tokens create NAME" in cli("tokens", "list").err
    used = token_view("ci", "deploy", "shop").model_copy(update={"used_at": "2026-11-22T08:59:05Z"})
    gone = token_view("old", "read").model_copy(update={"expired": True, "created_by": ""})
    server.facade.tokens_there = [used, gone]
    assert cli("tokens", "list").out.splitlines() == [
        "NAME  ROLE    APP   EXPIRES  USED       MADE BY",
        "ci    deploy  shop  never    1 min ago  ann, 1 h ago",
        "old   read    all   expired  never      -, 1 h ago",
    ]
    assert cli("tokens", "rm", "ci", "old", "ci").code == 0
    assert [call for call in server.facade.calls if call[0] == "remove_token"] == [
        ("remove_token", ("ci", "alice")),
        ("remove_token", ("old", "alice")),
    ]
