"""What a Dockerfile tells, and whether a builder of ours makes the same of its folder. Pure.

Source: Dockerfile reference (instructions, here-documents, `FROM … AS`).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fourfold.spec.starting.imports.docker.steps import done

_LANGUAGES = {
    "python": r"(^|/)(python|pypy)([:@]|$)|uvicorn-gunicorn|(^|/)uv([:@]|$)",
    "nodejs": r"(^|/)(node|bun)([:@]|$)",
    "ruby": r"(^|/)ruby([:@]|$)",
    "go": r"(^|/)golang([:@]|$)",
    "java": r"(^|/)(openjdk|eclipse-temurin|amazoncorretto|maven|gradle|jdk|jre)([:@]|$)",
    "web": r"(^|/)(nginx|httpd|caddy|nginx-unprivileged)([:@]|$)",
}
_TOOLS = frozenset(
    [
        "apt-utils",
        "bash",
        "build-essential",
        "ca-certificates",
        "cargo",
        "curl",
        "dumb-init",
        "g++",
        "gcc",
        "git",
        "gnupg",
        "gnupg2",
        "iputils-ping",
        "less",
        "libc-dev",
        "libc6-dev",
        "libffi-dev",
        "libpq-dev",
        "libpq5",
        "libssl-dev",
        "linux-headers",
        "make",
        "musl-dev",
        "nano",
        "net-tools",
        "netcat",
        "netcat-openbsd",
        "netcat-traditional",
        "openssl",
        "openssl-dev",
        "pkg-config",
        "procps",
        "postgresql-dev",
        "python3-dev",
        "su-exec",
        "telnet",
        "tini",
        "tzdata",
        "unzip",
        "vim",
        "wget",
        "xz-utils",
        "zip",
        "default-libmysqlclient-dev",
        "gosu",
        "libc6-compat",
        "mariadb-dev",
    ]
)
"""Packages that a program does not need once it is built, or that our bases have."""
_INSTALLS = re.compile(r"(?:apt-get|apt|apk)(?: -\S+)* (?:install|add)(.*)")
_FROM = re.compile(r"--from=(\S+)")
_SCRIPT = re.compile(r"(?:npm|pnpm|yarn|bun)(?: run(?:-script)?)?(?: -\S+)* (build[\w:.-]*|compile)\b")
_BUILT = re.compile(r"(?i)^COPY\s+--from=\S+\s+(?:--\S+\s+)*\S*?/?([\w.-]+)/?\s+\S*(?:html|www|srv|htdocs)\S*")


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile's last stage, or the one that was asked for."""

    base: str = ""
    """The image that its chain of stages begins with."""
    workdir: str = ""
    entrypoint: str | list[str] | None = None
    cmd: str | list[str] | None = None
    env: dict[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    runs: tuple[str, ...] = ()
    """Commands of its chain of stages, and of those that it copies from."""
    built: str | None = None
    """A folder of another stage that goes where a web server looks: `dist`."""
    own_cmd: bool = False
    """Whether `cmd` is of the stage itself, and not of the one that it begins with."""
    last: bool = True
    """Whether it is the last stage."""

    @property
    def language(self) -> str | None:
        """`python`, `nodejs`, …, or `web` for a web server; None: another image."""
        bare = self.base.removeprefix("docker.io/").removeprefix("library/")
        return next((name for name, pattern in _LANGUAGES.items() if re.search(pattern, bare)), None)

    def beyond(self, started: str = "") -> str | None:
        """The first command that no builder of ours would do; None: they do it all.

        `started`: the command that is started, unless it is its own.
        """
        own = self.command or ""
        used = started or (own if isinstance(own, str) else " ".join(own))
        for run in self.runs:
            for command in _commands(run):
                install = _INSTALLS.fullmatch(command)
                if install:
                    given = [word for word in install[1].split() if not word.startswith("-")]
                    if any(re.split(r"[=<>~]", word)[0] not in _TOOLS and not word.startswith(".") for word in given):
                        return command
                elif not done(command, used):
                    return command
        return None

    @property
    def scripts(self) -> list[str]:
        """Scripts of its package.json that build it: `build` of `RUN yarn build`."""
        commands = (command for run in self.runs for command in _commands(run))
        return list(dict.fromkeys(match[1] for command in commands if (match := _SCRIPT.match(command))))

    @property
    def command(self) -> str | list[str] | None:
        """What it starts: ENTRYPOINT with CMD behind it; without an init, which every container has here."""
        if isinstance(self.entrypoint, str) or self.entrypoint is None:
            return _no_init(self.entrypoint or self.cmd)
        if isinstance(self.cmd, str):
            return _no_init([*self.entrypoint, "/bin/sh", "-c", self.cmd]) if self.entrypoint else self.cmd
        return _no_init([*self.entrypoint, *(self.cmd or [])] or None)


def read(text: str, target: str | None = None, given: Mapping[str, str] | None = None) -> Recipe:
    """What stands there; variables of `ARG` are filled in: `given` ones, else by their defaults."""
    stages: dict[str, Recipe] = {}
    arguments: dict[str, str] = {}
    current, name, found = Recipe(), "", None
    number = -1
    for keyword, rest in _instructions(text):
        if keyword == "FROM":
            if number >= 0:
                stages[name] = stages[str(number)] = current
                found = current if target and name == target.lower() else found
            number += 1
            words = [word for word in _filled(rest, arguments).split() if not word.startswith("--")] or [""]
            name = words[2].lower() if len(words) > 2 and words[1].lower() == "as" else str(number)
            current = replace(stages.get(words[0].lower(), Recipe(base=words[0])), own_cmd=False)
        elif keyword == "ARG":
            key, _, value = rest.partition("=")
            arguments[key.strip()] = (given or {}).get(key.strip(), value.strip().strip("\"'"))
        else:
            if keyword == "COPY" and (source := _FROM.search(rest)) and (other := stages.get(source[1].lower())):
                current = replace(current, runs=tuple(dict.fromkeys((*current.runs, *other.runs))))
            current = _with(
                current, keyword, _filled(rest, arguments | current.env) if keyword != "RUN" else rest, rest
            )
    if found is not None and name != (target or "").lower():
        return replace(found, last=False)
    return current


def _with(stage: Recipe, keyword: str, rest: str, raw: str) -> Recipe:
    if keyword == "WORKDIR":
        return replace(stage, workdir=rest.rstrip("/") if rest.startswith("/") else f"{stage.workdir}/{rest}")
    if keyword == "ENTRYPOINT":
        return replace(stage, entrypoint=_exec(raw), cmd=stage.cmd if stage.own_cmd else None)
    if keyword == "CMD":
        return replace(stage, cmd=_exec(raw), own_cmd=True)
    if keyword == "ENV":
        return replace(stage, env=stage.env | _pairs(rest))
    if keyword == "EXPOSE":
        ports = (re.fullmatch(r"(\d+)(/tcp)?", word) for word in rest.split())
        more = tuple(int(match[1]) for match in ports if match and 0 < int(match[1]) < 65536)
        return replace(stage, ports=(*stage.ports, *more))
    if keyword == "RUN":
        return replace(stage, runs=(*stage.runs, rest))
    if keyword in ("COPY", "ADD") and (match := _BUILT.match(f"COPY {rest}")):
        return replace(stage, built=match[1])
    return stage


def _instructions(text: str) -> list[tuple[str, str]]:
    """Keyword and what follows, with continued lines joined and here-documents read."""
    found: list[tuple[str, str]] = []
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        while line.rstrip().endswith("\\"):
            line = line.rstrip()[:-1] + " "
            for more in lines:
                if not more.lstrip().startswith("#"):
                    line += more
                    break
            else:
                break
        keyword, rest = (*line.split(maxsplit=1), "")[:2]
        if here := re.search(r"<<-?\s*[\"']?(\w+)[\"']?", rest):
            body = []
            for more in lines:
                if more.strip() == here[1]:
                    break
                body.append(more)
            rest = "\n".join(body)
        found.append((keyword.upper(), rest.strip()))
    return found


def _exec(rest: str) -> str | list[str]:
    """The exec form is JSON; whatever is not is the shell form."""
    if rest.startswith("["):
        try:
            words = json.loads(rest)
        except ValueError:
            return rest
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return words
    return rest


def _no_init(command: str | list[str] | None) -> str | list[str] | None:
    if isinstance(command, list) and command and command[0].rpartition("/")[2] in ("tini", "dumb-init"):
        rest = command[1:]
        while rest and rest[0].startswith("-"):
            rest = rest[1:]
        return rest or None
    return command or None


def _commands(run: str) -> list[str]:
    text = re.sub(r"^(--\S+\s+)+", "", run.strip())
    if text.startswith("["):
        words = _exec(text)
        text = shlex.join(words) if isinstance(words, list) else text
    return [re.sub(r"\s+", " ", part).strip() for part in re.split(r"&&|;|\n|\|\|", text)]


def _pairs(rest: str) -> dict[str, str]:
    if "=" not in rest.split(" ", 1)[0]:
        key, _, value = rest.partition(" ")
        return {key: value.strip().strip("\"'")}
    try:
        words = shlex.split(rest)
    except ValueError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


def _filled(text: str, values: dict[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        return values.get(match[1] or match[3], match[2] if match[2] is not None else "")

    return re.sub(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))", value, text)
