"""Edit a fat JAR of 20 MB and make its image: how long does `fourfold build --format docker-archive` take, all in all?

The JAR is a web service with Tomcat inside; it is started once, to see that it is one. The base is there (it is made
once per host). Cold: an image that never was made before; edited: one class of it is another one.
`python -m bench.image [--rounds 5]`
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from statistics import median

from tests.support.wait import until

from bench.figures import table, verdict
from bench.machine import ENV, answers, folder, free_ports, need_root_and_parts

COLD, EDITED = 2.0, 1.0
SIZE = 20 * 1000**2
_PARTS = ("embed-core", "embed-el", "embed-jasper", "embed-websocket", "annotations-api")
TOMCAT = [Path(f"/usr/share/java/tomcat10-{name}.jar") for name in _PARTS]
SOURCE = """\
import jakarta.servlet.http.*;
import org.apache.catalina.startup.Tomcat;

public class Web extends HttpServlet {
    @Override protected void doGet(HttpServletRequest asked, HttpServletResponse answer) throws java.io.IOException {
        answer.getWriter().print("EDIT");
    }

    public static void main(String[] arguments) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(System.getProperty("java.io.tmpdir"));
        tomcat.setPort(Integer.parseInt(System.getenv("PORT")));
        tomcat.getConnector().setProperty("address", System.getenv("HOST"));
        var context = tomcat.addContext("", null);
        Tomcat.addServlet(context, "web", new Web());
        context.addServletMappingDecoded("/", "web");
        tomcat.start();
        tomcat.getServer().await();
    }
}
"""
FILE = "app: bench\nservices:\n  web: {source: ./web, port: 8080}\n  other: {source: ./other, port: 8080}\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.image", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    need_root_and_parts()
    with folder() as base:
        rounds = run(base, options.rounds)
    print(table("Image of a fat JAR of 20 MB", "seconds", rounds, "edited"))
    cold = verdict("never made before, median", median(rounds["cold"]), COLD)
    return 0 if verdict("after an edit, median", median(rounds["edited"]), EDITED) and cold else 1


def run(base: Path, count: int) -> dict[str, list[float]]:
    (base / "fourfold.yaml").write_text(FILE)
    for service in ("web", "other"):
        (base / service).mkdir()
    rounds: dict[str, list[float]] = {"cold": [], "edited": []}
    try:
        write_jar(base, base / "other/app.jar", "base", seed=0, size=0)
        build(base, "other")
        for number in range(count):
            write_jar(base, base / "web/app.jar", "first", seed=number)
            if number == 0:
                check_that_it_serves(base / "web/app.jar", "first")
            rounds["cold"].append(build(base, "web"))
            write_jar(base, base / "web/app.jar", f"edit {number}", seed=number)
            rounds["edited"].append(build(base, "web"))
    finally:
        fourfold(base, "daemon", "stop")
    return rounds


def write_jar(base: Path, place: Path, text: str, seed: int, size: int = SIZE) -> None:
    """Tomcat and one class in one JAR, filled up to `size` with what cannot be compressed, as pictures are."""
    (base / "Web.java").write_text(SOURCE.replace("EDIT", text))
    classpath = ":".join(map(str, TOMCAT))
    subprocess.run(["javac", "-cp", classpath, "-d", base, base / "Web.java"], check=True, env=ENV)
    seen: set[str] = set()
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nMain-Class: Web\n\n")
        for path in sorted(base.glob("*.class")):
            jar.writestr(path.name, path.read_bytes())
        for library in TOMCAT:
            with zipfile.ZipFile(library) as opened:
                for name in opened.namelist():
                    if name not in seen and not name.endswith(("/", ".SF", ".RSA", "MANIFEST.MF", "module-info.class")):
                        seen.add(name)
                        jar.writestr(name, opened.read(name))
        assert jar.fp is not None
        if (left := size - jar.fp.tell()) > 0:
            jar.writestr("static/pictures", random.Random(seed).randbytes(left))


def check_that_it_serves(jar: Path, text: str) -> None:
    (port,) = free_ports(1)
    process = subprocess.Popen(
        ["java", "-jar", jar], env={**ENV, "PORT": str(port), "HOST": "127.0.0.1"}, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: answers(port), 60, "the JAR to serve")
    finally:
        process.kill()
        process.wait()


def build(base: Path, service: str) -> float:
    began = time.perf_counter()
    place = base / f"{service}.tar"
    said = fourfold(
        base, "build", service, "--as", "container", "--format", "docker-archive", "--to", str(place), "-o", "json"
    )
    took = time.perf_counter() - began
    assert json.loads(said)["size_bytes"] == place.stat().st_size
    place.unlink()
    return took


def fourfold(base: Path, *arguments: str) -> str:
    env = {**ENV, "FOURFOLD_HOME": str(base / "home"), "PATH": os.environ["PATH"]}
    argv = [str(Path(sys.executable).with_name("fourfold")), *arguments]
    done = subprocess.run(argv, cwd=base, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
