"""Changes of an app, each to be made over and over, for tests that let the daemon die in the middle of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.e2e.home import Home, web_file
from tests.support.wait import until


@dataclass(frozen=True)
class Outcome:
    """What is served once all is at rest."""

    version: str
    instances: int


NOTHING = Outcome("", 0)
GENTLE: dict[str, Any] = {"stop": "{signal: KILL, drain: 20s}", "WARM_UP": 0.1}


class Flow:
    """A rolling deploy; the others differ in what they say. Times are counted from 1."""

    lossless = True
    code = 0
    """How the command exits when nobody dies."""
    instances = 2
    by_hand = False
    """The command decides about a deployment that waits for it: a death leaves it waiting, or decided."""
    stride = 9
    """Steps between two that are tried, at most."""
    extra = ""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.file = home.app(self.text("v0"))

    def text(self, version: str, **environ: Any) -> str:
        return web_file(
            self.home.port, instances=self.instances, extra=self.extra, VERSION=version, **{**GENTLE, **environ}
        )

    def begin(self) -> Outcome:
        """Before the first time. -> what is served then."""
        self.up()
        return Outcome("v0", self.instances)

    def reset(self, time: int) -> Outcome | None:
        """Before each time, with nobody dying. -> what is served then, if this has changed it."""
        return None

    def command(self, time: int) -> tuple[str, ...]:
        """Prepare the files. -> the command."""
        self.file.write_text(self.text(f"v{time}"))
        return ("up", "-f", str(self.file))

    def outcome(self, time: int) -> Outcome:
        return Outcome(f"v{time}", self.instances)

    def finish(self) -> None:
        """What else must be true after the last time."""

    def up(self) -> None:
        self.home.run("up", "-f", str(self.file))


class Before(Flow):
    """With a command that runs once per release, whoever dies when."""

    extra = "volumes: [{name: data, path: /data}]\ndeploy: {before: 'echo $FOURFOLD_RELEASE >> /data/ran'}"

    def finish(self) -> None:
        (ran,) = (self.home.home / "state" / "volumes").rglob("ran")
        releases = ran.read_text().split()
        assert releases == sorted(set(releases), key=int), "a release's `before` ran twice, or out of order"


class Recreate(Flow):
    lossless = False
    extra = "deploy: {strategy: recreate}"


class Canary(Flow):
    extra = "deploy: {strategy: canary, steps: [{weight: 20, pause: 50ms}, {weight: 50, pause: 50ms}], min_requests: 0}"


class BlueGreen(Flow):
    extra = "deploy: {strategy: blue-green}"


class Promote(Flow):
    """A canary's only step is passed by hand."""

    by_hand = True
    extra = "deploy: {strategy: canary, steps: [{weight: 50}]}"
    decision = "--promote"

    def reset(self, time: int) -> None:
        self.file.write_text(self.text(f"v{time}"))
        self.home.run("up", "-f", str(self.file), "--detach")
        until(self.home.waits_for_somebody, 60, "the deployment to wait at its step")

    def command(self, time: int) -> tuple[str, ...]:
        return ("deploy", "-a", "app", "web", self.decision)


class Abort(Promote):
    """All of the new ones are there, and go again."""

    extra = "deploy: {strategy: blue-green, promote: manual}"
    decision = "--abort"

    def outcome(self, time: int) -> Outcome:
        return Outcome("v0", self.instances)


class Failing(Flow):
    """A release that cannot start, and is rolled back."""

    code = 1

    def command(self, time: int) -> tuple[str, ...]:
        self.file.write_text(self.text(f"v{time}", EXIT_CODE=3))
        return ("up", "-f", str(self.file))

    def outcome(self, time: int) -> Outcome:
        return Outcome("v0", self.instances)


class ScaleUp(Flow):
    before, after = 1, 3

    def reset(self, time: int) -> Outcome:
        self.home.run("scale", "-a", "app", f"web={self.before}")
        return Outcome("v0", self.before)

    def command(self, time: int) -> tuple[str, ...]:
        return ("scale", "-a", "app", f"web={self.after}")

    def outcome(self, time: int) -> Outcome:
        return Outcome("v0", self.after)


class ScaleDown(ScaleUp):
    before, after = 3, 1


class Rollback(Flow):
    """To and fro between two releases."""

    def begin(self) -> Outcome:
        self.up()
        self.file.write_text(self.text("v1"))
        self.up()
        return Outcome("v1", self.instances)

    def command(self, time: int) -> tuple[str, ...]:
        return ("rollback", "-a", "app", "web", "--to", "1" if time % 2 else "2")

    def outcome(self, time: int) -> Outcome:
        return Outcome("v0" if time % 2 else "v1", self.instances)


class Move(Flow):
    """To and fro between two patterns, of one release."""

    to = "container"

    def begin(self) -> Outcome:
        self.home.environ["TEST_PATTERN"] = "process"
        self.up()
        return Outcome("v0", self.instances)

    def command(self, time: int) -> tuple[str, ...]:
        return ("deploy", "-f", str(self.file), "web", "--as", self.to if time % 2 else "process")

    def outcome(self, time: int) -> Outcome:
        return Outcome("v0", self.instances)


class MoveToFunction(Move):
    to = "function"


class Member(Flow):
    """A new version beside the old one in a host that goes on."""

    instances = 1
    stride = 16
    app = """
import asyncio, os

async def app(scope, receive, send):
    if scope["type"] == "http":
        await asyncio.sleep(0.05 if scope["path"] == "/slow" else 0)
        headers = [(b"x-version", VERSION)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

VERSION = os.environ["VERSION"].encode()
"""

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        (self.file.parent / "web" / "app.py").write_text(self.app)

    def text(self, version: str, **environ: Any) -> str:
        return f"""
app: app
groups: {{pages: {{kind: python}}}}
services:
  web:
    source: ./web
    pattern: shared
    shared: {{group: pages, app: "app:app"}}
    port: 8080
    route: {{path: /}}
    env: {{VERSION: {version}}}
gateway: {{listen: "127.0.0.1:{self.home.port}"}}
"""


class First(Flow):
    """Of an app that is not there yet, gateway and all."""

    lossless = False

    def begin(self) -> Outcome:
        return NOTHING

    def reset(self, time: int) -> Outcome:
        if self.home.has_app():
            self.home.run("down", "-a", "app", "-y")
        return NOTHING


class Down(Flow):
    lossless = False

    def reset(self, time: int) -> Outcome:
        self.up()
        return Outcome("v0", self.instances)

    def command(self, time: int) -> tuple[str, ...]:
        return ("down", "-a", "app", "-y")

    def outcome(self, time: int) -> Outcome:
        return NOTHING
