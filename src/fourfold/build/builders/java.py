"""Java: a JAR is run as it is; a folder is built by Maven or by the service's own `build`, and its JAR found."""

from __future__ import annotations

import re

from fourfold.build.builders.base import Found, choose, need_tool
from fourfold.build.command import uses
from fourfold.build.model import APP, Host, Listing, shell
from fourfold.errors import UserError

_CACHE = {"MAVEN_CACHE": "/cache/maven"}
_MAVEN = '-B -ntp "-Dmaven.repo.local=$MAVEN_CACHE"'
_OFFLINE = "org.apache.maven.plugins:maven-dependency-plugin:3.5.0:go-offline"
"""The version that Maven 3.8 takes by itself, 2.8, looks for modules that need each other in the registry."""
_FORGET = 'find "$MAVEN_CACHE" -name _remote.repositories -delete'
"""Maven remembers which mirror a package came from, and takes it from no other: offline it knows of no mirrors, for the
settings that name them hold passwords."""
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
    calls_maven = uses(build, "mvn") and "mvn" in host.tools
    if not listing.has("pom.xml") or (build and not calls_maven):
        return Found(runtime, path=path, env=env, build_env=env, find_jar=bool(build))
    mvn = need_tool(host, "mvn", "maven", "a folder with a pom.xml")
    cached = {**env, **_CACHE}
    # Plugins are code of others that runs while it resolves; the project's own code is compiled without network.
    fetch = f"mvn -q {_MAVEN} {_OFFLINE} && {_FORGET}"
    resolve = shell(fetch, cached, network=True, title="fetch Maven packages")
    package = shell(f"mvn -q -o {_MAVEN} -DskipTests package", cached, title="mvn -o -DskipTests package")
    return Found(
        runtime,
        before=(resolve,) if build else (resolve, package),
        shims={"mvn": f'#!/bin/sh\nexec {mvn} -o {_MAVEN} "$@"\n'},
        path=path,
        env=env,
        build_env=cached,
        find_jar=True,
    )


def module_folders(listing: Listing) -> tuple[str, ...]:
    """Where the modules of a Maven project put their JARs."""
    poms = sorted(path for path in listing.entries if path.endswith("/pom.xml"))
    return tuple(f"{path.removesuffix('pom.xml')}target" for path in poms)


def _has_sources(listing: Listing) -> bool:
    return any(path.endswith(".java") for path in listing.entries)


def _version(listing: Listing, wanted: str | None) -> tuple[str | None, str]:
    if wanted not in (None, "java"):
        return wanted, "runtime"
    if match := re.match(r"\s*(?:1\.)?(\d+)\b", listing.text(".java-version") or ""):
        return f"java{match[1]}", ".java-version"
    return None, "runtime"
