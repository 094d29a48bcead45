"""Java: a JAR is run as it is; a folder is built by Maven or by the service's own `build`, and its JAR found."""

from __future__ import annotations

import re

from fourfold.build.builders.base import Found, choose, need_tool
from fourfold.build.model import APP, Host, Listing, shell
from fourfold.errors import UserError

_MAVEN = "mvn -B -ntp -q -Dmaven.repo.local=/cache/maven"
JAR_FOLDERS = ("", "target", "build/libs", "build", "dist", "out")
"""Where a JAR made by the build is looked for, best first."""


MARKERS = ("pom.xml",)


def matches(listing: Listing) -> bool:
    return listing.has("pom.xml") or bool(listing.ending(".jar", ".war")) or _has_sources(listing)


def find(listing: Listing, host: Host, wanted: str | None, build: str) -> Found:
    """Raises UserError when there is no Java, or Maven is needed and missing, or a WAR cannot run by itself."""
    runtime = choose(host, "java", *_version(listing, wanted))
    home = runtime.path.removesuffix("/bin/java")
    env, path = {"JAVA_HOME": home}, (f"{home}/bin",)
    jars = listing.ending(".jar", ".war")
    runnable = [name for name in jars if listing.main_class(listing.entries[name])]
    if len(runnable) == 1 and not build:
        return Found(runtime, path=path, env=env, argv=(runtime.path, "-jar", f"{APP}/{runnable[0]}"))
    if listing.only and listing.only.path.lower().endswith(".war"):
        raise UserError(
            f"cannot run {listing.only.path!r} here: it has no Main-Class, so it needs a servlet container",
            "run it under pattern shared, process, container or vm, without `run`: in a Tomcat; or make it executable",
        )
    if build:
        return Found(runtime, path=path, env=env, build_env=env, find_jar=True)
    if listing.has("pom.xml"):
        need_tool(host, "mvn", "maven", "a folder with a pom.xml")
        # Plugins are code of others that runs while it resolves; the project's own code is compiled without network.
        resolve = shell(f"{_MAVEN} dependency:go-offline", env, network=True, title="fetch Maven packages")
        package = shell(f"{_MAVEN} -o -DskipTests package", env)
        return Found(runtime, before=(resolve, package), path=path, env=env, find_jar=True)
    return Found(runtime, path=path, env=env)


def _has_sources(listing: Listing) -> bool:
    return any(path.endswith(".java") for path in listing.entries)


def _version(listing: Listing, wanted: str | None) -> tuple[str | None, str]:
    if wanted not in (None, "java"):
        return wanted, "runtime"
    if match := re.match(r"\s*(?:1\.)?(\d+)\b", listing.text(".java-version") or ""):
        return f"java{match[1]}", ".java-version"
    return None, "runtime"
