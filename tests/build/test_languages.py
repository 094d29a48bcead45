"""Sources of each language: what is installed, kept, and run."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fourfold.errors import WorldError
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact

from .building import build, failure, run
from .helpers import Home, write

pytestmark = pytest.mark.e2e


def test_python_with_a_dependency(home: Home, source: Path) -> None:
    write(source, {"requirements.txt": "bottle\n", "app.py": "import bottle; print('one', bottle.__name__)"})
    first = build(home, source)
    assert run(first) == "one bottle"
    assert run(first, "bottle.py", "--version").startswith("Bottle")
    (lock,) = first.locks.values()
    assert "bottle==" in lock.text and "--hash=sha256:" in lock.text
    home.lines.clear()
    write(source, {"app.py": "import bottle; print('two', bottle.__name__)"})
    second = build(home, source)
    assert run(second) == "two bottle" and run(first) == "one bottle"
    assert home.lines == [], "an edit of the source alone installs nothing"


BACKEND = '[build-system]\nrequires=["hatchling"]\nbuild-backend="hatchling.build"\n'
LIB = {"lib1/pyproject.toml": f'[project]\nname="lib1"\nversion="7"\n{BACKEND}', "lib1/lib1/__init__.py": "X = 'lib'"}


def test_python_dependencies_in_the_source_itself(home: Home, source: Path) -> None:
    write(source, {**LIB, "requirements.txt": "./lib1\nsix\n", "app.py": "import lib1, six; print(lib1.X)"})
    assert run(build(home, source)) == "lib"


def test_a_uv_lock_with_a_dependency_in_the_source(home: Home, source: Path) -> None:
    project = '[project]\nname="x"\nversion="1"\nrequires-python=">=3.11"\ndependencies=["lib1", "six"]\n'
    project += '[tool.uv.sources]\nlib1={path="lib1", editable=true}\n'
    write(source, {**LIB, "pyproject.toml": project, "app.py": "import lib1, six; print(lib1.X, lib1.__file__)"})
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "lock", "-q", "--python", "/usr/bin/python3"], cwd=source, check=True)
    said = run(build(home, source))
    assert said.startswith("lib /app/.venv/"), "not a link into the build's own folders"


def test_a_version_from_history_is_not_needed(home: Home, source: Path) -> None:
    scm = '[project]\nname="my-shop"\ndynamic=["version"]\n[build-system]\nrequires=["setuptools", "setuptools-scm"]\n'
    scm += 'build-backend="setuptools.build_meta"\n[tool.setuptools_scm]\n[tool.setuptools]\npy-modules=["shop"]\n'
    write(source, {"pyproject.toml": scm, "shop.py": ""})
    artifact = build(home, source, run=["python", "-c", "import shop; print('up')"])
    assert run(artifact, "/app/.venv/bin/python", "-c", "import shop; print('up')") == "up"


def test_a_lost_layer_is_made_anew_from_its_lock(home: Home, source: Path) -> None:
    write(source, {"requirements.txt": "six\n", "app.py": "import six; print(six.__version__)"})
    newest = run(build(home, source))
    trees.remove(home.paths.caches / "shop.web/layers")
    record = next(home.paths.artifacts.glob("*/artifact.json"))
    data = json.loads(record.read_text())
    (lock,) = data["locks"].values()
    assert f"six=={newest}" in lock["text"]
    lock["text"] = "six==1.16.0\n"
    record.write_text(json.dumps(data))
    write(source, {"more.py": ""})
    assert run(build(home, source)) == "1.16.0" != newest
    assert "Dependencies have not changed: using the versions of the last build." in home.lines


def test_a_fresh_build_uses_nothing_of_earlier_ones(home: Home, source: Path) -> None:
    """Dependencies that are not pinned come in their newest versions; builds after it go on from those."""
    write(source, {"requirements.txt": "six\n", "app.py": "import six; print(six.__version__)"})
    first = build(home, source)
    newest = run(first)
    as_if_resolved_long_ago(home, first, "1.16.0")
    write(source, {"more.py": ""})
    assert run(build(home, source)) == "1.16.0" != newest
    fresh = build(home, source, fresh="op1")
    assert run(fresh) == newest and fresh.digest == build(home, source, fresh="op1").digest
    assert fresh.digest not in (first.digest, build(home, source).digest)
    write(source, {"yet-more.py": ""})
    assert run(build(home, source)) == newest


def as_if_resolved_long_ago(home: Home, artifact: Artifact, version: str) -> None:
    """Its lock names an older version, and the layer made from it is lost."""
    trees.remove(home.paths.caches / "shop.web/layers")
    record = home.paths.artifacts / artifact.digest / "artifact.json"
    data = json.loads(record.read_text())
    (lock,) = data["locks"].values()
    lock["text"] = f"six=={version}\n"
    record.write_text(json.dumps(data))


def test_a_python_project_is_installed(home: Home, source: Path) -> None:
    pyproject = (
        '[project]\nname="shop"\nversion="1"\nscripts={shopd="shop:main"}\n[build-system]\nrequires=["hatchling"]\n'
    )
    write(
        source,
        {
            "pyproject.toml": pyproject + 'build-backend="hatchling.build"\n',
            "src/shop/__init__.py": "def main(): print('up')",
        },
    )
    artifact = build(home, source)
    assert artifact.argv == ("/app/.venv/bin/shopd",)
    assert run(artifact) == "up"
    assert not (artifact.tree / ".fourfold/backend").exists()


def test_node_with_a_package(home: Home, source: Path) -> None:
    package = {
        "name": "x",
        "version": "1.0.0",
        "dependencies": {"ms": "2.1.3"},
        "devDependencies": {"isarray": "2.0.5"},
    }
    write(
        source,
        {"package.json": json.dumps(package), "server.js": "console.log(require('ms')('1d'), process.env.NODE_ENV)"},
    )
    artifact = build(home, source)
    assert run(artifact) == "86400000 production"
    assert not (artifact.tree / "node_modules/isarray").exists()
    assert any("no package-lock.json" in line for line in home.lines)
    built = build(
        home, source, build="npm ci && node -e \"require('fs').writeFileSync('b', String(require('isarray')([])))\""
    )
    assert (built.tree / "b").read_text() == "true"
    assert not (built.tree / "node_modules/isarray").exists(), "development dependencies go behind the build"
    assert run(built) == "86400000 production"


def test_a_package_lock_that_does_not_fit_is_told_in_npms_own_words(home: Home, source: Path) -> None:
    package = {"name": "x", "version": "1.0.0", "dependencies": {"ms": "2.1.3"}}
    write(source, {"package.json": json.dumps(package), "server.js": ""})
    subprocess.run(["npm", "install", "-s", "--package-lock-only"], cwd=source, check=True)
    write(source, {"package.json": json.dumps({**package, "dependencies": {"isarray": "2.0.5"}})})
    error = failure(home, source)
    assert error.what.startswith("cannot build web: `install npm packages` ended with exit code 1\n")
    assert "Missing: isarray@2.0.5 from lock file" in error.what
    assert "--legacy-peer-deps" not in error.what, "not npm's manual"


def test_ruby_with_a_gemfile(home: Home, source: Path) -> None:
    write(source, {"Gemfile": 'source "https://rubygems.org"\n', "app.rb": "puts RUBY_ENGINE"})
    assert run(build(home, source)) == "ruby"


def test_vendored_gems_need_no_registry(home: Home, source: Path) -> None:
    gem = """Gem::Specification.new do |s|
      s.name, s.version, s.summary, s.authors, s.files = "hello", "1.0", "x", ["x"], ["lib/hello.rb"]
    end"""
    made = write(source.parent / "gem", {"hello.gemspec": gem, "lib/hello.rb": "HELLO = 'from a gem'"})
    cache = source / "vendor/cache"
    cache.mkdir(parents=True)
    gem_file = cache / "hello-1.0.gem"
    subprocess.run(["gem", "build", "-q", "-o", gem_file, "hello.gemspec"], cwd=made, check=True, capture_output=True)
    write(source, {"Gemfile": 'source "https://gems.invalid"\ngem "hello"\n'})
    write(source, {"app.rb": "require 'hello'; puts HELLO"})
    artifact = build(home, source)
    assert run(artifact) == "from a gem"
    assert not (artifact.tree / "vendor/cache").exists()
    write(source, {"Gemfile": 'source "https://gems.invalid"\ngem "hello"\ngem "missing"\n'})
    with pytest.raises(WorldError, match=r"gems\.invalid") as caught:
        build(home, source)
    assert "docs/builds.md" in (caught.value.hint or "")


def test_a_jar_is_made_and_found(home: Home, source: Path) -> None:
    write(
        source, {"src/Main.java": 'class Main { public static void main(String[] a) { System.out.println("jar"); } }'}
    )
    made = build(home, source, build="javac -d c src/Main.java && jar --create --file o.jar --main-class Main -C c .")
    assert made.argv[1:] == ("-jar", "/app/o.jar")
    assert run(made) == "jar"
    (source.parent / "orders.jar").write_bytes((made.tree / "o.jar").read_bytes())
    alone = build(home, source.parent / "orders.jar")
    assert alone.argv[1:] == ("-jar", "/app/orders.jar") and run(alone) == "jar"


JAR = "mkdir -p %(to)s && jar --create --file %(to)s/%(name)s.jar --main-class Main -C c ."


def test_the_jar_of_a_module_is_found(home: Home, source: Path) -> None:
    write(source, {"Main.java": 'class Main { public static void main(String[] a) { System.out.println("web"); } }'})
    write(source, {"pom.xml": "", "core/pom.xml": "", "web/pom.xml": ""})
    web, original = (JAR % {"to": "web/target", "name": name} for name in ("web", "original-web"))
    steps = f"javac -d c Main.java && {original} && {web}"
    artifact = build(home, source, build=steps)
    assert artifact.argv[1:] == ("-jar", "/app/web/target/web.jar") and run(artifact) == "web"
    with pytest.raises(WorldError, match=r"core/target/core\.jar, web/target/web\.jar") as caught:
        build(home, source, build=f"{steps} && {JAR % {'to': 'core/target', 'name': 'core'}}")
    assert caught.value.hint == "say it: `run: java -jar core/target/core.jar`"


def test_an_executable(home: Home, source: Path) -> None:
    write(source, {"tool": "#!/bin/sh\necho tool\n"})
    artifact = build(home, source / "tool")
    assert run(artifact) == "tool"
    (digest,) = home.sources.get(artifact.source).blobs
    assert stat.S_IMODE(home.blobs.path(digest).stat().st_mode) == 0o444, "the store's own file stays as it is"
