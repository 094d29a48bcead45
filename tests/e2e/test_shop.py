"""The example shop and the demo, as a visitor of the README meets them."""

from __future__ import annotations

import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from tests.e2e.home import Home
from tests.support.wait import until

ROOT = Path(__file__).parents[2]
SHOP = str(ROOT / "examples" / "shop" / "fourfold.yaml")


@pytest.mark.timeout(900)
def test_the_shop_takes_an_order(home: Home) -> None:
    """Through every service and every language of it."""
    home.environ |= {"SHOP_PORT": str(home.port), "SHOP_BANNER": "Today: pears"}
    home.run("up", "-f", SHOP, patience=800)
    page = home.get("/")
    assert page.status_code == 200 and "Today: pears" in page.text
    products = home.get("/api/catalog/products").json()
    product = next(product for product in products if product["sku"] == "rye")
    assert product["name"] in page.text
    ordered = home.post("/api/orders/", {"sku": "rye", "quantity": "2"})
    assert ordered.status_code == 201
    order = ordered.json()
    assert order in home.get("/api/orders/").json()
    assert product["name"] in home.get("/").text.partition("Last orders")[2]
    packed = f"packed order {order['id']}: 2 x rye"
    until(lambda: packed in home.run("logs", "-a", "shop", "worker").stdout, 60, "the worker to pack it")
    docs = home.get("/docs")
    assert docs.status_code == 200 and "text/html" in docs.headers["content-type"]
    pressed = home.post("/order", {"sku": products[-1]["sku"]})  # as the button on the page does
    assert pressed.status_code == 303 and "Thank" in pressed.headers["location"]
    assert [each["sku"] for each in home.get("/api/orders/").json()] == ["rye", products[-1]["sku"]]


@pytest.mark.timeout(1500)
def test_the_demo_leaves_the_shop_open_and_stop_removes_it(home: Home) -> None:
    checkout = f"{ROOT.name[:20]}-{sha256(str(ROOT).encode()).hexdigest()[:8]}"
    home.environ |= {"FOURFOLD_DEMO": str(home.root), "FOURFOLD_HOME": str(home.root / "fourfold-demo" / checkout)}
    said = demo(home)
    (url,) = re.findall(r"The shop is open: (\S+)", said)
    assert home.home.exists() and httpx.get(url, timeout=20).status_code == 200
    assert re.findall(r"(\d+) failed in", said) == ["0", "0"] and "rolled back" in said
    demo(home, "--stop")
    assert not home.home.exists() and not home.processes()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def demo(home: Home, *arguments: str) -> str:
    environ = {name: text for name, text in home.environ.items() if name != "FOURFOLD_HOME"}
    command = [sys.executable, str(ROOT / "bin" / "demo"), *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    return done.stdout
