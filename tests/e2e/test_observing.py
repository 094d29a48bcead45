"""What Fourfold tells of itself and of services, as programs ask for it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.home import Home, web_file
from tests.support.ports import free_port
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
    home.environ |= {"FOURFOLD_METRICS_LISTEN": address, "FOURFOLD_LOG_FORMAT": "json"}
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
    daemon.wait(60)
    lines = [json.loads(line) for line in home.daemon_log().splitlines()]
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines)
    (deployed,) = [line for line in lines if line.get("kind") == "deploy.done" and "is deployed" in line["message"]]
    assert (deployed["app"], deployed["service"]) == ("app", "web") and deployed["operation"]


class Receiver:
    """A webhook's end: what it was sent, and whether it answers well."""

    def __init__(self) -> None:
        self.status = 200
        self.took: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.refused = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                if receiver.status == 200:
                    receiver.took.append(({k.lower(): v for k, v in self.headers.items()}, json.loads(content)))
                else:
                    receiver.refused += 1
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook/secret-token"

    @property
    def messages(self) -> list[str]:
        return [content["message"] for _, content in self.took]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def answer(home: Home, path: str) -> str:
    with home.api() as api:
        return api.get(path).raise_for_status().text


def test_webhooks_are_told_whoever_dies(home: Home, receiver: Receiver) -> None:
    def bring(code: int = 0, **environ: Any) -> str:
        hook = 'notify: {url: "${HOOK}", on: [failed, deployed, "secrets.*"], secret: KEY}\n'
        file = home.app(web_file(home.port, **environ) + hook)
        done = home.run("up", "-f", str(file), code=code, HOOK=receiver.url)
        return done.stdout + done.stderr

    assert "KEY" in bring(code=2)  # the secret that signs is not set
    home.run("secrets", "set", "KEY", "-a", "app", stdin="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    bring()
    until(lambda: receiver.messages and "is deployed" in receiver.messages[0], what="the first event")
    told, content = receiver.took[0]
    assert (content["type"], content["app"], content["service"]) == ("deploy.done", "app", "web")
    assert told["webhook-id"] == content["id"] and told["webhook-signature"].startswith("v1,")
    assert home.run("notify", "test", "-a", "app").stdout == f"{receiver.url.removesuffix('/hook/secret-token')}  ok\n"
    assert receiver.took.pop()[1]["type"] == "notify.test"

    assert "signs what webhooks" in home.run("secrets", "rm", "KEY", "-a", "app", code=2).stderr

    receiver.status = 500
    bring(code=1, EXIT_CODE=3)
    until(lambda: receiver.refused > 0, what="a try")
    until(lambda: "it answers 500" in answer(home, "/v1/apps/app/hooks"), what="the failure to be stored")
    assert "it answers 500" in answer(home, "/v1/apps/app/services/web/explain")
    host = receiver.url.removesuffix("/hook/secret-token")
    seen = scrape(home)
    assert seen.value("fourfold_webhook_failing", app="app", host=host) == 1
    assert seen.value("fourfold_webhook_deliveries_total", host=host, result="delivered") == 1
    assert home.run("notify", "test", "-a", "app", code=1).stdout.endswith("it answers 500 Internal Server Error\n")
    home.kill_daemon()
    daemon = home.start_daemon()
    receiver.status = 200
    until(lambda: any("failed" in message for message in receiver.messages), what="what it has missed")
    assert len({content["id"] for _, content in receiver.took}) == len(receiver.took)
    shown = [answer(home, f"/v1/{path}") for path in ("apps/app/hooks", "events", "apps/app", "doctor")]
    assert not any("secret-token" in each for each in (*shown, home.run("notify", "-a", "app").stdout))
    assert "secret-token" not in home.daemon_log()
    assert b"secret-token" not in b"".join(file.read_bytes() for file in home.state.glob("*.db*"))
    home.run("down", "-y", "-a", "app")
    home.run("daemon", "stop")
    daemon.wait(60)
