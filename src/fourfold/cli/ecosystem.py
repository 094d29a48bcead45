"""What a configuration written in JavaScript exports, by running it with Node.js: only if asked to."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from fourfold.errors import UserError, WorldError

SECONDS = 20
MAX_BYTES = 1024 * 1024
_PRINT = """
const { relative, resolve } = require('path'), here = process.cwd();
function portable(key, value) {
  if (typeof value !== 'string' || !`${value}/`.startsWith(`${here}/`)) return value;
  return './' + relative(key === 'cwd' ? here : resolve(here, this.cwd || '.'), value);
}
process.stdout.write(JSON.stringify(require(resolve(process.argv[1])), portable));
"""
"""With what is in the folder (`path.join(__dirname, 'server.js')`) relative to it, or to the `cwd` beside it."""


def exported(folder: Path, name: str) -> str:
    """`module.exports` of a file in `folder` as JSON. Runs that file: whoever calls has said so.

    Raises UserError when there is no Node.js or the file fails, WorldError when it takes too long.
    """
    node = shutil.which("node")
    if node is None:
        hint = "install Node.js, or write what it exports to ecosystem.config.json"
        raise UserError(f"cannot read {name}: it is JavaScript, and there is no `node`", hint)
    command = [node, "-e", _PRINT, "--", name]
    environ = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "NODE_ENV") if key in os.environ}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WorldError(f"cannot read {name}: it has run for {SECONDS} seconds") from None
    except OSError as error:
        raise WorldError(f"cannot run {node}: {error.strerror}") from None
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = next((line for line in lines if "Error" in line), f"exit code {done.returncode}")
        raise UserError(f"cannot read {name}: {why.strip()[:200]}", f"`node {name}` shows more")
    if len(done.stdout) > MAX_BYTES:
        raise UserError(f"cannot read {name}: what it exports is longer than {MAX_BYTES:,} bytes")
    return done.stdout.decode("utf-8", "replace")
