"""What `fourfold init` makes of other tools' files comes up, by `fourfold up` and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.e2e.home import Home
from tests.support.wait import until

CASES = Path(__file__).parents[1] / "spec/imports/cases"

STORE = """
import socketserver
hits = 0

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        global hits
        self.wfile.write(b"counter 1\\n")
        for _ in self.rfile:
            hits += 1
            self.wfile.write(b"%d\\n" % hits)

socketserver.ThreadingTCPServer(("0.0.0.0", 6379), Handler).serve_forever()
"""
WEB = """
import os, socket, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

place = urlsplit(os.environ["COUNTER_URL"])
store = socket.create_connection((place.hostname, place.port)).makefile("rwb", buffering=0)
greeting = store.readline().decode().strip()
one_at_a_time = threading.Lock()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        with one_at_a_time:
            store.write(b"hit\\n")
            hits = store.readline().decode().strip()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{greeting}: {hits} {os.environ['TITLE']}".encode())

ThreadingHTTPServer(("0.0.0.0", 5000), Handler).serve_forever()
"""
COMPOSE = """
services:
  web:
    build: {context: ./web, target: final}
    ports: ["127.0.0.1:%d:5000"]
    environment: {COUNTER_URL: "line://hit_counter:6379", TITLE: "${TITLE:-hits}"}
    depends_on: {hit_counter: {condition: service_healthy}}
    healthcheck: {test: ["CMD", "curl", "-f", "http://localhost:5000/"], interval: 1s}
    networks: [front, back]
  hit_counter:
    build: ./counter
    expose: [6379]
    networks: [back]
    deploy: {resources: {limits: {memory: 64M}}}
networks: {front: {}, back: {}}
"""
WEB_DOCKERFILE = """
FROM python:3.11-slim AS base
RUN apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/*
WORKDIR /usr/local/app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
FROM base AS dev
RUN pip install watchdog
FROM base AS final
COPY . .
CMD ["python", "/usr/local/app/app.py"]
"""


def folder(home: Home, files: dict[str, str], name: str = "brought") -> Path:
    made = home.root / name
    for path, text in files.items():
        file = made / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return made


def brought_up(home: Home, where: Path) -> str:
    """What `init` said. The app is up after it."""
    said = home.run("init", str(where)).stderr
    home.run("up", "-f", str(where / "fourfold.yaml"), patience=600)
    return said


@pytest.mark.patterns("container")
def test_compose_services_that_call_each_other_by_name(home: Home) -> None:
    files = {"compose.yaml": COMPOSE % home.port, "web/app.py": WEB, "counter/main.py": STORE}
    files |= {"web/Dockerfile": WEB_DOCKERFILE, "web/requirements.txt": "", "counter/requirements.txt": ""}
    files["counter/Dockerfile"] = "FROM python:3\nCOPY . /srv\nWORKDIR /srv\nCMD python -u main.py\n"
    where = folder(home, files)
    assert "made of compose.yaml: 2 services; 1 thing not carried over" in brought_up(home, where)
    first = home.get().text
    assert first.startswith("counter 1: ") and first.endswith(" hits")
    assert int(home.get().text.split()[2]) > int(first.split()[2]), "one counter for all"
    hosts = home.run("exec", "-a", "brought", "web", "--", "cat", "/etc/hosts").stdout
    assert "\thit-counter hit_counter\n" in hosts
    with (where / "web/app.py").open("a") as file:
        file.write("\n# changed\n")
    home.run("up", "-f", str(where / "fourfold.yaml"))
    assert home.service("web", "brought")["release"] == 2 and home.get().status_code == 200


@pytest.mark.patterns("process")
def test_programs_of_a_procfile_and_of_supervisor(home: Home) -> None:
    procfile = "release: echo released\nweb: python3 -m http.server $PORT --bind $HOST\nworker: sleep 1000\n"
    where = folder(home, {"Procfile": procfile, "index.html": "brought"})
    home.run("init", str(where))
    file = where / "fourfold.yaml"
    file.write_text(file.read_text() + f'gateway: {{listen: "127.0.0.1:{home.port}"}}\n')
    home.run("up", "-f", str(file))
    assert home.get().text == "brought"
    assert len(home.instances("worker", "brought")) == 1
    numbered = "[program:web]\ncommand=python3 -m http.server 80%(process_num)02d\nnumprocs=2\n"
    where = folder(home, {"supervisord.conf": numbered, "index.html": "by number"}, "numbered")
    home.run("init", str(where))
    file = where / "fourfold.yaml"
    text = file.read_text().replace("route: {path: /}", "route: {host: numbered.localhost}")
    file.write_text(text + f'gateway: {{listen: "127.0.0.1:{home.port}"}}\n')
    home.run("up", "-f", str(file))
    until(lambda: home.get(Host="numbered.localhost").text == "by number", 60, "the page")
    assert len(home.instances("web", "numbered")) == 2


DJANGO = """
import sys
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path

settings.configure(DEBUG=True, SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)
urlpatterns = [path("", lambda request: HttpResponse("django"))]
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""
FLASK = """
from flask import Flask

app = Flask(__name__)
app.add_url_rule("/", "hello", lambda: "flask")
app.run(host="0.0.0.0", port=8000)
"""
DJANGO_DOCKERFILE = """
FROM python:3.7-alpine AS builder
EXPOSE 8000
WORKDIR /app
COPY requirements.txt /app
RUN pip3 install -r requirements.txt --no-cache-dir
COPY . /app
ENTRYPOINT ["python3"]
CMD ["manage.py", "runserver", "0.0.0.0:8000"]
"""
EXPRESS = "require('express')().get('/', (_, to) => to.send('express')).listen(process.env.PORT || 4000)\n"
EXPRESS_DOCKERFILE = """
FROM node:18-slim
RUN apt-get update && apt-get install -y --no-install-recommends curl tini
WORKDIR /usr/local/app
RUN npm install -g nodemon
COPY package*.json ./
RUN npm ci && npm cache clean --force
COPY . .
ENV PORT=80
EXPOSE 80
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["node", "server.js"]
"""
EXPRESS_COMPOSE = """
version: "3"
services:
  result:
    build: ./result
    ports: ["8000:80"]
    volumes: ["./result:/usr/local/app"]
    networks: [front]
networks: {front: }
"""
REAL: dict[str, dict[str, str]] = {
    "flask": {**YAML(typ="safe").load((CASES / "flask.yaml").read_text())["files"], "app/app.py": FLASK},
    "django": {
        "compose.yaml": "services:\n  web:\n    build: {context: app, target: builder}\n    ports: ['8000:8000']\n",
        "app/manage.py": DJANGO,
        "app/requirements.txt": "Django>=4,<6\n",
        "app/Dockerfile": DJANGO_DOCKERFILE,
    },
    "express": {
        "docker-compose.yml": EXPRESS_COMPOSE,
        "result/package.json": '{"name": "result", "dependencies": {"express": "^4"}}',
        "result/server.js": EXPRESS,
        "result/Dockerfile": EXPRESS_DOCKERFILE,
    },
}
"""After docker/awesome-compose (flask, django) and dockersamples/example-voting-app (its page of results)."""


@pytest.mark.full
@pytest.mark.patterns("container")
@pytest.mark.parametrize("name", REAL)
def test_what_well_known_projects_have(home: Home, name: str) -> None:
    ports = {path: text.replace("8000:", f"{home.port}:") for path, text in REAL[name].items() if "ompose" in path}
    brought_up(home, folder(home, REAL[name] | ports))
    assert home.get().text == name
