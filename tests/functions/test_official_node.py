"""AWS's own client for Node.js, unmodified, in our sandboxes. npm compiles it for two minutes, once per `.venv`."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

import pytest

from fourfold.functions.sandboxes import Sandboxes
from tests.build.building import build
from tests.build.helpers import Home
from tests.functions.rig import in_loop, running
from tests.functions.sandboxing import NO_BRIDGE, USER, config, needs_limits, needs_root, own_groups, tree

pytestmark = [needs_root, needs_limits, pytest.mark.full, pytest.mark.timeout(1200)]
ROOT = Path(__file__).resolve().parents[2]
VERSION = "3.3.0"
"""The last one for Node.js 20."""
KEPT = ROOT / ".venv/peers" / f"aws-lambda-ric-{VERSION}"
APP = """
exports.handler = async (event, context) => {
  if (event === 'fail') throw new TypeError('no');
  if (event === 'exit') process.exit(3);
  if (event === 'sleep') await new Promise((done) => setTimeout(done, 60000));
  if (event === 'large') return 'x'.repeat(7000000);
  return { event, id: context.awsRequestId, name: context.functionName, left: context.getRemainingTimeInMillis() > 0 };
};
"""


def official() -> Path:
    """The package as npm installs it, without the sources that it was compiled from."""
    if not KEPT.is_dir():
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=KEPT.parent) as folder:
            npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder]
            subprocess.run([*npm, f"aws-lambda-ric@{VERSION}"], check=True)
            package = Path(folder, "node_modules/aws-lambda-ric")
            assert (package / "dist/rapid-client.node").is_file(), "npm has run its install scripts"
            shutil.rmtree(package / "deps")
            package.rename(KEPT)
    return KEPT


def test_a_ready_zip_with_the_official_client(tmp_path: Path) -> None:
    client = official()
    with zipfile.ZipFile(tmp_path / "function.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.js", APP)
        for path in sorted(client.rglob("*")):
            if path.is_file():
                archive.write(path, f"node_modules/aws-lambda-ric/{path.relative_to(client)}")

    async def work() -> None:
        async with running(tmp_path, given, Sandboxes.open, variables) as rig:
            for event in ("one", [2], {"ü": "\u2028"}, "x" * 5_000_000):
                answer = await rig.invoke(event, request_id="11111111-2222-3333-4444-555555555555")
                told = json.loads(answer.payload)
                assert (answer.status, answer.error, told["event"]) == (200, "", event)
                assert told["id"] == "11111111-2222-3333-4444-555555555555"
                assert told["name"] == "official" and told["left"] is True
            for event, kind, words in (
                ("fail", "TypeError", "no"),
                ("exit", "Runtime.ExitError", "exit status 3"),
                ("sleep", "Sandbox.Timedout", "timed out after 5.00 seconds"),
                ("large", "Function.ResponseSizeTooLarge", "exceeded maximum allowed payload size"),
            ):
                failed = await rig.invoke(event)
                told = json.loads(failed.payload)
                assert (failed.error, told["errorType"]) == ("Unhandled", kind) and words in told["errorMessage"]
                assert json.loads((await rig.invoke(1)).payload)["event"] == 1, "it goes on"

    with tree() as home, own_groups():
        made = build(
            Home(home),
            tmp_path / "function.zip",
            pattern="function",
            runtime="nodejs20",
            function={"handler": "index.handler"},
        )
        function = made.function
        assert function is not None and function.argv[1] == "/app/node_modules/aws-lambda-ric/bin/index.mjs"
        variables = dict(function.env)
        given = config(
            made.tree, *function.argv, kind="nodejs", handler="index.handler", timeout=5.0, user=USER,
            network=NO_BRIDGE, socket=str(tmp_path / "invoker.sock"), usage=str(tmp_path / "usage"),
            function_name="official",
        )  # fmt: skip
        in_loop(work())
