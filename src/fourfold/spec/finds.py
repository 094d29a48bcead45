"""What services a folder seems to hold: guesses for `fourfold init`, each with its reason. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

READ = ("package.json", "requirements.txt", "pyproject.toml", "Procfile", "Dockerfile", "Gemfile", "pom.xml")
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
    "main.go",
    "app.rb",
)
_WEB = {
    "python": r"(?im)\b(flask|fastapi|django|starlette|uvicorn|gunicorn|aiohttp|tornado|bottle|sanic|quart|falcon)\b",
    "nodejs": r"\b(express|fastify|koa|next|nuxt|@hapi/hapi|@nestjs/core|hono|polka|restify|http-server|serve|vite)\b",
    "ruby": r"\b(rails|sinatra|rack|rackup|puma|roda|hanami)\b",
    "java": r"spring-boot-starter-web|quarkus|micronaut|javalin|jetty|tomcat|undertow|helidon|vertx|dropwizard",
}
_LISTENS = re.compile(r"\.listen\(|ListenAndServe|http\.server|HTTPServer|Flask\(|FastAPI\(|Sinatra|\bPORT\b")


_AVOIDED = ("gateway", "fourfold", "true", "false", "null")
"""Names that are taken, or that YAML does not take for text."""


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
        return Listing(folder, files, texts)

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


def find(listing: Listing) -> list[Found]:
    """The services of a folder: the folder itself, or else those of its direct subfolders."""
    listing = replace(listing, files=frozenset(name for name in listing.files if name.isprintable()))
    here = _services(listing, ".")
    if here and not _is_workspace(listing):
        return _unique(here)
    below = [found for folder in listing.folders for found in _services(listing.below(folder), f"./{folder}")]
    return _unique(below or here)


def service_name(text: str) -> str:
    """Any text as a name of the format: lower-case letters, digits and -, a letter first, at most 40 long."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if not name or not name[0].isalpha() or name in _AVOIDED or name.startswith("x-"):
        name = f"app-{name}".strip("-")
    return name[:40].rstrip("-")


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
    exposed = re.search(r"(?im)^\s*EXPOSE\s+(\d{1,5})", listing.text("Dockerfile"))
    port = int(exposed[1]) if exposed and 0 < int(exposed[1]) < 65536 else None
    web = replace(base, port=port or (8080 if "web" in programs else base.port))
    if programs:
        web = replace(web, why="Procfile", run=None, build=base.build)
    others = [name for name in programs if name != "web"] if len(programs) > 1 else []
    first = [web] if "web" in programs or not others else []
    return first + [
        replace(base, name=service_name(f"{base.name}-{name}"), why="Procfile", run=programs[name], port=None)
        for name in others
    ]


def _procfile(listing: Listing) -> Found | None:
    return Found("", "", "Procfile") if re.search(r"(?m)^[\w-]+:\s*\S", listing.text("Procfile")) else None


def _node(listing: Listing) -> Found | None:
    if "package.json" not in listing.files:
        return None
    package = _json(listing.text("package.json"))
    scripts, needs = _map(package, "scripts"), _map(package, "dependencies")
    starts = "start" in scripts or package.get("main") or listing.files & {"server.js", "index.js"}
    if not starts and "build" in scripts:
        return Found(
            "", "", "package.json with a build, and nothing to start", None, "npm ci && npm run build", "dist", 8080
        )
    listens = re.search(_WEB["nodejs"], " ".join(needs)) or _LISTENS.search(listing.text(*PROGRAMS))
    run = None if starts else next((f"node {name}" for name in ("app.js",) if name in listing.files), None)
    return Found("", "", "package.json", run, port=8080 if listens else None)


def _python(listing: Listing) -> Found | None:
    marker = next((name for name in ("pyproject.toml", "requirements.txt") if name in listing.files), None)
    if marker is None:
        return None
    listens = re.search(_WEB["python"], listing.text("pyproject.toml", "requirements.txt"))
    listens = listens or _LISTENS.search(listing.text(*PROGRAMS))
    return Found("", "", marker, _python_run(listing), port=8080 if listens else None)


def _python_run(listing: Listing) -> str | None:
    """What starts it, where that can be told; the builder finds app.py, main.py and packages with __main__.py."""
    if "manage.py" in listing.files:
        return "python manage.py runserver $HOST:$PORT"
    for file in ("app.py", "main.py", "server.py", "asgi.py", "wsgi.py"):
        made = re.search(r"(?m)^(\w+)\s*(?::[^=\n]+)?=\s*(FastAPI|Starlette|Flask)\(", listing.text(file))
        if made and made[2] == "Flask":
            return f"flask --app {file.removesuffix('.py')}:{made[1]} run --host $HOST --port $PORT"
        if made:
            return f"uvicorn {file.removesuffix('.py')}:{made[1]} --host $HOST --port $PORT"
    return "python server.py" if "server.py" in listing.files else None


def _java(listing: Listing) -> Found | None:
    if "pom.xml" in listing.files:
        listens = re.search(_WEB["java"], listing.text("pom.xml"))
        return Found("", "", "pom.xml", port=8080 if listens else None)
    jars = sorted(name for name in listing.files if name.endswith(".jar") and "/" not in name)
    return Found("", jars[0] if len(jars) == 1 else "", ", ".join(jars[:3]), port=8080) if jars else None


def _ruby(listing: Listing) -> Found | None:
    if "Gemfile" not in listing.files:
        return None
    listens = "config.ru" in listing.files or re.search(_WEB["ruby"], listing.text("Gemfile"))
    return Found("", "", "Gemfile", port=8080 if listens else None)


def _go(listing: Listing) -> Found | None:
    if "go.mod" not in listing.files:
        return None
    return Found("", "", "go.mod", port=8080 if _LISTENS.search(listing.text("main.go")) else None)


def _static(listing: Listing) -> Found | None:
    return Found("", "", "index.html", static=".", port=8080) if "index.html" in listing.files else None


def _single_script(listing: Listing) -> Found | None:
    """A program without any description of its dependencies."""
    for name in PROGRAMS:
        if name in listing.files and name.endswith((".py", ".js", ".rb")):
            program = {"py": "python", "js": "node", "rb": "ruby"}[name.rpartition(".")[2]]
            run = (_python_run(listing) if program == "python" else None) or f"{program} {name}"
            return Found("", "", name, run, port=8080 if _LISTENS.search(listing.text(name)) else None)
    return None


_KINDS: tuple[Callable[[Listing], Found | None], ...] = (
    _node,
    _python,
    _java,
    _ruby,
    _go,
    _static,
    _single_script,
    _procfile,
)


def _is_workspace(listing: Listing) -> bool:
    return "workspaces" in _json(listing.text("package.json"))


def _unique(found: list[Found]) -> list[Found]:
    """Names made different: folders `a_b` and `a-b` both become `a-b`."""
    taken: set[str] = set()
    named = []
    for service in found:
        name, count = service.name, 2
        while name in taken:
            name, count = f"{service.name[:36]}-{count}", count + 1
        taken.add(name)
        named.append(replace(service, name=name))
    return named


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _map(data: dict[str, Any], key: str) -> dict[str, Any]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}
