"""Settings: what wins, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fourfold.control.settings import load_settings
from fourfold.errors import UserError


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "fourfold.toml"
    file.write_text("builds = 3\nlog_bytes = 100000\nports = [21000, 21999]\n")
    found = load_settings(file, {"FOURFOLD_BUILDS": "4", "FOURFOLD_UIDS": "5-9"})
    assert (found.builds, found.log_bytes, found.ports, found.uids) == (4, 100_000, (21_000, 21_999), (5, 9))


def test_where_the_api_listens(tmp_path: Path) -> None:
    def found(**given: str) -> tuple[str, int]:
        return load_settings(
            tmp_path / "none", {f"FOURFOLD_API_{name}": text for name, text in given.items()}
        ).api_address

    assert found(LISTEN="127.0.0.1:7443") == ("127.0.0.1", 7443)
    assert found(LISTEN="[::]:7443", CERT="c", KEY="k") == ("::", 7443)
    with pytest.raises(UserError, match="tokens must not be sent without TLS"):
        found(LISTEN="[::]:7443")


@pytest.mark.parametrize(
    "text",
    [
        "builds = 0",
        "log_bytes = -5",
        "build_timeout = -1",
        "build_timeout = inf",
        "build_bytes = 0",
        "ports = [9, 70000]",
        "ports = [9, 8]",
        "ports = [9]",
        "uids = [0, 5]",
        "build = 3",
        'metrics_listen = ":9464"',
        'metrics_listen = "127.0.0.1:0"',
        'metrics_listen = "localhost:9464"',
        'api_listen = "0.0.0.0:7443"',
        'api_listen = "localhost:7443"',
        'api_listen = "127.0.0.1:0"',
        'api_listen = "127.0.0.1"',
        'api_key = "key.pem"',
        "builds =",
    ],
)
def test_what_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "fourfold.toml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        load_settings(file, {})
    assert str(file) in caught.value.what
    assert text.split()[0] in caught.value.what or text == "builds ="
