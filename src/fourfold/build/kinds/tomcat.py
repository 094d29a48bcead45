"""Groups of kind tomcat, their members, and web applications that run alone in a Tomcat of their own. Pure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fourfold.build.builders.base import choose, need_tool
from fourfold.build.builders.java import JAR_FOLDERS
from fourfold.build.detect import detect
from fourfold.build.kinds import jvm
from fourfold.build.model import APP, OWN, BuildPlan, Host, Listing, Runtime, Step
from fourfold.errors import UserError
from fourfold.spec import groups
from fourfold.spec.model import Service

MAIN = "fourfold.host.tomcat.Program"
PACKAGE = "tomcat10-common"
_PARTS = (
    "annotations-api", "api", "catalina", "coyote", "dbcp", "el-api", "jasper", "jasper-el", "jaspic-api", "jdbc",
    "jni", "jsp-api", "juli", "servlet-api", "util", "util-scan", "websocket", "websocket-api", "websocket-client-api",
)  # fmt: skip
"""Of Tomcat: all but clustering, its tasks for Ant, and translations."""
_APIS = ("annotations-api", "el-api", "jsp-api", "servlet-api", "websocket-api", "websocket-client-api")
"""What web applications are compiled against."""
_FOLDER, _WAR, _SCRIPT = f"{OWN}/webapp", f"{OWN}/webapp.war", f"{OWN}/webapp.py"


def host(service: groups.Host, host: Host) -> BuildPlan:
    """Raises UserError where there is no Tomcat, no Java or no compiler."""
    runtime = jvm.java(host, service.group.runtime)
    return jvm.plan(runtime, _program(host, runtime), MAIN, service.group.java_opts)


def guest(listing: Listing, service: Service, host: Host) -> BuildPlan:
    """Raises UserError where the source is no web application, nor says how to build one."""
    if service.run is not None:
        raise UserError("cannot run a command in a Tomcat: `run` is given", "leave `run` out: the WAR is what is run")
    if not _makes_war(listing, service):
        raise UserError(
            "cannot find a web application in the source",
            "it is one .war at the top, a folder with a WEB-INF, or a pom.xml or `build` that makes a .war",
        )
    return _webapp(listing, service, host, choose(host, "java", service.runtime))


def alone(listing: Listing, service: Service, host: Host) -> BuildPlan:
    """The same in a Tomcat of its own. Raises UserError as `host` and `guest` do."""
    runtime = jvm.java(host, service.runtime)
    made = _program(host, runtime)
    app = _webapp(listing, service, host, runtime)
    assert app.argv is not None
    return replace(
        app,
        layers=(*app.layers, jvm.layer(made)),
        env={**app.env, **jvm.environment(runtime)},
        argv=(*jvm.command(runtime, made.classpath, MAIN), "--alone", *app.argv, service.route_path),
    )


def is_webapp(listing: Listing, service: Service) -> bool:
    """Whether, as a process, it is to have a Tomcat of its own: nothing else says how to run it."""
    if service.run is not None or listing.has("Procfile"):
        return False
    if any(listing.main_class(listing.entries[name]) for name in listing.ending(".jar", ".war")):
        return False
    built = service.build is not None and (service.shared.kind == "tomcat" or _has_parts(listing))
    return built or bool(listing.ending(".war")) or _is_folder(listing) or _pom_makes_war(listing)


def _makes_war(listing: Listing, service: Service) -> bool:
    built = service.build is not None or listing.has("pom.xml")
    return built or bool(listing.ending(".war")) or _is_folder(listing)


def _is_folder(listing: Listing) -> bool:
    return "WEB-INF" in listing.folders


def _has_parts(listing: Listing) -> bool:
    """Of a WAR, somewhere in a source. Those in src/main/webapp may as well go into an executable JAR."""
    return any("/WEB-INF/" in f"/{path}" and not path.startswith("src/main/") for path in listing.entries)


def _pom_makes_war(listing: Listing) -> bool:
    return "<packaging>war</packaging>" in (listing.text("pom.xml") or "")


def _webapp(listing: Listing, service: Service, host: Host, runtime: Runtime) -> BuildPlan:
    """Its argv is the WAR, or the folder."""
    built = service.build is not None or listing.has("pom.xml")
    wars = listing.ending(".war")
    if not built and not _is_folder(listing) and len(wars) > 1:
        raise UserError(f"cannot tell which web application to run: {', '.join(wars)}", "name one of them as `source`")
    plan = BuildPlan(runtime=runtime, runtimes=(runtime,))
    if built:
        asked = {"run": ["-"], "runtime": service.runtime or "java", "static": None}
        plan = detect(listing, service.model_copy(update=asked), host)
        plan = replace(plan, steps=tuple(_with_apis(step, host) for step in plan.steps), find_jar=False, env={})
    python = choose(host, "python", None)
    place, folders = (_FOLDER, ()) if _is_folder(listing) else (_WAR, _folders())
    tool = host.tools.get("jakartaee-migration", "")
    put = Step((python.path, _SCRIPT, tool, runtime.path, place, *folders), title="look at the web application")
    script = (Path(__file__).parent / "webapp.py").read_text()
    return replace(
        plan,
        steps=(*plan.steps, put),
        shims={**plan.shims, _SCRIPT: script},
        drop=(*plan.drop, _SCRIPT),
        argv=(f"{APP}/{place}",),
    )


def _folders() -> tuple[str, ...]:
    return tuple(folder or "." for folder in JAR_FOLDERS)


def _with_apis(step: Step, host: Host) -> Step:
    """`build: javac …` finds what a container brings: CLASSPATH is what javac(1) looks into without `-cp`."""
    catalina = host.tools.get("tomcat10")
    if not step.own or catalina is None:
        return step
    return replace(step, env={"CLASSPATH": ":".join(_jars(catalina, _APIS)), **step.env})


def _program(host: Host, runtime: Runtime) -> jvm.Program:
    catalina = need_tool(host, "tomcat10", PACKAGE, "a Tomcat")
    compiler = need_tool(host, "ecj", "libeclipse-jdt-core-java", "a Tomcat with JSP")
    return jvm.program(host, runtime, "tomcat", (*_jars(catalina, _PARTS), compiler))


def _jars(catalina: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(catalina.replace("-catalina-", f"-{part}-") for part in parts)
