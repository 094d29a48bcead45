"""What a Compose service runs: an image, a folder that a builder of ours takes, or its Dockerfile. Pure."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import Any

from fourfold.spec.starting.finds import Found, Listing, recognised
from fourfold.spec.starting.imports.commands import without_shell, words
from fourfold.spec.starting.imports.compose.images import Known, known
from fourfold.spec.starting.imports.compose.model import Compose, as_list, pairs
from fourfold.spec.starting.imports.docker import file as dockerfile
from fourfold.spec.starting.imports.model import Drafted, Raw
from fourfold.spec.starting.imports.values import variables

_LANGUAGES = {
    "package.json": "nodejs",
    "requirements.txt": "python",
    "pyproject.toml": "python",
    "pom.xml": "java",
    "Gemfile": "ruby",
    "go.mod": "go",
}
_OWN = (
    "PATH", "PORT", "HOST", "HOME", "LANG", "DEBIAN_FRONTEND", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE",
    "VIRTUAL_ENV", "GO111MODULE", "GOARCH", "GOBIN", "GOCACHE", "GOFLAGS", "GOLANG_VERSION", "GOMODCACHE", "GONOPROXY",
    "GONOSUMDB", "GOOS", "GOPATH", "GOPRIVATE", "GOPROXY", "GOROOT", "GOSUMDB", "GOTOOLCHAIN",
)  # fmt: skip
"""Variables of a Dockerfile that are for its build, or that every service has here."""
_OWN_PREFIXES = ("PIP_", "UV_", "POETRY_", "NPM_", "YARN_", "PNPM_", "LC_", "GEM_", "BUNDLE_")
_RIGHT = "container: {dockerfile: %s} builds with it instead"


@dataclass
class Program:
    """What is known of it beside its keys."""

    image: str | None = None
    known: Known | None = None
    """Of its image, or of the one that its Dockerfile begins with."""
    recipe: dockerfile.Recipe = field(default_factory=dockerfile.Recipe)
    env: dict[str, str] = field(default_factory=dict)
    """Of its Dockerfile, where a builder takes its place."""
    workdir: str = ""
    """Where a Dockerfile would put it; here that is /app. Empty: nothing is to be changed."""
    command: str = ""

    @property
    def data(self) -> str:
        """What Docker keeps of its image; empty: nothing."""
        return (self.known.data if self.known is not None else None) or ""

    def moved(self, text: str) -> str:
        """A text with paths of the Dockerfile's folder as they are here."""
        if not self.workdir:
            return text
        return text.replace(f"{self.workdir}/", "/app/") if text != self.workdir else "/app"


def program(compose: Compose, made: Drafted, said: dict[str, Any]) -> Program:
    """Sets `source` or `image`, `pattern`, `build`, `run`, `static`; notes what does not come along."""
    made.keys["pattern"] = "container"
    if said.get("build"):
        found = _built(compose, made, said)
    elif image := compose.text(said.get("image")):
        made.keys["image"] = _with_scheme(variables(str(said["image"]), compose.known))
        found = Program(image, known(image))
    else:
        made.off = made.off or "neither `build` nor `image` says what runs"
        return Program()
    _command(compose, made, said, found)
    return found


def _with_scheme(image: str | Raw) -> str | Raw:
    return Raw(f"docker://{image.text}") if isinstance(image, Raw) else f"docker://{image}"


def _built(compose: Compose, made: Drafted, said: dict[str, Any]) -> Program:
    build = said["build"] if isinstance(said["build"], dict) else {"context": said["build"]}
    context = compose.text(build.get("context", "."))
    place = compose.place(context)
    if "://" in context or context.startswith("git@") or place.startswith(("..", "/")):
        made.keys["source"] = "."
        made.off = made.off or f"its source is elsewhere: {context}"
        return Program()
    made.keys["source"] = "." if place == "." else f"./{place}"
    listing = compose.folder.listing if place == "." else compose.folder.listing.below(place)
    name = compose.text(build.get("dockerfile", "Dockerfile")) or "Dockerfile"
    inline = build.get("dockerfile_inline")
    text = inline if isinstance(inline, str) else compose.folder.read(posixpath.normpath(posixpath.join(place, name)))
    args = {name: compose.text(value) for name, value in pairs(build.get("args")).items() if value is not None}
    recipe = dockerfile.read(text, compose.text(build.get("target")) or None, args) if text else dockerfile.Recipe()
    found = recognised(listing)
    started = " ".join(_words(said.get("command")) or [])
    beyond = recipe.beyond(started)
    made_by = beyond is None and _builder(made, listing, found, recipe, name if text and inline is None else None)
    if not made_by and (text is None or inline is not None):
        made.off = made.off or (
            "its Dockerfile stands in the Compose file" if inline else f"there is no {name} to be found"
        )
    if not made_by:
        made.keys["container"] = {"dockerfile": name}
        if beyond or recipe.base:
            made.remarks["container"] = f"no builder does: {beyond}" if beyond else f"FROM {recipe.base}"
        if not recipe.last:
            made.note("build.target", "the last stage is built", build.get("target"))
        if given := pairs(build.get("args")):
            made.note("build.args", "give them defaults in the Dockerfile: ARG NAME=value", list(given))
    elif lost := [arg for arg in args if arg not in recipe.env]:
        made.note("build.args", "what the code reads goes to `env`, or in front of the command in `build`", lost)
    for key in build:
        if key in ("additional_contexts", "ssh", "secrets", "network", "privileged", "entitlements", "extra_hosts"):
            made.note(f"build.{key}", "builds see their source only, and are apart from each other", build[key])
    if not made_by:
        return Program(known=known(recipe.base), recipe=recipe)
    workdir = recipe.workdir if recipe.workdir not in ("", "/", "/app") else ""
    return Program(recipe=recipe, env=_kept(recipe.env), workdir=workdir)


def _builder(made: Drafted, listing: Listing, found: Found | None, recipe: dockerfile.Recipe, name: str | None) -> bool:
    """Whether a builder of ours makes it; sets what it must be told."""
    language = _LANGUAGES.get(found.why.partition(" ")[0]) if found else None
    scripts = " && ".join(f"npm run {script}" for script in recipe.scripts)
    if recipe.language == "web" and language == "nodejs" and recipe.built:
        made.keys["build"] = scripts or "npm run build"
        made.keys["static"] = {"dir": recipe.built}
        made.remarks["static"] = "served by Fourfold instead of a web server in the image"
        made.note(
            "its web server's configuration", "static: {fallback: index.html} serves single-page apps; see `route`"
        )
        return True
    if found is None or (language is None and name is not None):
        return False
    compiled = language in ("go", "java")
    if name is not None and not (recipe.language == language or (compiled and recipe.language is None)):
        return False
    if found.static:
        made.keys["build"], made.keys["static"] = found.build, {"dir": found.static}
    elif language == "nodejs" and scripts:
        made.keys["build"] = scripts
    if name is not None:
        made.remarks["source"] = _RIGHT % name
    if not compiled and recipe.command is None and found.run:
        made.keys["run"] = found.run
    return True


def _kept(env: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in env.items() if key not in _OWN and not key.startswith(_OWN_PREFIXES)}


def _command(compose: Compose, made: Drafted, said: dict[str, Any], found: Program) -> None:
    entrypoint, command = _words(said.get("entrypoint")), _words(said.get("command"))
    found.command = " ".join([*(entrypoint or []), *(command or [])])
    if found.image:
        _image_command(compose, made, said, found, entrypoint, command)
    elif "dockerfile" in made.keys.get("container", {}):
        _recipe_command(compose, made, found, entrypoint, command)
    else:
        _builder_command(compose, made, said, found, entrypoint, command)


def _words(value: Any) -> list[str] | None:
    """A command as words; None: nothing is said."""
    if isinstance(value, str):
        return (words(value) or [value]) if value.strip() else None
    return [str(each) for each in as_list(value) if each is not None] or None


def _translated(compose: Compose, given: list[str]) -> list[str | Raw]:
    return [variables(word, compose.known) for word in given]


def _image_command(
    compose: Compose,
    made: Drafted,
    said: dict[str, Any],
    found: Program,
    entrypoint: list[str] | None,
    command: list[str] | None,
) -> None:
    if entrypoint:
        made.keys["run"] = _translated(compose, [*entrypoint, *(command or [])])
        return
    if not command:
        return
    image = found.known
    if image and image.entrypoint:
        first = [image.flags] if image.flags and command[0].startswith("-") else []
        made.keys["run"] = _translated(compose, [image.entrypoint, *first, *command])
    elif command[0].startswith("-"):
        made.note(
            "command", "these are for the image's entrypoint: write that in front of them, as `run`", said["command"]
        )
    else:
        made.keys["run"] = _translated(compose, command)
        made.remarks["run"] = "instead of the image's entrypoint too: put that in front if it has one"


def _recipe_command(
    compose: Compose, made: Drafted, found: Program, entrypoint: list[str] | None, command: list[str] | None
) -> None:
    if not (entrypoint or command):
        return
    own = found.recipe.entrypoint
    front = entrypoint if entrypoint else own if isinstance(own, list) else []
    made.keys["run"] = _translated(compose, [*front, *(command or [])])


def _builder_command(
    compose: Compose,
    made: Drafted,
    said: dict[str, Any],
    found: Program,
    entrypoint: list[str] | None,
    command: list[str] | None,
) -> None:
    """A Dockerfile's command goes along where its program is a script; what is compiled has other paths here."""
    if "static" in made.keys:
        return
    compiled = found.recipe.command is not None and _is_compiled(found.recipe)
    if compiled:
        if entrypoint or command:
            made.note(
                "command", "it is for the Dockerfile's program: say it in `run` as it is here", said.get("command")
            )
        return
    if entrypoint or command:
        own = found.recipe.entrypoint
        front = entrypoint if entrypoint else own if isinstance(own, list) else []
        text = said.get("command")
        if not front and isinstance(text, str) and isinstance(without_shell(text), str):
            given: Any = variables(found.moved(text.strip()), compose.known)
        else:
            given = _translated(compose, [found.moved(word) for word in (*front, *(command or []))])
        made.keys["run"] = given
        return
    own_command = found.recipe.command
    if isinstance(own_command, str):
        made.keys["run"] = found.moved(own_command)
    elif own_command:
        made.keys["run"] = [found.moved(word) for word in own_command]


def _is_compiled(recipe: dockerfile.Recipe) -> bool:
    return recipe.language in ("go", "java", None)
