"""Which commands of a Dockerfile's RUN a builder of ours does by itself, or that nothing depends on. Pure."""

from __future__ import annotations

_NOTHING = frozenset(
    [
        "mkdir",
        "chown",
        "chmod",
        "rm",
        "echo",
        "cd",
        "ls",
        "touch",
        "set",
        "true",
        "export",
        "ln",
        "mv",
        "cp",
        "addgroup",
        "adduser",
        "groupadd",
        "useradd",
        "usermod",
        "groupmod",
        "mvn",
        "mvnw",
        "gradle",
        "gradlew",
    ]
)
_PACKAGES = frozenset(("npm", "pnpm", "yarn", "corepack"))
_TOOLS = frozenset(("pip", "setuptools", "wheel", "uv", "poetry", "pipenv", "npm", "pnpm", "yarn", "bundler"))
"""What only installs others."""
_VERBS = {
    "poetry": ("install", "config", "export", "lock"),
    "pipenv": ("install", "sync", "requirements"),
    "uv": ("sync", "venv", "lock"),
    "bundle": ("install", "config"),
    "go": ("build", "mod", "install", "env", "get", "vet"),
    "apt-get": ("update", "upgrade", "clean", "autoremove", "autoclean", "purge", "remove"),
    "apk": ("update", "upgrade", "del"),
}


def done(command: str, used: str = "") -> bool:
    """Whether nothing is missed when it is not run: `pip install -r requirements.txt`, `npm ci`, `mkdir -p data`.

    `used`: the command that starts the program, for what is installed beside its dependencies.
    """
    words = command.split()
    while words and "=" in words[0] and not words[0].startswith("-"):
        words = words[1:]
    if not words or words[0].startswith("#"):
        return True
    program, rest = words[0].rpartition("/")[2], words[1:]
    if program in ("python", "python3") and rest[:2] == ["-m", "pip"]:
        program, rest = "pip", rest[2:]
    if program == "uv" and rest[:1] == ["pip"]:
        program, rest = "pip", rest[1:]
    if program in _NOTHING:
        return True
    if program in ("pip", "pip3"):
        return _pip(rest)
    if program in _PACKAGES:
        return _node(rest, used)
    if program == "gem":
        return all(word in ("install", *_TOOLS) or word.startswith("-") or word[0].isdigit() for word in rest)
    if program == "bundle" and rest[:1] == ["exec"]:
        return "assets:precompile" in rest
    verb = next((word for word in rest if not word.startswith("-")), "")
    return verb in _VERBS.get("apt-get" if program == "apt" else program, ())


def _pip(words: list[str]) -> bool:
    """Packages that no file of the source names would be missing."""
    if words[:1] != ["install"]:
        return words[:1] in (["cache"], ["config"])
    rest = iter(words[1:])
    for word in rest:
        if word in ("-r", "--requirement", "-c", "--constraint", "-e", "-i", "--index-url", "-t", "--target"):
            next(rest, None)
        elif word.startswith((".", "-", "/")) or word.endswith(".txt"):
            continue
        elif word.split("=")[0].split("<")[0].split(">")[0].split("[")[0].strip("\"'") not in _TOOLS:
            return False
    return True


def _node(words: list[str], used: str) -> bool:
    """Programs that are installed globally would be missing; so would packages that no file names."""
    verb = words[0] if words else "install"
    named = [word.rpartition("@")[0] or word for word in words[1:] if not word.startswith("-")]
    if verb in ("install", "i", "ci", "add", "global"):
        return all(name in (*_TOOLS, "add", "install") or name not in used for name in named)
    return verb in ("run", "build", "cache", "prune", "config", "set", "enable", "prepare", "rebuild") or verb[0] == "-"
