"""How this host reaches package registries, so that builds reach them the same way: mirrors, proxies, certificates.

Companies set these for pip and npm in configuration files and the environment. What is known is passed on, as copies,
to the steps that resolve and download only. uv reads no pip.conf: where only pip is configured, its settings are said
again in uv's variables (https://docs.astral.sh/uv/reference/environment/).
"""

from __future__ import annotations

import configparser
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fourfold.build.sandbox import Registry

_PREFIXES = (
    "PIP_", "UV_", "NPM_CONFIG_", "npm_config_", "BUNDLE_", "GOPROXY", "GONOPROXY", "GONOSUM", "GOSUMDB", "GOPRIVATE",
)  # fmt: skip
_NAMES = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
)  # fmt: skip
_OURS = ("UV_CACHE_DIR", "UV_PYTHON", "UV_PROJECT", "UV_LINK_MODE", "UV_SYSTEM_PYTHON", "UV_TARGET", "PIP_TARGET")
_OURS_TOO = (
    "PIP_CACHE_DIR", "PIP_CONFIG_FILE", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "BUNDLE_PATH", "BUNDLE_GEMFILE",
    "BUNDLE_APP_CONFIG", "UV_CONFIG_FILE", "NPM_CONFIG_CACHE", "NPM_CONFIG_USERCONFIG", "NPM_CONFIG_GLOBALCONFIG",
    "NPM_CONFIG_PREFIX",
)  # fmt: skip
"""Paths of this user that mean nothing in a build, or that builds set themselves."""
_HOME_FILES = (
    ".npmrc", ".netrc", ".config/pip/pip.conf", ".pip/pip.conf", ".config/uv/uv.toml", ".bundle/config", ".gemrc",
    ".m2/settings.xml", ".config/go/env",
)  # fmt: skip
_UV_INDEXES = ("UV_INDEX", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_CONFIG_FILE")


def find_registry(environ: Mapping[str, str], home: Path, etc: Path = Path("/etc")) -> Registry:
    """Read the configuration of the user whom the daemon runs as. Unreadable files count as missing."""
    env = {name: value for name, value in environ.items() if _passes(name)}
    pip = _pip_settings(environ, home, etc)
    if not any(name in env for name in _UV_INDEXES) and not _has_uv_config(home, etc):
        env |= _uv_from_pip(pip)
    if "cert" in pip:
        env.setdefault("SSL_CERT_FILE", pip["cert"])
    if (cafile := _npm_cafile(home)) is not None:
        env.setdefault("NODE_EXTRA_CA_CERTS", cafile)
    values = [*env.values(), *pip.values()]
    binds = {path for value in values for word in value.split() if (path := _local(word))}
    return Registry(env=env, binds=tuple(sorted(path for path in binds if Path(path).exists())))


def copy_home(environ: Mapping[str, str], home: Path, into: Path) -> None:
    """Copy the package managers' configuration into a build's home: originals are often readable by one user only."""
    into.mkdir(parents=True, exist_ok=True)
    given = {
        ".config/pip/pip.conf": environ.get("PIP_CONFIG_FILE"),
        ".npmrc": environ.get("NPM_CONFIG_USERCONFIG") or environ.get("npm_config_userconfig"),
        ".config/uv/uv.toml": environ.get("UV_CONFIG_FILE"),
    }
    for name in _HOME_FILES:
        source = Path(given.get(name) or home / name)
        try:
            if not source.is_file():
                continue
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            target.chmod(0o400)
        except OSError:  # not readable by us: as good as missing
            continue


def _passes(name: str) -> bool:
    if name.upper() in _OURS_TOO or name.startswith(_OURS):
        return False
    return name in _NAMES or name.startswith(_PREFIXES)


def _pip_settings(environ: Mapping[str, str], home: Path, etc: Path) -> dict[str, str]:
    """pip's settings by long name (`index-url`), later files over earlier ones, variables over files.

    Order and places: https://pip.pypa.io/en/stable/topics/configuration/
    """
    settings: dict[str, str] = {}
    files = [etc / "pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    if given := environ.get("PIP_CONFIG_FILE"):
        files.append(Path(given))
    for file in files:
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(file.read_text())
        except (OSError, ValueError, configparser.Error):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                settings |= {key: " ".join(value.split()) for key, value in parser.items(section)}
    for name, value in environ.items():
        if name.startswith("PIP_"):
            settings[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return {key: settings[key] for key in _PIP_KEYS if settings.get(key)}


_PIP_KEYS = ("index-url", "extra-index-url", "find-links", "cert", "trusted-host", "no-index")


def _uv_from_pip(pip: Mapping[str, str]) -> dict[str, str]:
    env = {}
    if "index-url" in pip:
        env["UV_DEFAULT_INDEX"] = pip["index-url"]
    if "extra-index-url" in pip:
        env["UV_INDEX"] = pip["extra-index-url"]
        # pip takes the best version of all indexes; uv by default only looks into the first that has the package.
        env["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if "find-links" in pip:
        env["UV_FIND_LINKS"] = " ".join(pip["find-links"].split())
    if "trusted-host" in pip:
        env["UV_INSECURE_HOST"] = pip["trusted-host"]
    if pip.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        env["UV_NO_INDEX"] = "1"
    return env


def _has_uv_config(home: Path, etc: Path) -> bool:
    return any((folder / "uv.toml").is_file() for folder in (home / ".config/uv", etc / "uv"))


def _npm_cafile(home: Path) -> str | None:
    for file in (home / ".npmrc", Path("/usr/etc/npmrc"), Path("/usr/local/etc/npmrc"), Path("/etc/npmrc")):
        try:
            match = re.search(r"^\s*cafile\s*=\s*(\S+)", file.read_text(), re.MULTILINE)
        except (OSError, ValueError):
            continue
        if match:
            return match[1]
    return None


def _local(word: str) -> str | None:
    """The path of this host that a setting names: `/srv/wheels`, `file:///srv/pypi/simple`.

    A local index is shown with the folder beside it: its pages link to files there (`../../files/x.whl`).
    """
    if word.startswith("file://"):
        path = Path(unquote(urlsplit(word).path))
        return str(path.parent if path.name == "simple" else path)
    return word if word.startswith("/") and len(word) > 1 else None
