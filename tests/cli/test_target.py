"""Which daemon `-H` and FOURFOLD_HOST name, and what they are refused for."""

from __future__ import annotations

from pathlib import Path

import pytest

from fourfold.cli.link.endpoint import over_network
from fourfold.cli.link.target import Target, parse
from fourfold.errors import UserError

GOOD = {
    "unix:///run/fourfold/fourfold.sock": Target("unix", "", path="/run/fourfold/fourfold.sock"),
    "ssh://box": Target("ssh", "", "box"),
    "ssh://box/": Target("ssh", "", "box"),
    "ssh://Box.Example.org": Target("ssh", "", "Box.Example.org"),
    "ssh://ann@box:2222": Target("ssh", "", "box", 2222, "ann"),
    "ssh://ann@box/run/user/1000/fourfold/fourfold.sock": Target(
        "ssh", "", "box", None, "ann", "/run/user/1000/fourfold/fourfold.sock"
    ),
    "ssh://[fe80::1%eth0]": Target("ssh", "", "fe80::1%eth0"),
    "ssh://ann@[fd00::1]:22": Target("ssh", "", "fd00::1", 22, "ann"),
    "https://box:7443": Target("https", "", "box", 7443),
    "https://[fd00::1]:7443/": Target("https", "", "fd00::1", 7443),
    "http://127.0.0.1:7443": Target("http", "", "127.0.0.1", 7443),
    "http://localhost": Target("http", "", "localhost"),
}
BAD = {
    "": "it does not say how to get there",
    "box": "it does not say how to get there",
    "tcp://box": "tcp is none of these",
    "ssh://": "'' is not a host",
    "ssh://-oProxyCommand=x": "is not a host",
    "ssh://-l@box": "'-l' is not a user",
    "ssh://ann:secret@box": "more in it",
    "ssh://box?x=1": "more in it",
    "ssh://box:x": "Port could not be cast",
    "ssh://box:99999": "out of range",
    "ssh://box/a:b": "colon",
    "ssh://a b": "is not a host",
    "ssh://[fe80::1%$(id)]": "is not a host",
    "ssh://[fe80::1%25;id]": "is not a host",
    "https://ann@box": "nothing comes before the host",
    "https://box/api": "nothing comes before the host or after the port",
    "http://box:7443": "must not be sent without TLS",
    "http://10.0.0.1": "must not be sent without TLS",
    "unix://run/x": "begins with /",
    "unix:": "begins with /",
}


@pytest.mark.parametrize(("text", "expected"), GOOD.items())
def test_good(text: str, expected: Target) -> None:
    found = parse(text)
    assert vars(found) | {"text": ""} == vars(expected)


@pytest.mark.parametrize(("text", "why"), BAD.items())
def test_bad(text: str, why: str) -> None:
    with pytest.raises(UserError, match=why) as caught:
        parse(text)
    assert caught.value.hint is not None
    assert "ssh://" in caught.value.hint


def test_where_a_token_is_sent() -> None:
    assert parse("https://[fd00::1]:7443").url == "https://[fd00::1]:7443"
    assert parse("http://localhost").url == "http://localhost"


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({}, "there is no token"),
        ({"FOURFOLD_TOKEN": " "}, "there is no token"),
        ({"FOURFOLD_TOKEN": "a b"}, "is not a token"),
        ({"FOURFOLD_TOKEN": "ü"}, "is not a token"),
        ({"FOURFOLD_TOKEN": "x", "FOURFOLD_CA": "/nowhere.pem"}, "FOURFOLD_CA=/nowhere.pem: No such file"),
        ({"FOURFOLD_TOKEN": "x", "FOURFOLD_CA": str(Path(__file__))}, "FOURFOLD_CA="),
    ],
)
def test_what_it_needs(environ: dict[str, str], why: str) -> None:
    with pytest.raises(UserError, match=why):
        over_network(parse("https://box"), environ)
