"""What services a folder seems to hold: guesses for `fourfold init`, each with its reason. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fourfold.spec.starting.finds_python import python_run
from fourfold.spec.starting.imports.commands import listening

READ = (
    "package.json", "requirements.txt", "pyproject.toml", "manage.py", "Procfile", "Dockerfile", "Gemfile", "pom.xml",
    "template.yaml", "template.yml", "pnpm-workspace.yaml", "serverless.yml", "serverless.yaml", "__init__.py",
    "angular.json",
)  # fmt: skip
"""Small files whose text tells something; of programs, those in `PROGRAMS`."""
PROGRAMS = (
    "app.py",
    "main.py",
    "server.py",
    "wsgi.py",
    "asgi.py",
    "server.js",
    "index.js",
    "app.js",
    "main.js",
    "main.go",
    "app.rb",
    "worker.py",
    "worker.js",
    "worker.rb",
)
_WEB = {
    "python": r"(?im)\b(flask|fastapi|django|starlette|uvicorn|gunicorn|aiohttp|tornado|bottle|sanic|quart|falcon)\b",
    "nodejs": r"\b(express|fastify|koa|next|nuxt|@hapi/hapi|@nestjs/core|hono|polka|restify|http-server|json-server"
    r"|serve|vite|react-scripts)\b",
    "ruby": r"\b(rails|sinatra|rack|rackup|puma|roda|hanami)\b",
    "java": r"spring-boot-starter-web|quarkus|micronaut|javalin|jetty|tomcat|undertow|helidon|vertx|dropwizard",
}
_LISTENS = re.compile(r"\.listen\(|ListenAndServe|http\.server|HTTPServer|Flask\(|FastAPI\(|Sinatra|\bPORT\b")


_SITES = {"react-scripts": "build", "vite": "dist", "ng": "dist"}
"""Programs that serve a site while somebody works on it -> where what they build lies, if nothing else is said."""
_BUILD = "npm ci && npm run build"
_BUILT = re.compile(r"(?:^|[\s/])(?:dist|build|out|\.output)/")
"""Where in a command what was built lies."""

DEPTH = 2
"""How far below a folder its services may be: `services/orders`."""
_COMPOUND = r"[;&|\n(){}]|^\s*(\w+=|cd\s)"
"""What no `exec` can stand before."""
_ANY = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
"""In patterns of folders."""
_AVOIDED = ("gateway", "fourfold", "true", "false", "null", "x")
"""Names that are taken, or that YAML does not take for text; and what a second one of that name would be: `x-2`."""


@dataclass(frozen=True)
class Listing:
    """A folder as facts: file names relative to it, and the texts of the small ones that matter."""

    name: str
    files: frozenset[str] = frozenset()
    texts: Mapping[str, str] = field(default_factory=dict)

    def below(self, folder: str) -> Listing:
        """One of its subfolders, as a listing of its own."""
        prefix = f"{folder}/"
        files = frozenset(name.removeprefix(prefix) for name in self.files if name.startswith(prefix))
        texts = {name.removeprefix(prefix): text for name, text in self.texts.items() if name.startswith(prefix)}
        return Listing(folder.rpartition("/")[2], files, texts)

    def text(self, *names: str) -> str:
        return "\n".join(self.texts.get(name, "") for name in names)

    @property
    def folders(self) -> list[str]:
        return sorted({name.partition("/")[0] for name in self.files if "/" in name})


@dataclass(frozen=True)
class Found:
    """One service that seems to be there."""

    name: str
    source: str
    why: str
    """`requirements.txt`: what it was recognised by."""
    run: str | None = None
    """None: the builder finds it."""
    build: str | None = None
    static: str | None = None
    port: int | None = None
    """A hint: what it listens on elsewhere; None: it does not seem to listen."""
    keeps_path: bool = False
    """It answers under the whole path of its route."""
    sure: bool = True
    """False: it is only shown, as a comment."""


def find(listing: Listing) -> list[Found]:
    """The services of a folder: the folder itself, or else those of folders below it."""
    listing = replace(listing, files=frozenset(name for name in listing.files if name.isprintable()))
    return _unique(_find(listing, ".", DEPTH))


def _find(listing: Listing, source: str, depth: int) -> list[Found]:
    here = _services(listing, source) or _wars(listing, source) or _unsure(listing, source)
    if source == "." and (found := members(listing)):
        return found
    if here and here[0].sure:
        return here
    folders = listing.folders if depth else []
    below = [found for name in folders for found in _find(listing.below(name), f"{source}/{name}", depth - 1)]
    return below if any(found.sure for found in below) else here or below


def packages(listing: Listing) -> list[str]:
    """Folders of the packages of an npm, Yarn or pnpm workspace."""
    workspaces = _json(listing.text("package.json")).get("workspaces")
    patterns = workspaces.get("packages") if isinstance(workspaces, dict) else workspaces
    given = [str(each) for each in patterns if each] if isinstance(patterns, list) else []
    given += re.findall(r"""(?m)^[ \t]*-[ \t]+["']?([^"'#\s]+)""", listing.text("pnpm-workspace.yaml"))
    wanted = [pattern.removeprefix("./").rstrip("/") for pattern in given]
    names = sorted(name.removesuffix("/package.json") for name in listing.files if name.endswith("/package.json"))
    kept = [pattern for pattern in wanted if not pattern.startswith("!")]
    dropped = [pattern[1:].removeprefix("./") for pattern in wanted if pattern.startswith("!")]
    return [
        name
        for name in names
        if any(_is_at(name, pattern) for pattern in kept) and not any(_is_at(name, pattern) for pattern in dropped)
    ]


def _is_at(folder: str, pattern: str) -> bool:
    """`apps/web` is at `apps/*`; `apps/web/examples` is not, but at `apps/**`."""
    parts = (_ANY.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern))
    return re.fullmatch("".join(parts), folder) is not None


def members(listing: Listing) -> list[Found]:
    """The packages of a workspace that can be started. All are built from its root, where their lock is."""
    below = {name: listing.below(name) for name in packages(listing)}
    found = [(name, _site(package) or _node(package), package) for name, package in below.items()]
    return [
        _member(name, package, below)
        for name, package, below in found
        if package and (package.port or _start(_map(_json(below.text("package.json")), "scripts")))
    ]


def _member(folder: str, found: Found, listing: Listing) -> Found:
    package = _json(listing.text("package.json"))
    start = _start(_map(package, "scripts"))
    entries = [package.get("main"), *(name for name in ("server.js", "index.js", "app.js") if name in listing.files)]
    command = start if isinstance(start, str) else f"node {next(filter(None, entries), 'index.js')}"
    in_its_folder = f"cd {shlex.quote(folder)} && {'' if re.search(_COMPOUND, command) else 'exec '}{command}"
    return replace(
        found,
        name=service_name(listing.name),
        source=".",
        why=f"{folder}/package.json",
        run=None if found.static else in_its_folder,
        build=found.build and f"npm run build --workspace={shlex.quote(folder)}",
        static=found.static and f"{folder}/{found.static}",
    )


def _wars(listing: Listing, source: str) -> list[Found]:
    """Each is served by a Tomcat of its own, under the path of its route."""
    wars = sorted(name for name in listing.files if name.endswith(".war") and "/" not in name)
    base = Found("", "", "", port=8080, keeps_path=True)
    return [replace(base, name=service_name(war[:-4]), source=f"{source}/{war}", why=war) for war in wars]


def _unsure(listing: Listing, source: str) -> list[Found]:
    """What tells that there is a service, and not how to start it."""
    java = [name for name in listing.files if name.endswith(".java") and re.match(r"(src/|[^/]+$)", name)]
    base = Found(service_name(listing.name), source, "Dockerfile", port=_exposed(listing) or 8080, sure=False)
    if java:
        build = "mkdir -p classes && javac -d classes $(find . -name '*.java')"
        return [replace(base, why="Java sources", build=build, run="java -cp classes Main")]
    return [base] if "Dockerfile" in listing.files else []


def service_name(text: str) -> str:
    """Any text as a name of the format: lower-case letters, digits and -, a letter first, at most 40 long."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if not name or not name[0].isalpha() or name in _AVOIDED or name.startswith("x-"):
        name = f"app-{name}".strip("-")
    return name[:40].rstrip("-")


def free_name(name: str, taken: Container[str]) -> str:
    """`web`, or where that is taken `web-2` and so on: `a_b` and `a-b` are one name here."""
    free, count = name, 2
    while free in taken:
        free, count = f"{name[:36]}-{count}", count + 1
    return free


def _services(listing: Listing, source: str) -> list[Found]:
    for kind in _KINDS:
        if found := kind(listing):
            base = replace(found, name=service_name(listing.name), source=found.source or source)
            if base.source != source and not base.source.startswith((".", "/")):
                base = replace(base, source=f"{source}/{base.source}")
            return _processes(listing, base)
    return []


def _processes(listing: Listing, base: Found) -> list[Found]:
    """A Procfile names several programs of one source; the builder finds `web` (or the only one) by itself."""
    lines = re.findall(r"(?m)^([A-Za-z0-9_-]+):[ \t]*(\S.*)$", listing.text("Procfile"))
    programs = {name: run.strip() for name, run in lines if name != "release"}
    web = replace(base, port=_exposed(listing) or (8080 if "web" in programs else base.port))
    if programs:
        web = replace(web, why="Procfile", run=None, build=base.build, sure=True)
    others = [name for name in programs if name != "web"] if len(programs) > 1 else []
    first = [web] if "web" in programs or not others else []
    return first + [
        replace(web, name=service_name(f"{base.name}-{name}"), run=programs[name], port=None) for name in others
    ]


def _exposed(listing: Listing) -> int | None:
    exposed = re.search(r"(?im)^\s*EXPOSE\s+(\d{1,5})", listing.text("Dockerfile"))
    return int(exposed[1]) if exposed and 0 < int(exposed[1]) < 65536 else None


def _procfile(listing: Listing) -> Found | None:
    return Found("", "", "Procfile") if re.search(r"(?m)^[\w-]+:\s*\S", listing.text("Procfile")) else None


def _site(listing: Listing) -> Found | None:
    """One whose `start` is for work on it: what its build makes is served instead, whatever port that start heeds."""
    scripts = _map(_json(listing.text("package.json")), "scripts")
    _, _, program = _started(scripts)
    if program not in _SITES or "build" not in scripts or "Procfile" in listing.files:
        return None
    folder = (_angular(listing) if program == "ng" else None) or _SITES[program]
    return Found("", "", f"package.json with a build, and {program} to work on it", None, _BUILD, folder, 8080)


def _angular(listing: Listing) -> str | None:
    """https://angular.dev/reference/configs/workspace-config#output-path-configuration"""
    for name, project in _map(_json(listing.text("angular.json")), "projects").items():
        if isinstance(project, dict) and project.get("projectType") != "library":
            build = _map(_map(project, "architect") or _map(project, "targets"), "build")
            folder = _map(build, "options").get("outputPath", f"dist/{name}")
            if isinstance(folder, str) and not folder.startswith(("/", "..")):
                return folder + "/browser" * str(build.get("builder")).endswith(":application")
    return None


def _start(scripts: dict[str, Any]) -> Any:
    """`start` may be for work on it where there is `start:prod` too, as with Nest."""
    return scripts.get("start:prod", scripts.get("start"))


def _started(scripts: dict[str, Any]) -> tuple[str, int | None, str]:
    """How `start`, or the one of it for production, is run here, the port that it names, and the program."""
    start = _start(scripts)
    command, port = listening(start if isinstance(start, str) else "")
    return command, port, re.sub(r"^(\w+=\S*\s+|npx\s+)*", "", command).partition(" ")[0]


def _node(listing: Listing) -> Found | None:
    if "package.json" not in listing.files:
        return None
    package = _json(listing.text("package.json"))
    scripts, needs = _map(package, "scripts"), _map(package, "dependencies")
    starts = _start(scripts) or package.get("main") or listing.files & {"server.js", "index.js"}
    if not starts and "build" in scripts:
        return Found("", "", "package.json with a build, and nothing to start", None, _BUILD, "dist", 8080)
    command, port, program = _started(scripts)
    listens = re.search(_WEB["nodejs"], " ".join(needs)) or re.fullmatch(_WEB["nodejs"], program)
    listens = listens or _LISTENS.search(listing.text(*PROGRAMS))
    sure = bool(starts or "app.js" in listing.files)
    run = command if port or "start:prod" in scripts else None if starts else f"node {'app.js' if sure else 'index.js'}"
    built = program == "next" or _BUILT.search(command or str(package.get("main")))
    build = _BUILD if built and "build" in scripts else None  # it starts nothing else than what was built
    return Found("", "", "package.json", run, build, port=port or (8080 if listens else None), sure=sure)


def _python(listing: Listing) -> Found | None:
    marker = next((name for name in ("pyproject.toml", "requirements.txt") if name in listing.files), None)
    if marker is None:
        return None
    listens = re.search(_WEB["python"], listing.text("pyproject.toml", "requirements.txt"))
    listens = listens or _LISTENS.search(listing.text(*PROGRAMS))
    return Found("", "", marker, python_run(listing), port=8080 if listens else None)


def _java(listing: Listing) -> Found | None:
    if "pom.xml" in listing.files:
        listens = re.search(_WEB["java"], listing.text("pom.xml"))
        return Found("", "", "pom.xml", port=8080 if listens else None)
    jars = sorted(name for name in listing.files if name.endswith(".jar") and "/" not in name)
    return Found("", jars[0] if len(jars) == 1 else "", ", ".join(jars[:3]), port=8080) if jars else None


def _ruby(listing: Listing) -> Found | None:
    marker = next((name for name in ("Gemfile", "config.ru") if name in listing.files), None)
    if marker is None:
        return None
    listens = "config.ru" in listing.files or re.search(_WEB["ruby"], listing.text("Gemfile"))
    listens = listens or _LISTENS.search(listing.text(*PROGRAMS))
    return Found("", "", marker, port=8080 if listens else None)


def _go(listing: Listing) -> Found | None:
    if "go.mod" not in listing.files:
        return None
    programs = [name for name in listing.texts if re.fullmatch(r"(cmd/[^/]+/)?main\.go", name)]
    return Found("", "", "go.mod", port=8080 if _LISTENS.search(listing.text(*programs)) else None)


def _static(listing: Listing) -> Found | None:
    return Found("", "", "index.html", static=".", port=8080) if "index.html" in listing.files else None


def _single_script(listing: Listing) -> Found | None:
    """A program without any description of its dependencies."""
    for name in PROGRAMS:
        if name in listing.files and name.endswith((".py", ".js", ".rb")):
            program = {"py": "python", "js": "node", "rb": "ruby"}[name.rpartition(".")[2]]
            run = (python_run(listing) if program == "python" else None) or f"{program} {name}"
            return Found("", "", name, run, port=8080 if _LISTENS.search(listing.text(name)) else None)
    return None


_KINDS: tuple[Callable[[Listing], Found | None], ...] = (
    _site,
    _node,
    _python,
    _java,
    _ruby,
    _go,
    _static,
    _single_script,
    _procfile,
)


def recognised(listing: Listing) -> Found | None:
    """What a folder holds by its files on dependencies, or a single script; its `run` where that can be told."""
    return next((found for kind in _KINDS if kind not in (_site, _procfile) and (found := kind(listing))), None)


def _unique(found: list[Found]) -> list[Found]:
    """Names made different."""
    named: dict[str, Found] = {}
    for service in found:
        name = free_name(service.name, named)
        named[name] = replace(service, name=name)
    return list(named.values())


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _map(data: dict[str, Any], key: str) -> dict[str, Any]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}
