"""What a web application is built to, as a member of a group and alone; and which ones are of the javax days."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fourfold.build.group import as_alone, as_group, as_guest
from fourfold.build.kinds.webapp import is_old, main
from fourfold.build.model import BuildPlan, Host
from fourfold.errors import UserError
from fourfold.spec.groups import Group
from fourfold.spec.model import Service

from .helpers import HOST, listing

JARS = {
    "javac": "/usr/bin/javac",
    "tomcat10": "/usr/share/java/tomcat10-catalina-10.1.60.jar",
    "ecj": "/usr/share/java/eclipse-jdt-core-3.32.0.jar",
    "jakartaee-migration": "/opt/migration.jar",
}
TOMCAT = replace(HOST, tools={**HOST.tools, **JARS})
WAR = {"shop.war": "PK"}
FOLDER = {"WEB-INF/web.xml": "<web-app/>", "index.jsp": ""}
POM = {"pom.xml": "<project><packaging>war</packaging></project>"}


def guest(files: Mapping[str, str], host: Host = TOMCAT, **spec: Any) -> BuildPlan:
    spec = {"pattern": "shared", "shared": {"group": "g", "kind": "tomcat"}, **spec}
    return as_guest(listing(files), Service.model_validate(spec), host)


def alone(
    files: Mapping[str, str], host: Host = TOMCAT, main_class: str | None = None, **spec: Any
) -> BuildPlan | None:
    return as_alone(listing(files, main_class), Service.model_validate(spec), host)


@pytest.mark.parametrize(
    ("files", "spec", "argv", "first"),
    [
        (WAR, {}, "/app/.fourfold/webapp.war", "look at the web application"),
        (FOLDER, {}, "/app/.fourfold/webapp", "look at the web application"),
        ({"src/A.java": ""}, {"build": "make"}, "/app/.fourfold/webapp.war", "make"),
        (POM, {}, "/app/.fourfold/webapp.war", "fetch Maven packages"),
    ],
)
def test_what_a_member_is_built_to(files: dict[str, str], spec: dict[str, Any], argv: str, first: str) -> None:
    plan = guest(files, **spec)
    assert (plan.argv, str(plan.steps[0])) == ((argv,), first)
    assert str(plan.steps[-1]) == "look at the web application"
    assert plan.steps[-1].argv[2:4] == ("/opt/migration.jar", "/usr/lib/jvm/java-17/bin/java")
    own = plan.steps[0].env.get("CLASSPATH", "") if spec else ""
    assert ("/usr/share/java/tomcat10-servlet-api-10.1.60.jar" in own) == ("build" in spec)


@pytest.mark.parametrize(
    ("files", "spec", "host", "said", "hint"),
    [
        ({"README.md": ""}, {}, TOMCAT, "cannot find a web application", "WEB-INF"),
        (
            {"a.war": "PK", "b.war": "PK"},
            {},
            TOMCAT,
            "cannot tell which web application to run: a.war, b.war",
            "source",
        ),
        (WAR, {"run": "java -jar shop.war"}, TOMCAT, "`run` is given", "leave `run` out"),
    ],
)
def test_members_that_are_refused(
    files: dict[str, str], spec: dict[str, Any], host: Host, said: str, hint: str
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        guest(files, host, **spec)
    assert hint in (caught.value.hint or "")


def test_the_host_program_says_what_it_lacks() -> None:
    plan = as_group(Group(kind="tomcat", java_opts="-XX:+UseG1GC -Xss1m").as_host(), TOMCAT)
    assert plan.argv is not None and plan.argv[-1] == "fourfold.host.tomcat.Program"
    assert not {"-XX:+UseSerialGC", "-Xss512k"} & set(plan.argv) and "-XX:-UsePerfData" in plan.argv
    assert "-Xms16m" in plan.argv  # without it a 64th of this machine's memory is filled first
    for own in ("-Xms64m", "-XX:InitialRAMPercentage=5"):
        assert "-Xms16m" not in (as_group(Group(kind="tomcat", java_opts=own).as_host(), TOMCAT).argv or ())
    for tool, package in (
        ("tomcat10", "tomcat10-common"),
        ("ecj", "libeclipse-jdt-core-java"),
        ("javac", "default-jdk"),
    ):
        less = replace(TOMCAT, tools={name: path for name, path in TOMCAT.tools.items() if name != tool})
        with pytest.raises(UserError) as caught:
            as_group(Group(kind="tomcat").as_host(), less)
        assert package in (caught.value.hint or "")


def test_alone_it_has_a_tomcat_of_its_own_unless_it_can_run_by_itself() -> None:
    plan = alone(WAR, route={"path": "/shop"})
    assert plan is not None and plan.argv is not None
    assert plan.argv[-4:] == ("fourfold.host.tomcat.Program", "--alone", "/app/.fourfold/webapp.war", "/shop")
    assert alone(FOLDER) is not None and alone(POM) is not None
    assert alone(WAR, main_class="org.springframework.boot.loader.launch.WarLauncher") is None
    assert alone(FOLDER, run="./serve") is None
    assert alone({"src/A.java": "", "Makefile": ""}, build="make") is None
    assert alone({"src/A.java": "", "webapp/WEB-INF/web.xml": ""}, build="make") is not None
    assert alone({"src/main/webapp/WEB-INF/web.xml": "", "build.gradle": ""}, build="gradle build") is None
    assert alone({"src/A.java": ""}, build="make", shared={"group": "g", "kind": "tomcat"}) is not None


OLD, NEW = b"Ljavax/servlet/http/HttpServlet;", b"Ljakarta/servlet/http/HttpServlet;"
OLD_XML, NEW_XML = b'xmlns="http://xmlns.jcp.org/xml/ns/javaee"', b'xmlns="https://jakarta.ee/xml/ns/jakartaee"'


def jar(*contents: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"C{number}.class", content)
    return made.getvalue()


@pytest.mark.parametrize(
    ("files", "old"),
    [
        ({"WEB-INF/classes/A.class": OLD, "WEB-INF/web.xml": NEW_XML}, True),
        ({"WEB-INF/classes/A.class": NEW, "WEB-INF/web.xml": OLD_XML, "WEB-INF/lib/a.jar": jar(OLD)}, False),
        ({"WEB-INF/classes/A.class": OLD, "WEB-INF/classes/B.class": NEW}, False),
        ({"index.jsp": b'<%@ page import="javax.servlet.http.Cookie" %>'}, True),
        ({"WEB-INF/lib/a.jar": jar(b"x", OLD), "WEB-INF/web.xml": NEW_XML}, True),
        ({"WEB-INF/lib/a.jar": jar(OLD), "WEB-INF/lib/b.jar": jar(NEW), "WEB-INF/web.xml": NEW_XML}, False),
        ({"WEB-INF/lib/a.jar": jar(OLD), "WEB-INF/lib/b.jar": jar(NEW), "WEB-INF/web.xml": OLD_XML}, True),
        ({"WEB-INF/web.xml": OLD_XML}, True),
        ({"index.html": b"javax.servlet"}, False),
        ({}, False),
    ],
)
def test_which_are_of_the_javax_days(files: dict[str, bytes], old: bool, tmp_path: Path) -> None:
    war = tmp_path / "a.war"
    with zipfile.ZipFile(war, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    assert is_old(war) == old
    with zipfile.ZipFile(war) as archive:
        archive.extractall(tmp_path / "folder")
    (tmp_path / "folder").mkdir(exist_ok=True)
    assert is_old(tmp_path / "folder") == old


def test_one_that_is_a_link_is_where_that_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (".fourfold", "target"):
        (tmp_path / folder).mkdir()
    (tmp_path / "target/shop-1.2.war").write_bytes(jar(NEW))
    (tmp_path / "shop.war").symlink_to("target/shop-1.2.war")
    main(["", "java", ".fourfold/webapp.war", ".", "target"])
    assert (tmp_path / ".fourfold/webapp.war").read_bytes() == jar(NEW)


@pytest.mark.parametrize(
    ("library", "said"),
    [
        (b"", "cannot read WEB-INF/lib/a.jar: File is not a zip file\n"),
        (jar(OLD).replace(OLD, NEW[: len(OLD)]), "cannot read WEB-INF/lib/a.jar: C0.class: Bad CRC-32"),
    ],
)
def test_what_is_broken_in_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: bytes, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".fourfold").mkdir()
    with zipfile.ZipFile("shop.war", "w") as war:
        war.writestr("WEB-INF/lib/a.jar", library)
    with pytest.raises(SystemExit) as ended:
        main(["", "java", ".fourfold/webapp.war", "."])
    assert str(ended.value).startswith(said)
