"""The clients of the Lambda Runtime API that call handlers, one per language. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fourfold.build.builders.java import JAR_FOLDERS
from fourfold.build.builders.python import packages_for
from fourfold.build.model import APP, OWN, BuildPlan, Host, Layer, Listing, Step, shell
from fourfold.errors import UserError

Kind = Literal["python", "nodejs", "java", "provided"]
RUNTIME = f"{OWN}/runtime"
"""Folder of the tree that sandboxes see as /var/runtime."""
AWSLAMBDARIC = "awslambdaric>=3,<5"
"""AWS's own client for Python; the versions that its Runtime API is tried with."""
_HANDLERS = Path(__file__).parent / "handlers"
_JAVA_SOURCES = ("Client", "Handlers", "Binder", "Json", "Wire")
_LONG = 64 * 1024
"""Bytes of JavaScript from which on it pays to compile them ahead; as in compiled.cjs."""
_OLD_JAVA = 11
"""What the Java client is compiled for, so that one JAR is for all later ones too."""


@dataclass(frozen=True)
class Client:
    """What it adds to a plan."""

    kind: Kind
    argv: tuple[str, ...]
    """What starts it, with the handler where it takes one."""
    env: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    steps: tuple[Step, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def site(plan: BuildPlan) -> str:
    """Folder of the tree with a Python service's packages; empty: it has none."""
    assert plan.runtime is not None
    has = any(".venv" in layer.keep for layer in plan.layers)
    return f".venv/lib/{plan.runtime.name}/site-packages" if has else ""


def python(listing: Listing, plan: BuildPlan) -> Client:
    """AWS's own, from PyPI. A service that names it among its dependencies has it already."""
    assert plan.runtime is not None
    named = [listing.text(name) or "" for name in ("requirements.txt", "pyproject.toml") if listing.has(name)]
    brings = listing.has("awslambdaric/__init__.py") or any(
        re.search(r"^[\s\"']*awslambdaric\b", text, re.MULTILINE) for text in named
    )
    interpreter = f"{APP}/.venv/bin/python" if site(plan) else plan.runtime.path
    if brings:
        return Client("python", (interpreter,))
    what = "awslambdaric, AWS's client of the Runtime API"
    layer = packages_for(plan.runtime, (AWSLAMBDARIC,), RUNTIME, "runtime", what)
    return Client("python", (interpreter,), layers=(layer,))


def nodejs(listing: Listing, plan: BuildPlan, handler: str) -> Client:
    """Ours, unless the service brings AWS's own, `aws-lambda-ric`."""
    assert plan.runtime is not None
    path = f"{APP}/node_modules:/opt/nodejs/{plan.runtime.name.replace('js', '')}/node_modules:/opt/nodejs/node_modules"
    env = {"NODE_PATH": path}
    if re.search(r'"aws-lambda-ric"\s*:', listing.text("package.json") or ""):
        return Client("nodejs", (plan.runtime.path, f"{APP}/node_modules/.bin/aws-lambda-ric", handler), env)
    for name in ("index.mjs", "index.js"):
        if listing.has(place := f"node_modules/aws-lambda-ric/bin/{name}"):
            return Client("nodejs", (plan.runtime.path, f"{APP}/{place}", handler), env)
    client = f"{RUNTIME}/client.cjs"
    files = {client: (_HANDLERS / "client.cjs").read_text()}
    steps = (compile_ahead(plan.runtime.path, handler),) if plan.layers or plan.steps or _is_long(listing) else ()
    return Client("nodejs", (plan.runtime.path, f"{APP}/{client}", handler), env, steps=steps, files=files)


def _is_long(listing: Listing) -> bool:
    code = (entry.size for path, entry in listing.entries.items() if path.endswith((".js", ".cjs")))
    return sum(code) >= _LONG


def compile_ahead(node: str, handler: str) -> Step:
    """A start then loads what V8 made of its modules. Nothing of the handler runs; a failure costs nothing."""
    program = (_HANDLERS / "compiled.cjs").read_text()
    return shell(
        f"mkdir -p {RUNTIME} && cat >{RUNTIME}/compiled.cjs <<'END' && "
        f"timeout 60 {node} {RUNTIME}/compiled.cjs {shlex.quote(handler)} || true\n{program}END",
        title="compile the modules of the handler",
    )


def java(listing: Listing, plan: BuildPlan, handler: str, host: Host) -> Client:
    """Ours, compiled here, with an archive of the classes that a start loads (class-data sharing, JEP 350)."""
    assert plan.runtime is not None
    javac = host.tools.get("javac")
    if javac is None:
        raise UserError(
            f"cannot build a Java handler: {plan.runtime.name} of {host.place} is a JRE, and the client is compiled",
            "apt install default-jdk-headless",
        )
    tools = javac.rpartition("/")[0]
    sources = {name: (_HANDLERS / "java" / f"{name}.java").read_text() for name in _JAVA_SOURCES}
    write = "".join(f"cat >{OWN}/java/{name}.java <<'END'\n{text}\nEND\n" for name, text in sources.items())
    compile_ = (
        f"set -e; mkdir -p {OWN}/java {RUNTIME}\n{write}"
        f"{javac} -nowarn -Xlint:none --release {_OLD_JAVA} -d {OWN}/classes {OWN}/java/*.java\n"
        f"find {OWN}/classes -exec touch -d @315532800 {{}} +\n"
        f"{tools}/jar --create --no-manifest --file {RUNTIME}/client.jar -C {OWN}/classes ."
    )
    layer = Layer((), (shell(compile_, title="compile the Java client"),), (RUNTIME,))
    flags = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Xlog:disable -Xshare:auto"
    archive = shell(
        _CLASSPATH % {"runtime": RUNTIME, "flags": flags, "folders": " ".join(_jars())}
        + _ARCHIVE % {"java": plan.runtime.path, "runtime": RUNTIME, "app": APP, "handler": shlex.quote(handler)},
        title="archive the classes that a start loads",
    )
    argv = (plan.runtime.path, f"@{RUNTIME}/java.args", "fourfold.lambda.Client", handler)
    return Client("java", argv, layers=(layer,), steps=(archive,))


def _jars() -> list[str]:
    """Patterns of the JARs of a source or of what was built, with those of layers last."""
    return [*(f"{folder or '.'}/*.jar" for folder in JAR_FOLDERS), "lib/*.jar", f"{OWN}/layers/*/java/lib/*.jar"]


_CLASSPATH = r"""
cp=%(runtime)s/client.jar
for jar in %(folders)s; do
  case "$jar" in *\**|*-sources.jar|*-javadoc.jar|*-tests.jar|*/original-*) continue ;; esac
  cp="$cp:${jar#./}"
done
folders=
for folder in target/classes build/classes/java/main classes; do
  if [ -d "$folder" ] && [ "$cp" = %(runtime)s/client.jar ]; then folders="$folders:$folder"; fi
done
if [ -n "$(find . -path ./.fourfold -prune -o -path ./target -prune -o -path ./build -prune -o -path ./classes -prune \
  -o -name '*.class' -print | head -n 1)" ]; then folders="$folders:."; fi
printf '%%s\n' %(flags)s "-cp" "\"$cp$folders\"" >%(runtime)s/java.args
"""
"""Java reads its options from a file (java(1), "argument files"): which JARs there are is known after the build. Its
paths are relative to the top of the tree, where programs start, wherever that is."""
_ARCHIVE = r"""
if [ -z "$folders" ]; then
  export _HANDLER=%(handler)s LAMBDA_TASK_ROOT=%(app)s FOURFOLD_TRIAL=1
  timeout 20 %(java)s -XX:ArchiveClassesAtExit=%(runtime)s/classes.jsa \
    @%(runtime)s/java.args fourfold.lambda.Client "$_HANDLER" >/dev/null 2>&1 </dev/null || true
  if [ -s %(runtime)s/classes.jsa ]; then
    printf '%%s\n' -XX:SharedArchiveFile=%(runtime)s/classes.jsa >>%(runtime)s/java.args
  fi
fi
"""
"""A folder with classes on the path cannot be archived, so that there is no archive then. A trial loads what a start
loads, without an event; that it cannot be made costs nothing but time at each start."""
