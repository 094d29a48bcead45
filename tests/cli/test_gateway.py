"""`maintenance` and `certificate`: what is asked for, and what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fourfold.control.routing.maintaining import Page
from tests.api.serving import Serving
from tests.cli.conftest import Cli


def asked(server: Serving, method: str) -> list[Any]:
    return [arguments for name, arguments in server.facade.calls if name == method]


def test_maintenance(cli: Cli, server: Serving, home: Path) -> None:
    (home / "page.html").write_text("<p>")
    result = cli("maintenance", "on", "web", "--page", str(home / "page.html"), "--retry-after", "5m", "-a", "shop")
    assert (result.code, result.err) == (0, "in maintenance: web; fourfold maintenance off ends it\n")
    page = Page("<p>", "text/html; charset=utf-8", 300, ())
    assert asked(server, "begin_maintenance") == [("shop", ["web"], page, "alice")]
    assert cli("maintenance", "on", "--allow", "10.0.0.0/8", "--allow", "::1", "-a", "shop").code == 0
    page = Page(None, "text/plain; charset=utf-8", 60, ("10.0.0.0/8", "::1"))
    assert asked(server, "begin_maintenance")[-1] == ("shop", [], page, "alice")
    for wrong in (("--page", "nosuch.html"), ("--retry-after", "soon")):
        assert cli("maintenance", "on", *wrong, "-a", "shop").code == 2
    assert cli("maintenance", "off", "-a", "shop").err == "back from maintenance: catalog, orders\n"
    assert cli("maintenance", "off", "web", "-a", "shop").err == "web is not in maintenance\n"
    result = cli("maintenance", "on", "web", "-a", "shop", "-o", "json")
    assert (json.loads(result.out), result.err) == ({"services": ["web"]}, "")
    assert asked(server, "end_maintenance") == [("shop", [], "alice"), ("shop", ["web"], "alice")]


def test_certificate(cli: Cli, server: Serving, home: Path) -> None:
    assert cli("certificate", "show", "-a", "shop").out == (
        "names    shop.test\nissuer   Fake CA\nvalid    2026-11-22T08:00:00Z to 2026-11-22T08:00:00Z (30 days)\n"
        "from     /srv/c.pem\n"
    )
    folder = home / "work"
    (folder / "c.pem").write_text("chain")
    (folder / "k.pem").write_text("key")
    services = "services: {web: {source: ./x, run: x}}"
    (folder / "fourfold.yaml").write_text(f"app: shop\n{services}\ngateway: {{tls: {{cert: c.pem, key: k.pem}}}}\n")
    (folder / "x").mkdir()
    assert cli("plan").code == 0
    assert asked(server, "plan")[0][0].certificate == "chain\nkey"
    assert cli("certificate", "renew").code == 0
    assert cli("certificate", "renew", "--cert", "c.pem", "--key", "c.pem").code == 0
    assert asked(server, "renew_certificate") == [
        ("shop", b"chain", b"key", "alice"),
        ("shop", b"chain", b"chain", "alice"),
    ]
    assert cli("certificate", "renew", "--cert", "c.pem").code == 2
    assert cli("certificate", "renew", "--cert", "c.pem", "--key", "nosuch.pem").code == 2
    (folder / "fourfold.yaml").write_text(f"app: shop\n{services}\n")
    assert "has no gateway.tls" in cli("certificate", "renew").err
