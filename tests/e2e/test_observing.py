"""What Fourfold tells of itself and of services, as programs ask for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.home import Home, free_port, web_file
from tests.support.wait import until


@pytest.fixture
def pattern() -> Iterator[str]:
    yield "process"


class Scraped:
    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        self.samples = [sample for each in families for sample in each.samples]

    def value(self, name: str, **labels: str) -> float:
        """Sum of all series that have these labels."""
        return sum(s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items())

    def of(self, name: str, label: str) -> set[str]:
        return {sample.labels[label] for sample in self.samples if sample.name == name}


def scrape(home: Home) -> Scraped:
    with home.api() as api:
        answer = api.get("/metrics").raise_for_status()
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scraped(answer.text)


def test_metrics_go_on_whoever_dies(home: Home) -> None:
    address = f"127.0.0.1:{free_port()}"
    home.environ["FOURFOLD_METRICS_LISTEN"] = address
    file = home.app(web_file(home.port, instances=2))
    home.run("up", "-f", str(file))
    for _ in range(6):
        assert home.get("/").status_code == 200
    home.get("/nothing-here")
    until(lambda: scrape(home).value("fourfold_http_requests_total") == 7, what="all requests")
    seen = scrape(home)
    names = {each["id"] for each in home.instances()}
    for name in ("cpu_seconds_total", "memory_bytes", "threads", "open_fds", "read_bytes_total", "restarts_total"):
        assert seen.of(f"fourfold_instance_{name}", "instance") >= names, name
    assert seen.value("fourfold_instances", service="web", state="ready") == 2
    assert seen.value("fourfold_service_desired_instances", app="app", service="web") == 2
    assert seen.value("fourfold_http_requests_total", route="/", code="2xx") == 6
    assert seen.value("fourfold_http_request_duration_seconds_count", app="app", service="web", route="/") == 7
    assert seen.of("fourfold_instance_http_requests_total", "instance") == names
    assert seen.value("fourfold_deployments_total", service="web", result="done") == 1
    assert seen.value("fourfold_builds_total", service="web", result="done") == 1
    assert seen.value("fourfold_gateway_up") == 1
    assert seen.value("fourfold_store_commit_seconds_count") > 0

    home.kill_daemon()
    home.get("/")  # while no daemon is there
    daemon = home.start_daemon()
    until(lambda: scrape(home).value("fourfold_http_requests_total", code="2xx") == 7, what="what came meanwhile")
    os.kill(home.instances()[0]["pid"], signal.SIGKILL)
    until(lambda: scrape(home).value("fourfold_instance_exits_total", service="web", reason="signal") == 1)
    until(lambda: scrape(home).value("fourfold_instances", service="web", state="ready") == 2)
    seen = Scraped(httpx.get(f"http://{address}/metrics").raise_for_status().text)
    assert seen.value("fourfold_instance_restarts_total", service="web") == 1
    assert seen.value("fourfold_deployments_total", service="web", result="done") == 1
    home.run("down", "-y", "-a", "app")
    assert not [s for s in scrape(home).samples if s.labels.get("app") == "app"]
    home.run("daemon", "stop")
    daemon.wait(20)
