"""The commands as a user meets them, in the order of a first hour."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.e2e.home import FOURFOLD, Home, web_file
from tests.support.wait import until


def test_the_first_hour(home: Home) -> None:
    file = home.app(web_file(home.port, instances=2, VERSION="one"))
    home.run("validate", "-f", str(file))
    assert home.run("plan", "-f", str(file), "--detailed-exitcode", code=2).stdout.count("create") == 1
    assert "is up" in home.run("up", "-f", str(file), "-m", "the first").stdout
    home.run("plan", "-f", str(file), "--detailed-exitcode", code=0)
    pids = [instance["pid"] for instance in home.instances()]
    home.run("up", "-f", str(file))
    assert [instance["pid"] for instance in home.instances()] == pids, "nothing changed, nothing is done"

    home.run("scale", "-a", "app", "web=3")
    home.run("up", "-f", str(file))
    assert home.service()["desired"] == 3 and home.service()["overrides"] == {"instances": 3}
    home.run("up", "-f", str(file), "--reset")
    assert home.service()["desired"] == 2 and home.service()["overrides"] == {}

    home.get("/log?text=hello-from-a-request")
    until(lambda: "/log" in home.run("logs", "-a", "app", "gateway").stdout, 60, "the access log")
    history = json.loads(home.run("history", "-a", "app", "web", "-o", "json").stdout)
    assert history[0]["message"] == "the first" and history[0]["current"]
    assert "web is well" in home.run("explain", "-a", "app", "web").stdout
    assert len(json.loads(home.run("top", "-a", "app", "-o", "json").stdout)) == 2

    home.run("stop", "-a", "app", "web")
    assert home.service()["stopped"] and home.get().status_code == 503 and "web" in home.get().text
    planned = json.loads(home.run("plan", "-f", str(file), "-o", "json").stdout)
    assert [change["action"] for change in planned["changes"]] == ["start"]
    restarted = home.run("restart", "-a", "app", "web", "web").stderr
    assert restarted.count("release 1 is being deployed") == 1, restarted
    assert home.get().status_code == 200
    home.run("down", "-a", "app", "-y")
    assert json.loads(home.run("apps", "-o", "json").stdout) == []


def test_run_and_exec_pass_the_exit_code_on(home: Home) -> None:
    home.run("up", "-f", str(home.app(web_file(home.port, VERSION="one"))))
    done = home.run("run", "-a", "app", "web", "--", "sh", "-c", "echo $VERSION; exit 9", code=9)
    assert done.stdout.strip() == "one"
    done = home.run(
        "exec", "-a", "app", "web", "--", "sh", "-c", "cat; echo $FOURFOLD_INSTANCE; exit 4", code=4, stdin="in\n"
    )
    assert done.stdout.splitlines() == ["in", home.instances()[0]["id"]]


def test_volumes_are_kept_and_prune_removes(home: Home) -> None:
    text = web_file(home.port, extra="volumes: [{name: data, path: /data}]")
    file = home.app(text)
    home.run("up", "-f", str(file))
    home.run("exec", "-a", "app", "web", "--", "sh", "-c", "echo kept > /data/note")
    home.run("restart", "-a", "app", "web")
    assert home.run("exec", "-a", "app", "web", "--", "cat", "/data/note").stdout == "kept\n"
    renamed = file.read_text().replace("  web:\n", "  site:\n")
    file.write_text(renamed.replace("[{name: data, path: /data}]", "[]"))
    assert "not in the file" in home.run("plan", "-f", str(file), "--prune").stdout
    assert "--prune" in home.run("up", "-f", str(file), code=2).stderr, "its route is still the old one's"
    home.run("up", "-f", str(file), "--prune")
    until(lambda: [service["name"] for service in home.status()["services"]] == ["site"], 60, "the old one to be gone")


def test_down_keeps_and_purge_deletes(home: Home) -> None:
    file = home.app(web_file(home.port, extra="volumes: [{name: data, path: /data}]\nsecrets: [API_KEY]"))
    home.run("secrets", "set", "API_KEY", "-a", "app", stdin="value")
    home.run("up", "-f", str(file))
    home.run("exec", "-a", "app", "web", "--", "touch", "/data/kept")
    home.run("down", "-a", "app", "-y")
    home.run("up", "-f", str(file))
    assert home.run("exec", "-a", "app", "web", "--", "ls", "/data").stdout == "kept\n"
    home.run("down", "-a", "app", "-y", "--purge")
    home.run("secrets", "list", "-a", "app", code=2)
    assert not list((home.home / "state" / "volumes").rglob("kept"))
    assert not (home.home / "state" / "logs" / "app").exists()


def test_services_find_each_other(home: Home) -> None:
    text = web_file(home.port).replace(
        "gateway:",
        "  asker:\n    source: ./web\n    run: exec sleep 1000\n    depends_on: [web]\n"
        "externals:\n  db: {url: 'postgres://db.internal/shop'}\ngateway:",
    )
    home.run("up", "-f", str(home.app(text)))
    ask = "import os, urllib.request as u; print(u.urlopen(os.environ['WEB_URL']).status, os.environ['DB_URL'])"
    done = home.run("exec", "-a", "app", "asker", "--", "python3", "-c", ask)
    assert done.stdout == "200 postgres://db.internal/shop\n"


def test_logs_follow_over_a_restart(home: Home) -> None:
    run = 'run: [sh, -c, "echo begin $$FOURFOLD_INSTANCE; exec python3 web.py"]'
    text = web_file(home.port).replace("run: exec /usr/bin/python3 web.py", run)
    home.run("up", "-f", str(home.app(text)))
    follower = home.start("logs", "-a", "app", "-f", "web")
    try:
        old = home.instances()[0]["id"]
        home.run("restart", "-a", "app", "web")
        new = home.instances()[0]["id"]
        assert follower.stdout is not None
        seen: set[str] = set()
        while not {old, new} <= seen:
            line = follower.stdout.readline()
            assert line, "the follower has ended"
            seen |= {name for name in (old, new) if f"begin {name}" in line}
    finally:
        follower.kill()
        follower.communicate()


def test_gc_keeps_five_releases_and_what_runs(home: Home) -> None:
    file = home.app(web_file(home.port, VERSION="v0"))
    home.run("up", "-f", str(file))
    for number in range(1, 8):
        home.web(file, VERSION=f"v{number}")
        home.run("up", "-f", str(file))
    home.run("rollback", "-a", "app", "web", "--to", "1")
    until(lambda: len(home.instances()) == 1, 60, "the old one to be gone")
    home.run("gc")
    releases = json.loads(home.run("history", "-a", "app", "web", "-o", "json").stdout)
    assert [release["number"] for release in releases] == [8, 7, 6, 5, 4, 1]
    assert home.get().headers["x-version"] == "v0"
    assert "kept are" in home.run("rollback", "-a", "app", "web", "--to", "2", code=2).stderr


APPS = {
    "a web app from PyPI": (
        {"requirements.txt": "moto[server]==5.*\n"},
        "moto_server -H $HOST -p $PORT",
        "/moto-api/",
    ),
    "a web app from npm": (
        {"package.json": '{"name": "x", "version": "1.0.0", "dependencies": {"http-server": "^14.1.1"}}'},
        "http-server . -a $HOST -p $PORT",
        "/package.json",
    ),
}


@pytest.mark.parametrize("name", APPS)
def test_software_that_we_did_not_write(home: Home, name: str) -> None:
    """Five lines are enough for it."""
    files, run, path = APPS[name]
    folder = home.root / "foreign"
    folder.mkdir()
    for file, text in files.items():
        (folder / file).write_text(text)
    if (folder / "package.json").exists():
        subprocess.run(["npm", "install", "--package-lock-only", "--silent"], cwd=folder, check=True, timeout=170)
    text = (
        f"app: foreign\nservices:\n  web: {{source: ., run: {json.dumps(run)}, port: 8000, route: {{path: /}}}}\n"
        f'gateway: {{listen: "127.0.0.1:{home.port}"}}\n'
    )
    assert len(text.splitlines()) <= 5
    (folder / "fourfold.yaml").write_text(text)
    home.run("up", "-f", str(folder / "fourfold.yaml"))
    assert home.get(path).status_code == 200


def test_init_makes_a_file_that_works(home: Home) -> None:
    folder = home.root / "fresh"
    (folder / "site").mkdir(parents=True)
    (folder / "site" / "index.html").write_text("<h1>hello</h1>")
    done = subprocess.run([FOURFOLD, "init"], cwd=folder, env=home.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    file = folder / "fourfold.yaml"
    file.write_text(file.read_text() + f'\ngateway: {{listen: "127.0.0.1:{home.port}"}}\n')
    home.run("up", "-f", str(file))
    until(lambda: home.get("/").status_code == 200 or home.get("/site").status_code == 200, 60, "the page")


def test_a_home_inside_of_a_source_is_no_part_of_it(home: Home) -> None:
    home.environ["FOURFOLD_HOME"] = str(home.root / "app" / "web" / ".local")
    file = home.app(web_file(home.port, VERSION="one"))
    home.run("up", "-f", str(file))
    home.run("up", "-f", str(file))
    assert home.service()["release"] == 1 and home.get().headers["x-version"] == "one"
