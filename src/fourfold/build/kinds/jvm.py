"""What host programs in Java share: how they are compiled, and the JVM that they run in. Pure."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from fourfold.build.builders.base import choose
from fourfold.build.model import APP, OWN, BuildPlan, Host, Layer, Runtime, Step, shell
from fourfold.errors import UserError

PROGRAM = f"{OWN}/host"
"""Folder of the tree with the host program and the libraries that it stands on."""
LOWEST = 17
"""The first Java with long-term support that has Unix sockets (JEP 380)."""
_SOURCES = f"{OWN}/host-src"
_BUILD = Path(__file__).parent.parent
_COLLECTOR = re.compile(r"-XX:\+Use\w+GC\b")
_INITIAL = re.compile(r"-Xms|-XX:Initial(HeapSize|RAMPercentage|RAMFraction)=")
_HEAP = "-Xms16m"
"""It grows from here. The JVM's own choice, a 64th of the machine's memory, is filled before anything is collected."""
_FRUGAL = ("-Xss512k", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
"""Each unless `java_opts` has an option of that name."""


@dataclass(frozen=True)
class Program:
    """A compiled host program, as parts of a `BuildPlan`."""

    shims: dict[str, str]
    steps: tuple[Step, ...]
    drop: tuple[str, ...]
    classpath: str


def java(host: Host, wanted: str | None) -> Runtime:
    """Raises UserError where there is none that is new enough."""
    runtime = choose(host, "java", wanted)
    if int(runtime.version.split(".")[0]) < LOWEST:
        raise UserError(
            f"cannot run a group with {runtime.name}: its host program needs Java {LOWEST} or later",
            "leave `runtime` out, or apt install default-jdk-headless",
        )
    return runtime


def program(host: Host, runtime: Runtime, kind: str, libraries: tuple[str, ...]) -> Program:
    """The sources `common` and `kind` of hosts/java, compiled against `libraries`: JARs of this host, which are copied.

    Raises UserError where there is no compiler.
    """
    javac = host.tools.get("javac")
    if javac is None:
        raise UserError(
            f"cannot build the host program of a group: {runtime.name} of {host.place} is a JRE, and it is compiled",
            "apt install default-jdk-headless",
        )
    tools, classes = javac.rpartition("/")[0], f"{OWN}/host-classes"
    copy = f"cp -L {shlex.join(libraries)} {PROGRAM}/lib/\n" if libraries else ""
    compile_ = (
        f"set -e; mkdir -p {PROGRAM}/lib {_SOURCES}\n{copy}"
        f"{javac} -nowarn -Xlint:none --release {LOWEST} -cp '{PROGRAM}/lib/*' -d {classes} {_SOURCES}/*.java\n"
        f"find {classes} {PROGRAM}/lib -exec touch -d @315532800 {{}} +\n"
        f"{tools}/jar --create --no-manifest --file {PROGRAM}/host.jar -C {classes} ."
    )
    return Program(
        shims={f"{_SOURCES}/{name}": text for name, text in sources(kind).items()},
        steps=(shell(compile_, title=f"compile the host program of kind {kind}"),),
        drop=(_SOURCES, classes),
        classpath=f"{APP}/{PROGRAM}/host.jar:{APP}/{PROGRAM}/lib/*",
    )


def layer(made: Program) -> Layer:
    """The same for a tree that has more in it and changes more often: compiled once, and kept."""
    write = "".join(f"cat >{name} <<'END'\n{text}\nEND\n" for name, text in made.shims.items())
    (step,) = made.steps
    command = f"mkdir -p {_SOURCES}\n{write}{step.argv[-1]}"
    return Layer((), (shell(command, title=step.title),), (PROGRAM,))


def sources(kind: str) -> dict[str, str]:
    """File name -> text. JSON is written and read as the client of Lambda's Runtime API does."""
    folder = _BUILD / "hosts/java"
    json = (_BUILD / "handlers/java/Json.java").read_text()
    found = {"Json.java": json.replace("package fourfold.lambda;", "package fourfold.host;")}
    for path in (*sorted((folder / "common").glob("*.java")), *sorted((folder / kind).glob("*.java"))):
        assert path.name not in found, f"two files are called {path.name}"
        found[path.name] = path.read_text()
    return found


def plan(runtime: Runtime, made: Program, main: str, given: str = "", arguments: tuple[str, ...] = ()) -> BuildPlan:
    """Of the host program alone; `given` are the options that its user has for the JVM, which the launcher adds."""
    return BuildPlan(
        runtime=runtime,
        runtimes=(runtime,),
        steps=made.steps,
        shims=made.shims,
        drop=made.drop,
        env=environment(runtime),
        argv=(*command(runtime, made.classpath, main, given), *arguments),
    )


def environment(runtime: Runtime) -> dict[str, str]:
    home = runtime.path.removesuffix("/bin/java")
    return {"JAVA_HOME": home, "PATH": f"{home}/bin:/usr/local/bin:/usr/bin:/bin"}


def command(runtime: Runtime, classpath: str, main: str, given: str = "") -> tuple[str, ...]:
    """A JVM that takes little: one collecting thread, one compiler, small stacks and heap; what `given` says wins."""
    words = shlex.split(given)
    usual = [option for option in _FRUGAL if not any(_same(option, word) for word in words)]
    if not any(map(_COLLECTOR.match, words)):
        usual.insert(0, "-XX:+UseSerialGC")
    if not any(map(_INITIAL.match, words)):
        usual.append(_HEAP)
    return (runtime.path, *usual, *_OPENED, "-cp", classpath, main)


_OPENED = tuple(
    word
    for module, packages in {
        "java.base": ("java.io", "java.lang", "java.lang.ref", "java.security", "java.util", "java.util.concurrent"),
        "java.rmi": ("sun.rmi.transport",),
    }.items()
    for package in packages
    for word in ("--add-opens", f"{module}/{package}=ALL-UNNAMED")
)
"""For looking after leaks, and for Felix, which makes class loaders."""


def _same(option: str, word: str) -> bool:
    return _name(option) == _name(word)


def _name(option: str) -> str:
    return re.sub(r"^(-Xss|-XX:[+-]?\w+).*", r"\1", option).replace(":+", ":").replace(":-", ":")
