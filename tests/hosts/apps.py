"""Small Python apps, and folders of installed packages made up, for the Python host."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from fourfold.store.files.artifacts import Artifact
from tests.build.helpers import write
from tests.support.ports import free_port
from tests.support.runtimes import python
from tests.support.wait import until

SITE = f".venv/lib/{python()}/site-packages"

PLAIN = """
import json, os, sys, time, threading
VERSION = "{version}"

def app(environ, start_response):
    from tools import NAME
    version = VERSION
    path = environ["PATH_INFO"]
    if path == "/boom":
        raise ValueError("a bad request")
    if path == "/wait":
        while not os.path.exists(environ["QUERY_STRING"]):
            time.sleep(0.01)
    if path == "/spin":
        until = time.thread_time() + float(environ["QUERY_STRING"])
        while time.thread_time() < until:
            pass
    if path == "/thread":
        threading.Thread(target=time.sleep, args=(60,), name="sleeper", daemon=True).start()
    if path == "/fork":
        child = os.fork()
        if not child:
            while os.path.exists(__file__):
                time.sleep(0.1)
            os._exit(0)
        version = child
    if path == "/exit":
        os._exit(3)
    print("asked for", path)
    body = json.dumps(dict(version=version, name=NAME, module=__name__, who=os.environ.get("WHO"), cwd=os.getcwd(),
                           pid=os.getpid(), modules=sorted(sys.modules))).encode()
    start_response("200 OK", [("content-type", "application/json")])
    return [body]
"""

ASYNC = """
import asyncio, time
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if {fails}:
            await send({{"type": "lifespan.startup.failed", "message": "Traceback\\nno database"}})
            return
        print("up")
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        print("down")
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    if scope["path"] == "/block":
        time.sleep(float(scope["query_string"]))
    if scope["path"] == "/spin":
        while True:
            pass
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"async"}})
"""


def plain(folder: Path, name: str, version: str = "1", **more: str) -> Path:
    """A WSGI app that says who and where it is."""
    files = {"app.py": PLAIN.replace("{version}", version), "tools.py": f"NAME = {name!r}\n"}
    return write(folder / f"{name}-{version}", {**files, **more})


def asynchronous(folder: Path, fails: bool = False) -> Path:
    return write(folder / f"async-{fails}", {"app.py": ASYNC.format(fails=fails)})


def installed(
    name: str, version: str, files: Mapping[str, str], *, requires: str = "", local: bool = False
) -> dict[str, str]:
    """A distribution as an installer leaves it."""
    info = f"{SITE}/{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    record = "".join(f"{file},,\n" for file in (*files, f"{name}-{version}.dist-info/METADATA"))
    placed = {f"{SITE}/{file}": text for file, text in files.items()}
    url = {f"{info}/direct_url.json": "{}"} if local else {}
    return {**placed, f"{info}/METADATA": f"{metadata}\nText\n", f"{info}/RECORD": record, **url}


def alone(artifact: Artifact, path: str) -> Any:
    """What the app answers in a process of its own, which then ends as it should."""
    port = free_port()
    env = {**artifact.env, "HOST": "127.0.0.1", "PORT": str(port)}
    process = subprocess.Popen(artifact.argv, env=env)

    def asked() -> bytes:
        assert process.poll() is None
        with urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            body: bytes = answer.read()
            return body

    try:
        body = until(asked, 60)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
    return json.loads(body)


def is_zombie(pid: int) -> bool:
    return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
