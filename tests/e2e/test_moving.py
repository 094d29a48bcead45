"""A service moves between patterns by one word, and back: no request is lost, and nobody edits it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.home import UNKIND, Home, web_file
from tests.e2e.traffic import Traffic
from tests.support.load import Load
from tests.support.wait import until

pytestmark = pytest.mark.patterns("shared", "container", "vm", "function")
SHOP = str(Path(__file__).parents[2] / "examples" / "shop" / "fourfold.yaml")
ASKED = ("/healthz", "/api/catalog/products", "/api/orders/", "/docs/")
FROM_THE_SHOP = ("catalog", "orders", "storefront", "worker", "docs")


def test_there_and_back(home: Home, pattern: str) -> None:
    home.environ["TEST_PATTERN"] = "process"
    file = home.app(web_file(home.port, instances=2, VERSION="one", **UNKIND))
    home.run("up", "-f", str(file))
    with Traffic(home.port) as traffic:
        for to in (pattern, "process"):
            traffic.flow()
            home.run("deploy", "-f", str(file), "web", "--as", to)
            service = home.service()
            count = 1 if (pattern, to) == ("shared", "process") else 2  # of a member its group says how many
            assert (service["pattern"], service["ready"], service["release"]) == (to, count, 1)
            traffic.flow()
    traffic.unharmed()


def test_the_override_is_kept_until_it_is_reset(home: Home, pattern: str) -> None:
    home.environ["TEST_PATTERN"] = "process"
    file = home.app(web_file(home.port, VERSION="one"))
    home.run("up", "-f", str(file))
    home.run("deploy", "-f", str(file), "web", "--as", pattern)
    home.web(file, VERSION="two")
    home.run("up", "-f", str(file))
    assert home.service()["overrides"] == {"pattern": pattern} and home.service()["pattern"] == pattern
    assert home.get().headers["x-version"] == "two"
    home.run("up", "-f", str(file), "--reset")
    assert home.service()["overrides"] == {} and home.service()["pattern"] == "process"


def test_a_rollback_keeps_the_pattern(home: Home, pattern: str) -> None:
    """The older release was never built for it: it is now."""
    home.environ["TEST_PATTERN"] = "process"
    file = home.app(web_file(home.port, VERSION="one"))
    home.run("up", "-f", str(file))
    home.web(file, VERSION="two")
    home.run("up", "-f", str(file))
    home.run("deploy", "-f", str(file), "web", "--as", pattern)
    home.run("rollback", "-a", "app", "web")
    assert home.get().headers["x-version"] == "one"
    assert (home.service()["pattern"], home.service()["release"]) == (pattern, 1)


@pytest.mark.patterns("container", "vm")  # functions keep nothing: see test_functions
@pytest.mark.timeout(1500)
def test_every_service_of_the_shop(home: Home, pattern: str) -> None:
    """In five languages, with a volume, dependencies and addresses of each other."""
    home.environ |= {"SHOP_PORT": str(home.port), "SHOP_BANNER": "Today: pears"}
    home.run("up", "-f", SHOP, patience=900)
    order(home)
    rps = 4 if pattern == "vm" else 20  # without KVM a machine is a tenth as fast
    loads = [Load(f"http://127.0.0.1:{home.port}{path}", connections=2, rps=rps, max_seconds=1500) for path in ASKED]
    with ExitStack() as asking:
        for load in loads:
            asking.enter_context(load)
        for service in FROM_THE_SHOP:
            home.run("deploy", "-f", SHOP, service, "--as", pattern, patience=900)
            assert home.service(service, "shop")["pattern"] == pattern
            order(home)
        home.run("deploy", "-f", SHOP, *FROM_THE_SHOP, "--as", "process", patience=900)  # all at once
        assert {home.service(service, "shop")["pattern"] for service in FROM_THE_SHOP} == {"process"}
        order(home)
    for load in loads:
        assert load.report().ok and not load.report().failed, str(load.report())


def placed_order(home: Home) -> Any:
    ordered = home.post("/api/orders/", {"sku": "rye", "quantity": "2"})
    assert ordered.status_code in (201, 503), ordered.text
    return ordered.json() if ordered.status_code == 201 else None


def order(home: Home) -> None:
    """Through storefront, orders and catalog, to the worker. The shop's own programs wait two seconds for each other,
    which the first call in a JVM may take where there is no KVM."""
    placed = until(lambda: placed_order(home), 180, "the order to be taken")
    assert placed in home.get("/api/orders/").json()
    assert "Today: pears" in home.get("/").text and home.get("/docs").status_code == 200
    packed = f"packed order {placed['id']}: 2 x rye"
    until(lambda: packed in home.run("logs", "-a", "shop", "worker").stdout, 60, "the worker to pack it")
