"""Members of Python groups: which app a command line serves, and what is built of them; without building anything."""

from __future__ import annotations

from typing import Any

import pytest

from fourfold.build.function import as_function
from fourfold.build.group import as_group, as_guest
from fourfold.build.kinds.python import alone
from fourfold.build.kinds.pythonapps import app_in
from fourfold.errors import UserError
from fourfold.spec.groups import Group
from fourfold.spec.model import Service

from .helpers import HOST, listing


def member(mode: str = "mounted", **given: Any) -> Service:
    service = Service.model_validate({"pattern": "shared", "port": 8000, **given})
    return service.model_copy(
        update={"shared": service.shared.model_copy(update={"kind": "python", "group": "py", "mode": mode})}
    )


@pytest.mark.parametrize(
    ("command", "target", "folders"),
    [
        ("uvicorn app:app --host 0.0.0.0 --port $PORT", "app:app", ()),
        ("exec uvicorn --factory shop.main:create --app-dir src", "shop.main:create()", ("src",)),
        ("uvicorn --workers 4 shop.main:app", "shop.main:app", ()),
        ("/app/.venv/bin/python -m uvicorn main:app", "main:app", ()),
        (["uv", "run", "uvicorn", "main:app"], "main:app", ()),
        ("LEVEL=1 gunicorn -w 2 -k uvicorn.workers.UvicornWorker -b 0.0.0.0:$PORT shop.web:app", "shop.web:app", ()),
        ("gunicorn -b unix:app.sock -c python:shop.conf shop.web:app", "shop.web:app", ()),
        ("hypercorn --config file:hypercorn.toml --bind unix:app.sock main:app", "main:app", ()),
        ("gunicorn --chdir=web 'wsgi:create_app()'", "wsgi:create_app()", ("web",)),
        ("gunicorn shop.wsgi", "shop.wsgi:application", ()),
        ("gunicorn shop.wsgi -c gunicorn.conf.py", "shop.wsgi:application", ()),
        ("hypercorn --bind :8000 main", "main:app", ()),
        ("waitress-serve --port=8000 --call main:create", "main:create()", ()),
        ("python3 -m waitress main:app.wsgi", "main:app.wsgi", ()),
    ],
)
def test_which_app_a_command_line_serves(command: str | list[str], target: str, folders: tuple[str, ...]) -> None:
    found = app_in(command)
    assert (found.target, found.folders) == (target, folders)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("python app.py", "it does not start uvicorn, gunicorn, hypercorn or waitress-serve"),
        ("./migrate && uvicorn app:app", "it is more than one command"),
        ("gunicorn \"app:create('x')\"", "it names no module:attribute"),
        ("uvicorn app", "it names no module:attribute"),
        ("gunicorn -c gunicorn.conf.py", "it names no module:attribute"),
        ("gunicorn -k gthread", "it names no module:attribute"),
        ("uvicorn 'app:app", "No closing quotation"),
        ("", "it does not start"),
    ],
)
def test_command_lines_that_do_not_say(command: str, why: str) -> None:
    with pytest.raises(UserError, match="cannot tell from `run` which app it serves") as caught:
        app_in(command)
    assert why in str(caught.value) and caught.value.hint == "say `shared: {app: module:attribute}`"


def test_what_of_a_command_line_is_not_taken_is_told() -> None:
    found = app_in("gunicorn -w 4 --timeout 30 --bind :80 app:app")
    assert found.notes == ("Of `run`, app:app is taken; not -w, --timeout: the group's host serves it.",)


def test_variables_in_front_are_set() -> None:
    run = "LEVEL='1 2' DEBUG= PYTHONPATH=lib:src PORT=${PORT:-80} uv run gunicorn app:app"
    found = app_in(run)
    assert (found.env, found.folders) == ({"LEVEL": "1 2", "DEBUG": ""}, ("lib", "src"))
    assert found.notes == ("Of `run`, app:app is taken; not PORT=: the group's host serves it.",)
    files = {"app.py": "", "src/tools.py": ""}
    plan = as_guest(listing(files), member(run=run), HOST)
    assert (plan.env["LEVEL"], plan.env["DEBUG"], plan.argv) == ("1 2", "", ("app:app", "/app/src", "/app"))
    with pytest.raises(UserError, match="cannot tell the value of LEVEL"):
        as_guest(listing(files), member(run=run, env={"LEVEL": "3"}), HOST)


@pytest.mark.parametrize(
    ("files", "given", "argv"),
    [
        ({"app.py": ""}, {"shared": {"app": "app:app"}}, ("app:app", "/app")),
        ({"app.py": "", "Procfile": "web: gunicorn app:app"}, {}, ("app:app", "/app")),
        ({"src/shop/__init__.py": ""}, {"run": "uvicorn shop:app"}, ("shop:app", "/app", "/app/src")),
        ({"web/main.py": ""}, {"run": "uvicorn main:app --app-dir ./web/"}, ("main:app", "/app/web", "/app")),
        (
            {"app.py": "", "requirements.txt": "flask"},
            {"run": "gunicorn app:app"},
            ("app:app", "/app", "/app/.venv/lib/python3.11/site-packages"),
        ),
    ],
)
def test_what_a_member_is_told_to_run(files: dict[str, str], given: dict[str, Any], argv: tuple[str, ...]) -> None:
    assert as_guest(listing(files), member(**given), HOST).argv == argv


@pytest.mark.parametrize(
    ("files", "given", "why"),
    [
        ({"app.py": ""}, {}, "cannot find its app: it has neither `shared.app` nor a `run`"),
        ({"app.py": ""}, {"run": "uvicorn main:app"}, "cannot find the module 'main' of main:app"),
        ({"app.py": "", "requirements.txt": "Django==5.1\n"}, {"run": "gunicorn app:app"}, "Django's settings"),
        ({"app.py": ""}, {"run": "gunicorn -k gevent app:app"}, "gevent replaces the sockets"),
        ({"app.py": ""}, {"run": "uvicorn app:app", "runtime": "nodejs20"}, "cannot run nodejs20 in a group of kind"),
        ({"app.py": ""}, {"function": {"handler": "app.handler"}}, "cannot run a handler in a group"),
    ],
)
def test_what_cannot_be_a_member(files: dict[str, str], given: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError) as caught:
        as_guest(listing(files), member(**given), HOST)
    assert why in caught.value.what and caught.value.hint


def test_django_can_be_forked() -> None:
    files = {"shop/wsgi.py": "", "requirements.txt": "Django==5.1\n"}
    plan = as_guest(listing(files), member("forked", run="gunicorn shop.wsgi"), HOST)
    assert plan.argv is not None and plan.argv[0] == "shop.wsgi:application"


def test_the_host_program_is_one_layer_and_our_files() -> None:
    plan = as_group(Group(kind="python").as_host(), HOST)
    assert plan.argv == ("/usr/bin/python3.11", "-Es", "/app/.fourfold/host")
    assert [layer.keep for layer in plan.layers] == [(".fourfold/host/lib",)]
    assert {".fourfold/host/__main__.py", ".fourfold/host/fourfold_host/mounted.py"} <= plan.files.keys()
    other = as_group(Group(kind="python", runtime="python3.13").as_host(), HOST)
    assert other.argv is not None and other.argv[0] == "/usr/bin/python3.13"
    with pytest.raises(UserError, match="cannot run a group of kind python with nodejs20"):
        as_group(Group(kind="python", runtime="nodejs20").as_host(), HOST)


def test_a_member_without_a_run_is_served_by_the_same_program_elsewhere() -> None:
    service = Service.model_validate({"port": 8000, "shared": {"app": "app:app"}})
    plan = alone(listing({"app.py": "", "requirements.txt": "flask"}), service, HOST)
    assert plan.argv == (
        "/app/.venv/bin/python", "-Es", "/app/.fourfold/host", "--alone",
        "app:app", "/app", "/app/.venv/lib/python3.11/site-packages",
    )  # fmt: skip
    assert [layer.keep for layer in plan.layers] == [(".venv",), (".fourfold/host/lib",)]
    adapted = as_function(listing({"app.py": "", "requirements.txt": "flask"}), service, HOST)
    assert adapted.function is not None and adapted.function.argv[4:] == plan.argv
