"""How each kind of source is built and run: a table of sources, and what must come of them."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fourfold.build.build import BuildRequest
from fourfold.build.detect import detect
from fourfold.build.model import BuildPlan, Host, Runtime
from fourfold.errors import UserError
from fourfold.spec.model import Service

from .helpers import HOST, Home, listing, write

PKG: dict[str, Any] = {"name": "x", "version": "1.0.0"}


def node(**keys: Any) -> str:
    return json.dumps({**PKG, **keys})


def plan(files: dict[str, str], main_class: str | None = None, host: Host = HOST, **spec: Any) -> BuildPlan:
    return detect(listing(files, main_class), Service.model_validate(spec), host)


PYPROJECT = (
    '[project]\nname="shop"\nversion="1"\n[build-system]\nrequires=["hatchling"]\nbuild-backend="hatchling.build"\n'
)

QUOTED = "a 'b && c' \"${D:-;}\" 2>&1"
STATIC = ("/usr/bin/python3.11", "-I", "/app/.fourfold/static.py")
ARGV: list[tuple[str, dict[str, str], dict[str, Any], tuple[str, ...]]] = [
    ("app.py", {"app.py": ""}, {}, ("/app/.fourfold/bin/python", "app.py")),
    ("one py file", {"report.py": ""}, {}, ("/app/.fourfold/bin/python", "report.py")),
    ("requirements", {"requirements.txt": "bottle", "main.py": ""}, {}, ("/app/.venv/bin/python", "main.py")),
    ("no requirements", {"requirements.txt": "# none\n", "main.py": ""}, {}, ("/app/.fourfold/bin/python", "main.py")),
    ("package", {"shop/__main__.py": "", "shop/__init__.py": ""}, {}, ("/app/.fourfold/bin/python", "-m", "shop")),
    ("src package", {"src/shop/__main__.py": ""}, {}, ("/app/.fourfold/bin/python", "-m", "shop")),
    (
        "console script",
        {"pyproject.toml": PYPROJECT + '[project.scripts]\nshopd="shop:main"\n', "shop/__init__.py": ""},
        {},
        ("/app/.venv/bin/shopd",),
    ),
    ("node start", {"package.json": node(scripts={"start": "node x.js"})}, {}, ("/bin/sh", "-c", "exec node x.js")),
    ("node main", {"package.json": node(main="lib/a.js"), "lib/a.js": ""}, {}, ("/usr/bin/env", "node", "lib/a.js")),
    ("server.js", {"server.js": ""}, {}, ("/usr/bin/env", "node", "server.js")),
    ("ruby", {"app.rb": ""}, {}, ("/usr/bin/ruby3.1", "app.rb")),
    ("gems", {"Gemfile": "", "app.rb": ""}, {}, ("/usr/bin/env", "bundle", "exec", "/usr/bin/ruby3.1", "app.rb")),
    ("rack", {"config.ru": ""}, {}, ("/bin/sh", "-c", 'exec rackup --host "$HOST" --port "$PORT"')),
    (
        "puma",
        {"Gemfile": "gem 'puma'", "config.ru": ""},
        {},
        ("/bin/sh", "-c", 'exec bundle exec puma -b "tcp://$HOST:$PORT"'),
    ),
    ("go", {"go.mod": "module x", "main.go": ""}, {}, ("/app/.fourfold/bin/app",)),
    ("procfile web", {"Procfile": "web: a $PORT\nworker: b\n"}, {"port": 80}, ("/bin/sh", "-c", "exec a $PORT")),
    ("procfile worker", {"Procfile": "web: a\nworker: b\n"}, {}, ("/bin/sh", "-c", "exec b")),
    ("run beats all", {"Procfile": "web: a", "app.py": ""}, {"run": "x y"}, ("/bin/sh", "-c", "exec x y")),
    ("run list", {"x": ""}, {"run": ["/bin/a b", "c"]}, ("/bin/a b", "c")),
    ("run compound", {"x": ""}, {"run": "cd a && ./b"}, ("/bin/sh", "-c", "cd a && ./b")),
    ("run quoted", {"x": ""}, {"run": QUOTED}, ("/bin/sh", "-c", f"exec {QUOTED}")),
    ("run assignment", {"x": ""}, {"run": "A=1 b"}, ("/bin/sh", "-c", "A=1 b")),
    ("executable", {"tool": "#!/bin/sh\n"}, {}, ("/app/tool",)),
    ("elf", {"tool": "\x7fELF\0"}, {}, ("/app/tool",)),
    ("a page with app.js", {"index.html": "", "app.js": ""}, {}, (*STATIC, "/app")),
    (
        "static",
        {"dist/index.html": ""},
        {"static": {"dir": "dist", "fallback": "index.html"}},
        (*STATIC, "/app/dist", "--fallback", "index.html"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("files", "spec", "argv"), [case[1:] for case in ARGV], ids=[case[0] for case in ARGV])
def test_what_is_run(files: dict[str, str], spec: dict[str, Any], argv: tuple[str, ...]) -> None:
    assert plan(files, **spec).argv == argv


def test_a_jar_is_run_by_its_java() -> None:
    made = plan({"orders.jar": "PK"}, main_class="Main")
    assert made.argv == ("/usr/lib/jvm/java-17/bin/java", "-jar", "/app/orders.jar")
    assert made.env["JAVA_HOME"] == "/usr/lib/jvm/java-17"
    assert not made.steps


def test_a_server_that_needs_no_build_has_no_steps() -> None:
    made = plan({"a.txt": ""}, run="/usr/bin/python3 -m http.server $PORT")
    assert (made.layers, made.steps, made.files, made.links, made.runtime) == ((), (), {}, {}, None)


def test_plain_python_gets_a_python_on_its_path() -> None:
    made = plan({"shop/__init__.py": ""}, run="python -m shop")
    assert made.links == {f".fourfold/bin/{name}": "/usr/bin/python3.11" for name in ("python", "python3")}
    assert made.env["PATH"] == "/app/.fourfold/bin:/usr/local/bin:/usr/bin:/bin"


def test_python_dependencies_are_a_layer_of_their_files_alone() -> None:
    files = {
        "requirements.txt": "-r more/base.txt\nbottle",
        "more/base.txt": "-c ../limits.txt",
        "limits.txt": "",
        "app.py": "",
    }
    (layer,) = plan(files).layers
    assert layer.files == ("limits.txt", "more/base.txt", "requirements.txt")
    assert layer.keep == (".venv",)
    assert [step.network for step in layer.steps] == [False, True, True]


@pytest.mark.parametrize(
    "line", ["-e .", "./lib", "lib/", "wheels/x-1-py3-none-any.whl", "-f ./wheels", "shop @ file:./lib", "."]
)
def test_local_python_dependencies_depend_on_the_whole_source(line: str) -> None:
    (layer,) = plan({"requirements.txt": line, "app.py": ""}).layers
    assert layer.files is None


LOCKED = """
version = 1
[[package]]
name = "shop"
[package.metadata]
requires-dist = [
    {name = "bottle", specifier = ">=0.12,<1"},
    {name = "lib", directory = "lib"},
    {name = "six", marker = "extra == 'more'"},
]
"""
ASKS = '[project]\nname="shop"\nversion="1"\ndependencies=['


@pytest.mark.parametrize(
    ("asked", "stale"),
    [
        ('"Bottle<1.0, >=0.12", "lib"', None),
        ('"bottle>=0.12,<1", "lib", "Flask"', "flask"),
        ('"bottle>=0.12,<1"', "lib"),
        ('"bottle>=0.13,<1", "lib"', "bottle"),
    ],
)
def test_a_uv_lock_must_fit_the_project(asked: str, stale: str | None) -> None:
    files = {"pyproject.toml": f"{ASKS}{asked}]\n", "uv.lock": LOCKED, "app.py": ""}
    if stale is None:
        assert plan(files).layers[0].files == ("pyproject.toml", "uv.lock")
        return
    with pytest.raises(UserError) as caught:
        plan(files)
    assert caught.value.what == f"cannot use uv.lock: it does not fit pyproject.toml ({stale})"


def test_requirements_without_any_leave_it_to_the_project() -> None:
    files = {"pyproject.toml": ASKS + '"bottle"]\n', "requirements.txt": "# see pyproject.toml\n", "app.py": ""}
    assert plan(files).layers[0].files == ("pyproject.toml",)


@pytest.mark.parametrize("name", ["poetry.lock", "Pipfile.lock", "pdm.lock", "pylock.toml"])
def test_locks_that_are_not_used_are_told(name: str) -> None:
    told = plan({"requirements.txt": "bottle", "app.py": "", name: ""}).notes
    assert f"{name} is not used: the versions come from requirements.txt" in told[0]


@pytest.mark.parametrize(
    ("asked", "spec", "runtime"),
    [
        (">=3.11", {}, "python3.11"),
        (">=3.11.4", {}, "python3.11"),
        (">=3.12", {}, "python3.13"),
        ("==3.13.*", {"runtime": "python3.13"}, "python3.13"),
        (">=3.12", {"runtime": "python3.11"}, None),
        (">=3.14", {}, None),
        ("new", {}, None),
    ],
)
def test_requires_python_is_kept(asked: str, spec: dict[str, Any], runtime: str | None) -> None:
    files = {"pyproject.toml": f'[project]\nname="shop"\nversion="1"\nrequires-python="{asked}"\n', "app.py": ""}
    if runtime is not None:
        made = plan(files, **spec).runtime
        assert made is not None and made.name == runtime
        return
    with pytest.raises(UserError, match="requires-python"):
        plan(files, **spec)


@pytest.mark.parametrize(
    ("content", "why"),
    [("bottle\n".encode("utf-16"), "it is not UTF-8"), (b"#" * (16 * 1024**2 + 1), "larger than 16 MiB")],
)
def test_a_file_that_decides_and_cannot_be_read_is_refused(home: Home, source: Path, content: bytes, why: str) -> None:
    write(source, {"app.py": ""})
    (source / "requirements.txt").write_bytes(content)
    with pytest.raises(UserError, match=rf"web: cannot read requirements.txt: .*{why}"):
        asyncio.run(home.builder.plan(BuildRequest("shop", "web", Service(), home.send(source))))


def test_a_runtime_that_was_installed_meanwhile_is_found(
    home: Home, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.root.chmod(0o755)
    (home.root / "bin").mkdir()
    monkeypatch.setattr("fourfold.build.host._SYSTEM", (str(home.root / "bin"), "/usr/bin"))
    write(source, {"app.py": ""})
    request = BuildRequest("shop", "web", Service(runtime="python3.99"), home.send(source))

    async def install() -> None:
        with pytest.raises(UserError, match=r"cannot use python3\.99"):
            await home.builder.plan(request)
        program = home.root / "bin/python3.99"
        program.touch()
        program.chmod(0o755)
        made = await home.builder.plan(request)
        assert made.runtime is not None and made.runtime.path == str(program)
        monkeypatch.setattr("fourfold.build.build.find_host", None)
        await home.builder.plan(request)

    asyncio.run(install())


def test_a_linked_file_that_decides_is_refused(home: Home, source: Path) -> None:
    write(source, {"app.py": "", "base.txt": "bottle"})
    (source / "requirements.txt").symlink_to("base.txt")
    with pytest.raises(UserError, match=r"requirements\.txt: it is a link"):
        asyncio.run(home.builder.plan(BuildRequest("shop", "web", Service(), home.send(source))))


def test_a_large_lock_with_hashes_is_read(home: Home, source: Path) -> None:
    write(source, {"app.py": "", "requirements.txt": "bottle\n" + "# hash\n" * 60_000})
    made = asyncio.run(home.builder.plan(BuildRequest("shop", "web", Service(), home.send(source))))
    assert made.layers[0].files == ("requirements.txt",)


def test_the_project_itself_is_built_without_network() -> None:
    made = plan({"pyproject.toml": PYPROJECT, "src/shop/__init__.py": ""}, run="shopd")
    assert [step.network for step in made.steps] == [False]
    assert made.drop == (".fourfold/backend",)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"pnpm-lock.yaml": ""}, "pnpm-lock.yaml is not used: npm resolves"),
        ({"yarn.lock": "__metadata:\n  version: 8\n"}, "yarn.lock is not used: npm resolves"),
        ({"bun.lock": "", "package-lock.json": "{}"}, "bun.lock is not used: versions come from package-lock.json"),
        ({"yarn.lock": "# yarn lockfile v1\n"}, None),
    ],
)
def test_locks_of_other_package_managers_are_told(files: dict[str, str], told: str | None) -> None:
    made = plan({"package.json": node(dependencies={"ms": "2.1.3"}), "server.js": "", **files})
    assert [note for note in made.notes if "not used" in note and str(told) in note] == list(
        made.notes[: told is not None]
    )
    assert ("yarn.lock" in (made.layers[0].files or ())) is (told is None)


def test_a_node_below_somebodys_home_is_on_the_path() -> None:
    own = Host(runtimes={"nodejs22": Runtime("nodejs22", "/home/me/.nvm/v22/bin/node", "22.1.0")})
    made = plan({"server.js": ""}, host=own)
    assert made.env["PATH"] == "/app/node_modules/.bin:/home/me/.nvm/v22/bin:/usr/local/bin:/usr/bin:/bin"


def test_a_build_without_any_language_has_no_empty_folder_on_its_path() -> None:
    (step,) = plan({"a": ""}, build="make", run="./a").steps
    assert "PATH" not in step.env


@pytest.mark.parametrize(
    ("build", "package", "refused"),
    [
        ("yarn build", {}, "cannot run `yarn` in `build`"),
        ("npm ci && NODE_ENV=x pnpm run build", {}, "cannot run `pnpm` in `build`"),
        ("yarn build", {"devDependencies": {"yarn": "1.22.22"}}, None),
        ("echo yarn", {}, None),
        ("npm run build", {"dependencies": {"lib": "workspace:*"}}, "cannot install lib@workspace:*"),
    ],
)
def test_other_package_managers_are_refused_with_a_way_out(
    build: str, package: dict[str, Any], refused: str | None
) -> None:
    files = {"package.json": node(**package), "server.js": ""}
    if refused is None:
        assert plan(files, build=build).steps
        return
    with pytest.raises(UserError, match=re.escape(refused)):
        plan(files, build=build)


def test_node_dependencies_are_installed_without_scripts_while_there_is_network() -> None:
    made = plan({"package.json": node(dependencies={"ms": "^2"}), "package-lock.json": "{}", "server.js": ""})
    (layer,) = made.layers
    assert layer.files == ("package-lock.json", "package.json")
    assert [step.network for step in layer.steps] == [True, False]
    assert "--ignore-scripts" in layer.steps[0].argv[2] and "--omit=dev" in layer.steps[0].argv[2]


def test_development_dependencies_are_there_for_the_build_and_pruned_behind_it() -> None:
    files = {"package.json": node(devDependencies={"vite": "^5"}), "package-lock.json": "{}"}
    made = plan(files, build="npm ci && npm run build", static={"dir": "dist"})
    assert "--omit=dev" not in made.layers[0].steps[0].argv[2]
    assert [str(step) for step in made.steps] == [
        "npm ci && npm run build",
        "npm prune --omit=dev --ignore-scripts --offline",
    ]
    assert not any(step.network for step in made.steps)
    assert made.argv is not None and made.argv[-1] == "/app/dist"


def test_a_build_may_use_a_second_language() -> None:
    files = {"package.json": node(devDependencies={"vite": "^5"}), "requirements.txt": "bottle", "app.py": ""}
    made = plan(files, build="npm run build", run="python app.py")
    assert [layer.keep for layer in made.layers] == [(".venv",), ("node_modules",)]
    assert made.runtime is not None and made.runtime.name == "python3.11"


CALLED: list[tuple[dict[str, str], dict[str, Any], list[str]]] = [
    ({"tool": "#!/usr/bin/env python3\n"}, {}, ["python3.11"]),
    ({"tool": "#!/bin/sh\n"}, {"run": "exec /usr/bin/python3 tool"}, ["python3.11"]),
    ({"data": ""}, {"run": ["/usr/bin/python3.13", "-m", "http.server"]}, ["python3.13"]),
    ({"data": ""}, {"run": "cd x && node y"}, ["nodejs20"]),
    ({"app.py": ""}, {}, ["python3.11"]),
    ({"tool": "\x7fELF\0"}, {}, []),
]


@pytest.mark.parametrize(("files", "spec", "names"), CALLED)
def test_interpreters_that_a_command_starts_are_needed_too(
    files: dict[str, str], spec: dict[str, Any], names: list[str]
) -> None:
    assert [runtime.name for runtime in plan(files, **spec).runtimes] == names


def test_package_json_says_more_than_a_lone_script() -> None:
    made = plan({"package.json": node(scripts={"start": "node a.js"}), "tool.py": ""})
    assert made.runtime is not None and made.runtime.name == "nodejs20"


@pytest.mark.parametrize(
    ("files", "spec", "name"),
    [
        ({"app.py": ""}, {}, "python3.11"),
        ({"app.py": ""}, {"runtime": "python3.13"}, "python3.13"),
        ({"app.py": "", ".python-version": "3.13.1\n"}, {}, "python3.13"),
        ({"server.js": "", ".nvmrc": "v20.3\n"}, {}, "nodejs20"),
        ({"package.json": node(engines={"node": ">=18 <21"}), "server.js": ""}, {}, "nodejs20"),
        ({"package.json": node(engines={"node": "<20.1"}), "server.js": ""}, {}, "nodejs20"),
        ({"package.json": node(engines={"node": "<21.\u00b2"}), "server.js": ""}, {}, "nodejs20"),
    ],
)
def test_the_runtime_is_found_in_the_source(files: dict[str, str], spec: dict[str, Any], name: str) -> None:
    runtime = plan(files, **spec).runtime
    assert runtime is not None and runtime.name == name


@pytest.mark.parametrize(
    ("files", "spec", "said"),
    [
        ({"app.py": ""}, {"runtime": "python3.9"}, "cannot use python3.9: this host has python3.11, python3.13"),
        ({"app.py": "", ".python-version": "3.12"}, {}, r"python3.12 \(.python-version asks for it\)"),
        ({"server.js": "", ".nvmrc": "18"}, {}, r"nodejs18 \(.nvmrc asks for it\): this host has nodejs20"),
        ({"package.json": node(engines={"node": "^18 || ~19.1"})}, {}, "Node.js \\^18"),
        ({"README.md": ""}, {}, "README.md; looked for a Procfile"),
        ({"src/Main.java": ""}, {}, "no JAR with a Main-Class"),
        ({"shop.war": "PK"}, {}, "servlet container"),
        ({"package.json": "{"}, {}, "package.json"),
        ({"package.json": "[]"}, {}, "package.json"),
        ({"pyproject.toml": "["}, {}, "pyproject.toml"),
        ({"requirements.txt": "-r gone.txt", "app.py": ""}, {}, "gone.txt"),
        ({"pyproject.toml": '[tool.poetry.dependencies]\nx="1"', "app.py": ""}, {}, "poetry"),
        ({"a": ""}, {"static": {"dir": "dist"}}, "no such folder"),
        ({}, {}, "empty source"),
    ],
)
def test_what_is_refused_and_why(files: dict[str, str], spec: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        plan(files, **spec)
    assert caught.value.hint


def test_a_host_without_the_language_says_so() -> None:
    with pytest.raises(UserError, match="this host has no Ruby at all"):
        plan({"app.rb": ""}, host=Host())


@pytest.mark.parametrize(
    ("files", "spec", "hint"),
    [
        ({"app.py": ""}, {"runtime": "python3.9"}, "install python3.9 or say `runtime: python3.11`"),
        ({"package.json": node(engines={"node": "^18"})}, {}, "install Node.js ^18, or say"),
    ],
)
def test_what_to_install_is_told_by_the_hint_alone(files: dict[str, str], spec: dict[str, Any], hint: str) -> None:
    """`explain` tells it apart from what was wrong."""
    with pytest.raises(UserError) as caught:
        plan(files, **spec)
    assert (caught.value.hint or "").startswith(hint)


def test_another_run_needs_no_other_artifact_but_another_build_does() -> None:
    files = {"app.py": "", "requirements.txt": "bottle"}
    assert plan(files, run="python app.py").identity() == plan(files, run="python app.py --more").identity()
    assert plan(files, build="true").identity() != plan(files, build="false").identity()


MAIN = "package main\n"


@pytest.mark.parametrize(
    ("files", "package"),
    [
        ({"main.go": MAIN}, "."),
        ({"cmd/web/main.go": MAIN}, "./cmd/web"),
        ({"shop.go": "package shop\n", "cmd/web/main.go": MAIN, "cmd/internal/x.go": "package x\n"}, "./cmd/web"),
        ({"shop_test.go": MAIN, "cmd/web/main.go": f"//go:build linux\n\n{MAIN}"}, "./cmd/web"),
    ],
)
def test_which_go_program_is_built(files: dict[str, str], package: str) -> None:
    download, compile_ = plan({"go.mod": "module x", **files}).steps
    assert (download.network, compile_.network) == (True, False)
    assert str(compile_).endswith(f" -o .fourfold/bin/app {package}")


def test_several_go_programs_are_named() -> None:
    with pytest.raises(UserError, match="cmd/ has api, web") as caught:
        plan({"go.mod": "module x", "cmd/web/main.go": MAIN, "cmd/api/main.go": MAIN})
    assert "./cmd/api" in (caught.value.hint or "")


def test_vendored_go_modules_are_not_downloaded() -> None:
    files = {"go.mod": "module x", "main.go": MAIN, "vendor/modules.txt": "# example.org/y v1.0.0\n"}
    assert [step.network for step in plan(files).steps] == [False]
    assert [step.network for step in plan(files, build="make", run="./app").steps] == [False]


def test_a_go_build_of_ones_own_finds_what_was_downloaded() -> None:
    download, own = plan({"go.mod": "module x", "main.go": MAIN}, build="go build -o app", run="./app").steps
    assert own.env["GOMODCACHE"] == download.env["GOMODCACHE"] == "/cache/go/mod"


def test_vendored_gems_are_part_of_the_layer_and_not_of_the_result() -> None:
    made = plan({"Gemfile": "gem 'x'", "app.rb": "", "vendor/cache/x-1.gem": ""})
    assert made.layers[0].files == ("Gemfile", "vendor/cache/x-1.gem")
    assert made.drop == ("vendor/cache",)
    assert plan({"Gemfile": "gem 'x'", "app.rb": ""}).drop == ()


def test_maven_forgets_where_its_packages_came_from_before_it_is_offline() -> None:
    fetch, package = plan({"pom.xml": ""}).steps
    assert fetch.argv[2].endswith("-name _remote.repositories -delete")
    assert (fetch.network, package.network) == (True, False)
    assert fetch.env["MAVEN_CACHE"] == package.env["MAVEN_CACHE"] == "/cache/maven"


def test_a_maven_build_of_ones_own_finds_what_was_fetched() -> None:
    made = plan({"pom.xml": ""}, build="mvn -Pprod package")
    assert [step.network for step in made.steps] == [True, False]
    assert made.shims[".fourfold/shims/mvn"].startswith("#!/bin/sh\nexec /usr/bin/mvn -o ")
    assert made.steps[1].env["MAVEN_CACHE"] == "/cache/maven" and made.find_jar
    assert [step.network for step in plan({"pom.xml": ""}, build="./gradlew jar").steps] == [False]


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        *(("package.json", json.dumps({key: 3}), f"`{key}` is no map") for key in ("dependencies", "devDependencies")),
        ("package.json", DEEP, "recursion"),
        ("pyproject.toml", "project = 3", "`project` is no map"),
        ("pyproject.toml", "project.scripts = [1]", r"`project\.scripts` is no map"),
        ("pyproject.toml", "project.dynamic = 'x'", r"`project\.dynamic` is no list"),
        ("pyproject.toml", "tool.uv.sources = 3", r"`tool\.uv\.sources` is no map"),
        ("pyproject.toml", "build-system.requires = {a = 1}", r"`build-system\.requires` is no list"),
        ("pyproject.toml", f"a = {DEEP}", "recursion"),
        ("uv.lock", "package = [3]", "int"),
        ("uv.lock", "[[package]]\nname='shop'\n[package.metadata]\nrequires-dist=[3]", "int"),
        ("uv.lock", "[[package]]\nname='shop'\n[package.metadata]\nrequires-dist=[{name='a', specifier='x'}]", "x"),
    ],
)
def test_a_file_of_another_shape_is_refused(file: str, content: str, why: str) -> None:
    files = {"app.py": "", "server.js": "", "pyproject.toml": PYPROJECT, file: content}
    runtime = "nodejs20" if file == "package.json" else "python3.11"
    with pytest.raises(UserError, match=f"cannot read {file}: .*{why}"):
        plan(files, runtime=runtime)
