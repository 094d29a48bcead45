from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.errors import ConflictError, SpecError, UserError
from fourfold.spec.app import App
from fourfold.spec.load import load
from fourfold.spec.model import FixedPort
from fourfold.spec.parse import parse
from fourfold.spec.starting.draft import draft
from fourfold.spec.starting.finds import PROGRAMS, READ, Listing, find, free_name
from fourfold.spec.starting.init import gather, init

FACTORY = "def create_app({}):\n    app = {}(__name__)\n\n    return app\n"


def drafted(name: str, files: dict[str, str]) -> App:
    return parse([("fourfold.yaml", draft(Listing(name, frozenset(files), files)))], {})


def scripts(start: str, build: str | None = None) -> str:
    return json.dumps({"scripts": {"start": start} | ({"build": build} if build else {})})


def told(app: App) -> dict[str, tuple[str, object, object]]:
    """Service -> source, run (or what is static), port."""
    return {
        name: (
            service.source,
            service.static.dir if service.static else service.run,
            service.port.fixed if isinstance(service.port, FixedPort) else service.port,
        )
        for name, service in app.services.items()
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"index.html": ""}, {"my-app": (".", ".", 8080)}),
        ({"go.mod": "", "main.go": "http.ListenAndServe()"}, {"my-app": (".", None, 8080)}),
        ({"go.mod": "", "cmd/web/main.go": "http.ListenAndServe()"}, {"my-app": (".", None, 8080)}),
        ({"config.ru": "run App"}, {"my-app": (".", None, 8080)}),
        ({"Gemfile": "", "app.rb": "Port: ENV['PORT']"}, {"my-app": (".", None, 8080)}),
        ({"pom.xml": "spring-boot-starter-web"}, {"my-app": (".", None, 8080)}),
        ({"shop.jar": ""}, {"my-app": ("./shop.jar", None, 8080)}),
        ({"Gemfile": "gem 'sinatra'"}, {"my-app": (".", None, 8080)}),
        ({"requirements.txt": "requests", "main.py": "print(1)"}, {"my-app": (".", None, None)}),
        (
            {"requirements.txt": "fastapi", "main.py": "api = FastAPI()"},
            {"my-app": (".", "uvicorn main:api --host $HOST --port $PORT", 8080)},
        ),
        (
            {"pyproject.toml": "flask", "app.py": "app: Flask = Flask(__name__)"},
            {"my-app": (".", "flask --app app:app run --host $HOST --port $PORT", 8080)},
        ),
        (
            {"requirements.txt": "fastapi[standard]", "app/main.py": "app = FastAPI()", "app/__init__.py": ""},
            {"my-app": (".", "uvicorn app.main:app --host $HOST --port $PORT", 8080)},
        ),
        (
            {"pyproject.toml": "[build-system]\nfastapi", "src/acme/main.py": "api = FastAPI()"},
            {"my-app": (".", "uvicorn acme.main:api --host $HOST --port $PORT", 8080)},
        ),
        ({"pyproject.toml": "fastapi", "src/acme/main.py": "api = FastAPI()"}, {"my-app": (".", None, 8080)}),
        (
            {"requirements.txt": "flask", "a/app.py": "app = Flask('a')", "b/app.py": "app = Flask('b')"},
            {"my-app": (".", None, 8080)},
        ),
        ({"shop.war": "", "ROOT.war": ""}, {"shop": ("./shop.war", None, 8080), "root": ("./ROOT.war", None, 8080)}),
        ({"wars/shop.war": ""}, {"shop": ("./wars/shop.war", None, 8080)}),
        (
            {"requirements.txt": "Django", "manage.py": ""},
            {"my-app": (".", "python manage.py runserver --noreload $HOST:$PORT", 8080)},
        ),
        (
            {
                "requirements.txt": "Django\ngunicorn",
                "manage.py": "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'my.site.settings')",
            },
            {"my-app": (".", "gunicorn my.site.wsgi -b $HOST:$PORT", 8080)},
        ),
        (
            {"requirements.txt": "flask\ngunicorn==23", "wsgi.py": "application = Flask(__name__)"},
            {"my-app": (".", "gunicorn wsgi:application -b $HOST:$PORT", 8080)},
        ),
        (
            {"requirements.txt": "flask", "blog/__init__.py": FACTORY.format("test_config=None", "Flask")},
            {"my-app": (".", "flask --app blog:create_app run --host $HOST --port $PORT", 8080)},
        ),
        (
            {"requirements.txt": "flask\ngunicorn", "blog/__init__.py": FACTORY.format("", "Flask")},
            {"my-app": (".", 'gunicorn "blog:create_app()" -b $HOST:$PORT', 8080)},
        ),
        (
            {"requirements.txt": "fastapi", "blog/main.py": FACTORY.format("", "FastAPI"), "blog/__init__.py": ""},
            {"my-app": (".", "uvicorn blog.main:create_app --factory --host $HOST --port $PORT", 8080)},
        ),
        (
            {"requirements.txt": "flask", "blog/__init__.py": FACTORY.format("config", "Flask")},
            {"my-app": (".", None, 8080)},
        ),
        (
            {
                "requirements.txt": "Flask",
                "wsgi.py": "from blog import create_app\napp = create_app()",
                "blog/__init__.py": FACTORY.format("", "Flask"),
            },
            {"my-app": (".", "flask --app wsgi:app run --host $HOST --port $PORT", 8080)},
        ),
        (
            {
                "requirements.txt": "flask",
                "blog/app.py": "app = Flask(__name__)",
                "blog/__init__.py": FACTORY.format("", "Flask"),
            },
            {"my-app": (".", "flask --app blog.app:app run --host $HOST --port $PORT", 8080)},
        ),
        (
            {"package.json": '{"scripts": {"start": "x"}, "dependencies": {"express": "4"}}'},
            {"my-app": (".", None, 8080)},
        ),
        (
            {"package.json": '{"scripts": {"start": "json-server --watch db.json --port 3000"}}'},
            {"my-app": (".", "json-server --watch db.json --port $PORT", 3000)},
        ),
        ({"package.json": '{"scripts": {"start": "A=1 npx json-server db.json"}}'}, {"my-app": (".", None, 8080)}),
        ({"package.json": '{"scripts": {"start": "node next.js"}}'}, {"my-app": (".", None, None)}),
        ({"package.json": '{"scripts": {"build": "vite build"}}'}, {"my-app": (".", "dist", 8080)}),
        ({"package.json": scripts("react-scripts start", "react-scripts build")}, {"my-app": (".", "build", 8080)}),
        ({"package.json": scripts("vite preview --port 3000", "vite build")}, {"my-app": (".", "dist", 8080)}),
        ({"package.json": scripts("ng serve", "ng build")}, {"my-app": (".", "dist", 8080)}),
        (
            {
                "package.json": scripts("ng serve", "ng build"),
                "angular.json": """{"projects": {
                    "lib": {"projectType": "library"},
                    "shop": {"architect": {"build": {"builder": "@angular/build:application"}}}
                }}""",
            },
            {"my-app": (".", "dist/shop/browser", 8080)},
        ),
        (
            {
                "package.json": scripts("ng serve", "ng build"),
                "angular.json": """{"projects": {"shop": {"architect": {"build": {
                    "builder": "@angular-devkit/build-angular:browser", "options": {"outputPath": "out/shop"}
                }}}}}""",
            },
            {"my-app": (".", "out/shop", 8080)},
        ),
        ({"package.json": scripts("react-scripts start")}, {"my-app": (".", None, 8080)}),
        (
            {"package.json": scripts("react-scripts start", "x"), "Procfile": "web: node server.js"},
            {"my-app": (".", None, 8080)},
        ),
        ({"package.json": "not json", "server.js": "s.listen(1)"}, {"my-app": (".", None, 8080)}),
        (
            {
                "Procfile": "web: ./serve $PORT\nworker: ./work: hard\nrelease: ./x\n",
                "Dockerfile": "FROM x\nexpose 5000\n",
            },
            {"my-app": (".", None, 5000), "my-app-worker": (".", "./work: hard", None)},
        ),
        (
            {"api/requirements.txt": "flask", "web/package.json": '{"main": "i.js"}', "web/server.js": ".listen("},
            {"api": ("./api", None, 8080), "web": ("./web", None, 8080)},
        ),
        ({"a_b/index.html": "", "a-b/index.html": ""}, {"a-b": ("./a-b", ".", 8080), "a-b-2": ("./a_b", ".", 8080)}),
        (
            {
                "package.json": '{"workspaces": ["./packages/*", "site"], "main": "i.js"}',
                "packages/api/package.json": '{"scripts": {"start": "node ."}, "dependencies": {"koa": "2"}}',
                "packages/job/package.json": '{"scripts": {"start": "A=1 node j.js"}}',
                "packages/lib/package.json": '{"main": "index.js"}',
                "packages/old/package.json": '{"main": "m.js", "dependencies": {"express": "4"}}',
                "site/package.json": '{"scripts": {"build": "vite build"}}',
                "other/package.json": '{"scripts": {"start": "x"}}',
            },
            {
                "api": (".", "cd packages/api && exec node .", 8080),
                "job": (".", "cd packages/job && A=1 node j.js", None),
                "old": (".", "cd packages/old && exec node m.js", 8080),
                "site": (".", "site/dist", 8080),
            },
        ),
        ({"package.json": '{"workspaces": ["x"], "main": "i.js"}'}, {"my-app": (".", None, None)}),
        (
            {"services/a/go.mod": "", "services/b/worker.py": "", "services/c/d/e/go.mod": ""},
            {"a": ("./services/a", None, None), "b": ("./services/b", "python worker.py", None)},
        ),
        ({"package.json": '{"name": "tools"}', "a/go.mod": ""}, {"a": ("./a", None, None)}),
        ({"Dockerfile": "EXPOSE 80", "a/go.mod": ""}, {"a": ("./a", None, None)}),
    ],
)
def test_what_is_found(files: dict[str, str], expected: dict[str, tuple[str, object, object]]) -> None:
    assert told(drafted("My App", files)) == expected


@pytest.mark.parametrize(
    ("package", "run"),
    [
        ({"scripts": {"start": "next start -p 3000", "build": "next build"}}, "next start -p $PORT"),
        ({"scripts": {"start": "node dist/main.js", "build": "tsc"}}, None),
        ({"scripts": {"build": "tsc"}, "main": "./dist/main.js"}, None),
        ({"scripts": {"start": "nest start", "start:prod": "node dist/main", "build": "nest build"}}, "node dist/main"),
    ],
)
def test_what_starts_from_what_was_built_is_built(package: dict[str, object], run: str | None) -> None:
    shop = drafted("shop", {"package.json": json.dumps(package)}).services["shop"]
    assert (shop.run, shop.build) == (run, "npm ci && npm run build")


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        ({}, ["# web:", "#   source: ./web"]),
        ({"Dockerfile": "EXPOSE 5000"}, ["# my-app:    ", "found by Dockerfile", "#   source: .\n", "#   port: 5000"]),
        ({"package.json": "{}", "api.js": ""}, ["# my-app:    ", "found by package.json", "#   run: node index.js"]),
        ({"a/src/Main.java": ""}, ["# a:    ", "#   source: ./a", "javac", "#   run: java -cp classes Main"]),
    ],
)
def test_what_cannot_be_started_as_it_is_is_shown(files: dict[str, str], shown: list[str]) -> None:
    text = draft(Listing("my-app", frozenset(files), files))
    with pytest.raises(SpecError) as caught:
        parse([("fourfold.yaml", text)], {})
    assert [problem.message for problem in caught.value.problems] == ["`services` is missing: expected a map"]
    assert all(part in text for part in shown), text
    told = re.sub("(?m)^  # (?!Nothing)", "  ", text[text.index("services:") : text.index("\n# gateway")])
    parse([("fourfold.yaml", "app: a\n" + told)], {})


def test_web_applications_answer_under_the_path_of_their_route() -> None:
    app = drafted("x", {"shop.war": "", "ROOT.war": ""})
    assert [(route.path, route.strip) for each in app.services.values() for route in each.route] == [
        ("/", False),
        ("/shop", False),
    ]


def test_what_is_unsure_stands_beside_what_is_found() -> None:
    files = {"a/go.mod": "", "orders/src/Orders.java": ""}
    assert told(drafted("x", files)) == {"a": ("./a", None, None)}
    assert "  # orders:" in draft(Listing("x", frozenset(files), files))


def test_the_example_shop(tmp_path: Path) -> None:
    """Without its file: all but the JAR, which no description says how to build."""
    shop = tmp_path / "shop"
    shutil.copytree(Path(__file__).parents[2] / "examples/shop", shop, ignore=shutil.ignore_patterns("*.yaml"))
    text = init(shop).path.read_text()
    assert set(parse([("fourfold.yaml", text)], {}).services) == {"catalog", "docs", "storefront", "worker"}
    assert "  # orders:" in text


def test_one_service_gets_the_front_route() -> None:
    app = drafted("shop", {"api/index.html": "", "storefront/index.html": "", "docs/index.html": ""})
    routes = {name: service.route[0].path for name, service in app.services.items()}
    assert routes == {"api": "/api", "docs": "/docs", "storefront": "/"}


@settings(max_examples=200, deadline=None)
@given(
    st.text(),
    st.dictionaries(
        st.tuples(
            st.text(max_size=12).map(lambda text: text.replace("/", "")), st.sampled_from([*READ, *PROGRAMS, "a.jar"])
        ).map(lambda parts: "/".join(filter(None, parts))),
        st.sampled_from(
            ["", "web: ${X} $$ 'q\" # :\nb: \ud83d", "EXPOSE 99999", '{"scripts": {"build": 1}}', "flask\nfastapi"]
        ),
        max_size=6,
    ),
)
def test_a_draft_loads_when_something_was_found(name: str, files: dict[str, str]) -> None:
    listing = Listing(name, frozenset(files), files)
    if any(found.sure for found in find(listing)):
        assert drafted(name, files).services
        return
    with pytest.raises(SpecError) as caught:
        drafted(name, files)
    assert ["`services` is missing" in problem.message for problem in caught.value.problems] == [True]


def test_init_writes_once_and_it_loads(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "requirements.txt").write_text("flask\n")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "package.json").write_text("{}")
    (tmp_path / "again").symlink_to(tmp_path / "api")
    path = init(tmp_path).path
    assert list(load(path, env=None, environ={}).app.services) == ["api"]
    before = path.read_text()
    with pytest.raises(ConflictError, match="it is there already"):
        init(tmp_path)
    assert path.read_text() == before


def test_gather_is_bounded_and_reads_only_what_tells_something(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("x" * 100_000)
    (tmp_path / "secret.txt").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    listing = gather(tmp_path)
    assert len(listing.texts["package.json"]) == 64 * 1024
    assert "secret.txt" not in listing.texts
    with pytest.raises(UserError, match="cannot look into"):
        gather(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "taken", "free"),
    [
        ("web", (), "web"),
        ("web", ("web",), "web-2"),
        ("web", ("web", "web-2", "web-3"), "web-4"),
        ("w" * 40, ("w" * 40, "w" * 36 + "-2"), "w" * 36 + "-3"),
    ],
)
def test_free_names(name: str, taken: tuple[str, ...], free: str) -> None:
    assert free_name(name, taken) == free
