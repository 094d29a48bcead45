"""Small web apps, alike in Java, Node.js and Python, that run in groups, as processes and in containers unchanged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SERVLET = """
import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.*;
import java.io.IOException;
import java.util.*;

@WebServlet("/*")
public class NAME extends HttpServlet {
    @Override protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        List<String> rows = new ArrayList<>();
        for (int i = 0; i < 50; i++) rows.add("{\\"id\\": " + i + ", \\"name\\": \\"row " + i + "\\"}");
        response.setContentType("application/json");
        response.getWriter().println("{\\"app\\": \\"NAME VERSION\\", \\"rows\\": [" + String.join(", ", rows) + "]}");
    }
}
"""
EXPRESS = """
const express = require('express');
const app = express();
app.use((request, response) => {
  const rows = Array.from({ length: 50 }, (_, id) => ({ id, name: `row ${id}` }));
  response.json({ app: 'NAME VERSION', rows });
});
app.listen(process.env.PORT, process.env.HOST);
"""
PACKAGE = '{"name": "bench", "dependencies": {"express": "^5.1.0"}, "scripts": {"start": "node server.js"}}\n'
FASTAPI = """
from fastapi import FastAPI

app = FastAPI()

@app.get("/{path:path}")
def rows(path: str) -> dict:
    return {"app": "NAME VERSION", "rows": [{"id": number, "name": f"row {number}"} for number in range(50)]}
"""
SERVLET_API = "/usr/share/java/tomcat10-servlet-api.jar"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Language:
    name: str
    kind: str
    """Of its groups."""
    group: dict[str, object]
    service: dict[str, object]
    write: Callable[[Path, str, str], None]
    """(folder, name of the app, version): its source."""


def _java(folder: Path, name: str, version: str) -> None:
    """What a WAR holds, as a folder: one servlet."""
    title = name.capitalize()
    classes = folder / "WEB-INF/classes"
    classes.mkdir(parents=True, exist_ok=True)
    source = folder.with_suffix(".java") / f"{title}.java"
    source.parent.mkdir(exist_ok=True)
    source.write_text(SERVLET.replace("NAME", title).replace("VERSION", version))
    subprocess.run(["javac", "-cp", SERVLET_API, "-d", classes, source], check=True)


def _node(folder: Path, name: str, version: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text(PACKAGE)
    (folder / "server.js").write_text(EXPRESS.replace("NAME", name).replace("VERSION", version))


def _python(folder: Path, name: str, version: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "requirements.txt").write_text("fastapi\nuvicorn\n")
    (folder / "app.py").write_text(FASTAPI.replace("NAME", name).replace("VERSION", version))


LANGUAGES = {
    "java": Language("Java", "tomcat", {}, {}, _java),
    "node": Language("Node.js", "node", {}, {}, _node),
    "python": Language(
        "Python", "python", {"runtime": PYTHON}, {"run": "uvicorn app:app --host $HOST --port $PORT"}, _python
    ),
}


def service(language: Language, folder: Path, name: str, pattern: str) -> dict[str, object]:
    """As the file has it; reached at /NAME."""
    return {
        "source": str(folder / name),
        "pattern": pattern,
        "shared": {"group": "apps"},
        "port": 8080,
        "route": {"path": f"/{name}"},
        "deploy": {"timeout": "300s"},
        "health": {"path": f"/{name}", "timeout": "5s", "grace": "120s"},
        "stop": {"drain": 0, "grace": 5},
        **language.service,
    }


def group(language: Language) -> dict[str, object]:
    return {"kind": language.kind, "deploy": {"timeout": "300s"}, "stop": {"grace": 5}, **language.group}
